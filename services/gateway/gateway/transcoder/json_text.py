"""JSON text to values, refusing what parsers read differently: repeated keys, NaN, half characters, bombs."""

import json
from collections import Counter
from typing import Any

from chassis.errors import InvalidArgument


def loads(text: bytes, *, unique_keys: bool = True) -> Any:
    """Decodes a JSON document (RFC 8259).

    Raises InvalidArgument INVALID_JSON with line and column, or DUPLICATE_KEY. The message quotes nothing of the
    document but a repeated key.
    """
    try:
        return json.loads(
            text.decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique if unique_keys else None,
        )
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start + 1} is not part of a UTF-8 character") from None
    except json.JSONDecodeError as error:
        problem = error.msg[0].lower() + error.msg[1:]
        raise _invalid(f"line {error.lineno}, column {error.colno}: {problem}") from None
    except RecursionError:
        raise _invalid("it is nested too deeply") from None
    except ValueError:
        raise _invalid("it holds a number with too many digits") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0][:100]
        raise InvalidArgument(
            "DUPLICATE_KEY",
            f"The key {json.dumps(repeated)} is given twice in one JSON object; keep one.",
            metadata={"key": repeated.encode("utf-8", "replace").decode()},
        )
    return found


def _refuse_constant(name: str) -> None:
    raise _invalid(f"{name} is not JSON")


def _invalid(problem: str) -> InvalidArgument:
    return InvalidArgument("INVALID_JSON", f"The body is not valid JSON: {problem}.", metadata={"problem": problem})
