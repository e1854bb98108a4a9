"""Reads what requests carry into the values of the use cases; refuses, by field, what cannot be used."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from rapport.sales.v1 import pipeline_pb2

from chassis import clock, context, money
from chassis.errors import InvalidArgument
from chassis.inputs import language, refusal, region
from sales.domain import stages as rules

AMOUNT_MAX = 10**15
"""Minor units of one amount; sums of a thousand such still fit 64 bits."""
LIST_MAX, NAME_MAX, ORDER_NUMBER_MAX = 20, 200, 200

_PRINCIPAL = re.compile(r"principals/[A-Za-z0-9._~%+@:=-]{1,200}")
_SKILL = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_SUBJECT = re.compile(r"(tickets|opportunities)/[A-Za-z0-9._~-]{1,200}")


def text(value: str, field: str, longest: int, *, required: bool = False) -> str:
    """A text of bounded length. Raises InvalidArgument INVALID_<FIELD>."""
    if len(value) > longest or (required and not value.strip()):
        least = "1" if required else "0"
        raise refusal(_invalid(field), field, f"{least} to {longest} characters{', not blank' if required else ''}.")
    return value


def principal(name: str, field: str) -> str:
    """A principal's name, or nothing. Raises InvalidArgument INVALID_<FIELD>."""
    if name and not _PRINCIPAL.fullmatch(name):
        raise refusal(_invalid(field), field, "Not a name of the form principals/{id}.")
    return name


def caller() -> str:
    """The principal who asks; nothing when a service does."""
    asking = context.current().principal
    return asking if _PRINCIPAL.fullmatch(asking) else ""


def website(address: str, field: str) -> str:
    """The address of a website, or nothing. Raises InvalidArgument INVALID_WEBSITE."""
    if address:
        try:
            parts = urlsplit(address)
            good = parts.scheme in ("http", "https") and "." in (parts.hostname or "") and len(address) <= 2000
        except ValueError:
            good = False
        if not good or any(character.isspace() for character in address):
            raise refusal("INVALID_WEBSITE", field, "Not an address such as https://example.com.")
    return address


def amount(value: Money, field: str) -> tuple[int, str]:
    """Minor units and currency of an amount that is not negative.

    Raises InvalidArgument: CURRENCY_UNKNOWN, MONEY_MALFORMED, MONEY_TOO_PRECISE, MONEY_OUT_OF_RANGE, INVALID_AMOUNT.
    """
    minor = money.to_minor(value, field)
    if not 0 <= minor <= AMOUNT_MAX:
        raise refusal("INVALID_AMOUNT", field, f"0 to {AMOUNT_MAX} minor units.")
    return minor, value.currency_code


def regions(codes: Sequence[str], field: str) -> list[str]:
    """ISO 3166-1 codes, each once. Raises InvalidArgument INVALID_REGION."""
    return _each_once(region(code, f"{field}[{index}]") for index, code in enumerate(codes))


def languages(codes: Sequence[str], field: str) -> list[str]:
    """BCP 47 codes, each once. Raises InvalidArgument INVALID_LANGUAGE."""
    return _each_once(language(code, f"{field}[{index}]") for index, code in enumerate(codes))


def skills(names: Sequence[str], field: str) -> list[str]:
    """Skills, each once; at most 20. Raises InvalidArgument INVALID_SKILLS."""
    if len(names) > LIST_MAX or not all(map(_SKILL.fullmatch, names)):
        problem = f"At most {LIST_MAX} skills of 1 to 60 lower-case letters, digits and hyphens."
        raise refusal("INVALID_SKILLS", field, problem)
    return _each_once(names)


def whole_number(value: int, field: str, most: int) -> int:
    """A number from 0 on. Raises InvalidArgument INVALID_<FIELD>."""
    if not 0 <= value <= most:
        raise refusal(_invalid(field), field, f"0 to {most}.")
    return value


def subject(name: str, field: str) -> str:
    """What a promise is about, or nothing. Raises InvalidArgument INVALID_SUBJECT."""
    if name and not _SUBJECT.fullmatch(name):
        raise refusal("INVALID_SUBJECT", field, "Not a name of the form tickets/{id} or opportunities/{id}.")
    return name


def day(value: Date, field: str) -> str:
    """A whole date as ISO 8601, or nothing. Raises InvalidArgument INVALID_DATE."""
    if not (value.year or value.month or value.day):
        return ""
    try:
        return date(value.year, value.month, value.day).isoformat()
    except ValueError:
        raise refusal("INVALID_DATE", field, "Not a date with year, month and day.") from None


def instant(value: Timestamp) -> datetime:
    """An instant; the form of it has been checked."""
    return value.ToDatetime(UTC)


def future(value: Timestamp, field: str) -> datetime:
    """An instant that is still to come. Raises InvalidArgument INVALID_DUE_TIME."""
    found = instant(value)
    if found <= clock.now():
        raise refusal("INVALID_DUE_TIME", field, "Must lie in the future.")
    return found


def stages(messages: Iterable[pipeline_pb2.Stage], field: str = "pipeline") -> list[rules.Stage]:
    """The stages of a pipeline. Raises InvalidArgument PIPELINE_INVALID with all that is wrong with them."""
    made = [rules.Stage(stage.id, stage.display_name, stage.probability_percent) for stage in messages]
    violations = [(f"{field}.{place}", problem) for place, problem in rules.problems(made)]
    if violations:
        more = f" ({len(violations) - 1} more)" if len(violations) > 1 else ""
        raise InvalidArgument(
            "PIPELINE_INVALID",
            f"The pipeline cannot be used. {violations[0][0]}: {violations[0][1]}{more}",
            violations=violations[:25],
        )
    return made


def order_by(given: str, others: Mapping[str, tuple[str, int]]) -> list[tuple[str, int]]:
    """The sort order of a list that knows some besides that of creation, as stored fields by what callers write.

    Raises InvalidArgument INVALID_ORDER_BY.
    """
    known = {"create_time": ("create_time", 1), **others}
    wanted = " ".join(given.split()) or "create_time"
    if wanted not in known:
        raise refusal("INVALID_ORDER_BY", "order_by", f"{' or '.join(f'`{each}`' for each in known)}.")
    return [known[wanted]]


def _each_once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _invalid(field: str) -> str:
    return f"INVALID_{field.rpartition('.')[2].upper()}"
