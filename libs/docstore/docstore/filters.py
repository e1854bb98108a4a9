"""The filter language of List methods: a subset of AIP-160, turned into a MongoDB filter.

    filter     = sequence of factors joined by AND
    factor     = terms joined by OR                (OR binds tighter than AND, as AIP-160 has it)
    term       = ["NOT" | "-"] ( "(" filter ")" | restriction )
    restriction= field ("=" | "!=" | "<" | "<=" | ">" | ">=" | ":") value

`field:value` asks whether a list contains the value; `field:*` whether the field is present. Strings are quoted or
plain words; instants are RFC 3339. `!=` and `NOT` also match where the field is missing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

from chassis.errors import InvalidArgument

MAX_LENGTH = 2000
MAX_DEPTH = 20
MAX_RESTRICTIONS = 50

_OPERATORS = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_ORDERED = {"int", "float", "timestamp"}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)
    | (?P<operator><=|>=|!=|=|<|>|:)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<minus>-(?=[A-Za-z_(]))
    | (?P<word>[^\s()=!<>:"']+)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class FilterField:
    """One field callers may filter by.

    `path` is the stored field (the API's name unless given). `values` lists an enum's names. `repeated` fields take
    `:` only. `prefix` allows `field = "abc*"` on strings, which an index on `path` serves. `convert` turns the value
    into the stored one (normalising an address, say) and raises ValueError, with a text for callers, to refuse it.
    """

    type: Literal["string", "int", "float", "bool", "timestamp", "enum"]
    path: str | None = None
    values: Sequence[str] = ()
    repeated: bool = False
    prefix: bool = False
    convert: Callable[[Any], Any] | None = None


def parse(expression: str, fields: Mapping[str, FilterField]) -> dict[str, Any]:
    """The MongoDB filter of an AIP-160 expression; `{}` for an empty one.

    Raises InvalidArgument INVALID_FILTER that says what is wrong and where: unknown field (naming the allowed ones),
    operator or value that does not fit the field, syntax, more than 2000 characters, 50 restrictions or 20 levels.
    """
    if not expression.strip():
        return {}
    if len(expression) > MAX_LENGTH:
        raise _refusal(f"is longer than {MAX_LENGTH} characters")
    return _Parser(expression, fields).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _refusal(problem: str) -> InvalidArgument:
    return InvalidArgument("INVALID_FILTER", f"The filter {problem}.", violations=[("filter", problem)])


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, expression: str, fields: Mapping[str, FilterField]) -> None:
        self._fields = fields
        self._tokens = _tokens(expression)
        self._next = 0
        self._restrictions = 0

    def whole(self) -> dict[str, Any]:
        found = self._conjunction(depth=1)
        if self._peek().kind != "end":
            self._fail(self._peek(), "expected AND, OR or the end")
        return found

    def _conjunction(self, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise _refusal(f"is nested deeper than {MAX_DEPTH} levels")
        factors = [self._disjunction(depth)]
        while self._take_keyword("AND"):
            factors.append(self._disjunction(depth))
        return factors[0] if len(factors) == 1 else {"$and": factors}

    def _disjunction(self, depth: int) -> dict[str, Any]:
        terms = [self._term(depth)]
        while self._take_keyword("OR"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else {"$or": terms}

    def _term(self, depth: int) -> dict[str, Any]:
        if self._peek().kind == "minus":
            self._advance()
            return {"$nor": [self._simple(depth)]}
        if self._take_keyword("NOT"):
            return {"$nor": [self._simple(depth)]}
        return self._simple(depth)

    def _simple(self, depth: int) -> dict[str, Any]:
        if self._peek().kind != "open":
            return self._restriction()
        self._advance()
        found = self._conjunction(depth + 1)
        if self._peek().kind != "close":
            self._fail(self._peek(), "expected )")
        self._advance()
        return found

    def _restriction(self) -> dict[str, Any]:
        self._restrictions += 1
        if self._restrictions > MAX_RESTRICTIONS:
            raise _refusal(f"has more than {MAX_RESTRICTIONS} conditions")
        name = self._advance()
        if name.kind != "word" or name.text in ("AND", "OR", "NOT"):
            self._fail(name, "expected a field name")
        field = self._fields.get(name.text)
        if field is None:
            self._fail(name, f"{name.text} is no field to filter by; allowed are {', '.join(sorted(self._fields))}")
        path = field.path or name.text
        operator = self._advance()
        if operator.kind != "operator":
            self._fail(operator, f"expected an operator after {name.text}")
        value = self._advance()
        if value.kind not in ("string", "word", "instant"):
            self._fail(value, "expected a value")
        if operator.text == ":":
            return self._has(name, field, path, value)
        if field.repeated:
            self._fail(operator, f"{name.text} is a list; ask with {name.text}:value")
        return self._compare(name, field, path, operator, value)

    def _has(self, name: _Token, field: FilterField, path: str, value: _Token) -> dict[str, Any]:
        if value.kind == "word" and value.text == "*":
            return {path: {"$nin": [None, []]}} if field.repeated else {path: {"$ne": None}}
        if not field.repeated:
            self._fail(name, f"{name.text} is no list; ask with {name.text} = value, or {name.text}:* for presence")
        return {path: {"$eq": self._value(field, value)}}

    def _compare(self, name: _Token, field: FilterField, path: str, operator: _Token, value: _Token) -> dict[str, Any]:
        if operator.text not in ("=", "!=") and field.type not in _ORDERED:
            self._fail(operator, f"{name.text} has no order; it takes = and !=")
        if field.type == "string" and value.text.rstrip("\"'").endswith("*") and operator.text == "=":
            if not field.prefix:
                self._fail(value, f"{name.text} takes no *")
            prefix = _text(value)[:-1]
            if not prefix or "*" in prefix:
                self._fail(value, "a * stands at the end only, after at least one character")
            return {path: {"$regex": f"^{re.escape(prefix)}"}}
        return {path: {_OPERATORS[operator.text]: self._value(field, value)}}

    def _value(self, field: FilterField, token: _Token) -> Any:
        try:
            value = _PARSERS[field.type](token, field)
            return field.convert(value) if field.convert else value
        except ValueError as error:
            self._fail(token, str(error))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> _Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _take_keyword(self, keyword: str) -> bool:
        token = self._peek()
        if token.kind == "word" and token.text == keyword:
            self._next += 1
            return True
        return False

    def _fail(self, token: _Token, problem: str) -> NoReturn:
        raise _refusal(f"is wrong at character {token.position + 1}: {problem}")


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    if (position := expression.find("\0")) >= 0:  # MongoDB takes none in a $regex.
        raise _refusal(f"is wrong at character {position + 1}: a stray character")
    position = 0
    end = len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            raise _refusal(f"is wrong at character {position + 1}: a quote without its end, or a stray character")
        tokens.append(_Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
        position = match.end()
    return [*tokens, _Token("end", "", end)]


def _text(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "string" else token.text


def _string(token: _Token, _field: FilterField) -> str:
    return _text(token)


def _int(token: _Token, _field: FilterField) -> int:
    if token.kind != "word" or not re.fullmatch(r"-?\d{1,18}", token.text):
        raise ValueError("expected a whole number")
    return int(token.text)


def _float(token: _Token, _field: FilterField) -> float:
    if token.kind != "word" or not re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", token.text):
        raise ValueError("expected a number")
    return float(token.text)


def _bool(token: _Token, _field: FilterField) -> bool:
    if token.kind != "word" or token.text not in ("true", "false"):
        raise ValueError("expected true or false")
    return token.text == "true"


def _timestamp(token: _Token, _field: FilterField) -> datetime:
    try:
        instant = datetime.fromisoformat(_text(token))
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):  # Overflow: an offset may lead out of the years 1 to 9999.
        raise ValueError("expected an instant such as 2026-01-31T12:00:00Z") from None
    raise ValueError("expected an instant with its offset, such as 2026-01-31T12:00:00Z")


def _enum(token: _Token, field: FilterField) -> str:
    if _text(token) not in field.values:
        raise ValueError(f"expected one of {', '.join(field.values)}")
    return _text(token)


_PARSERS: dict[str, Callable[[_Token, FilterField], Any]] = {
    "string": _string,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "timestamp": _timestamp,
    "enum": _enum,
}
