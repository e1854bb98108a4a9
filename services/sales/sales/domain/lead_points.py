"""Points of a lead: a table that anybody can check by hand. At most 50 for how well it fits, 50 for how eager it is.

| fit | points | eagerness | points |
|---|---|---|---|
| names a company | 10 | was referred, or called | 15 |
| 250 people or more work there | 15 | met at an event, or sent by a partner | 10 |
| 50 to 249 | 12 | wrote by a form or mail | 8 |
| 10 to 49 | 8 | answered an advertisement | 4 |
| 1 to 9 | 4 | left a phone number | 10 |
| names a budget | 15 | left an e-mail address | 5 |
| lives in the tenant's own country | 10 | wrote 20 characters or more | 10 |
| | | is a customer already | 10 |
"""

from collections.abc import Iterator
from dataclasses import dataclass

TOLD_AT_LEAST = 20
"""Characters of a message from which on it counts."""

_SOURCES = {
    "SOURCE_REFERRAL": (15, "Somebody recommended us."),
    "SOURCE_PHONE": (15, "Called."),
    "SOURCE_EVENT": (10, "Met at an event."),
    "SOURCE_PARTNER": (10, "Sent by a partner."),
    "SOURCE_WEB": (8, "Wrote by a form."),
    "SOURCE_EMAIL": (8, "Wrote a mail."),
    "SOURCE_ADVERTISEMENT": (4, "Answered an advertisement."),
}
_SIZES = (
    (250, 15, "250 people or more work there."),
    (50, 12, "50 to 249 people work there."),
    (10, 8, "10 to 49 people work there."),
    (1, 4, "1 to 9 people work there."),
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a lead. source: name of the contract's enum value. home_region: the tenant's own country."""

    source: str
    has_company: bool = False
    employee_count: int = 0
    has_budget: bool = False
    region_code: str = ""
    home_region: str = ""
    has_email: bool = False
    has_phone: bool = False
    message_length: int = 0
    is_customer: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Points and the rule they are given for: its name in UPPER_SNAKE and in words."""

    rule: str
    points: int
    description: str


def reasons(known: Known) -> list[Reason]:
    """Every rule that gives points; the score is the sum of them, 0 to 100."""
    return list(_given(known))


def _given(known: Known) -> Iterator[Reason]:
    if known.has_company:
        yield Reason("COMPANY", 10, "Names a company.")
    for at_least, points, words in _SIZES:
        if known.employee_count >= at_least:
            yield Reason("COMPANY_SIZE", points, words)
            break
    if known.has_budget:
        yield Reason("BUDGET", 15, "Names a budget.")
    if known.region_code and known.region_code == known.home_region:
        yield Reason("HOME_REGION", 10, "Lives in our own country.")
    if known.source in _SOURCES:
        points, words = _SOURCES[known.source]
        yield Reason(known.source, points, words)
    if known.has_phone:
        yield Reason("PHONE", 10, "Left a phone number.")
    if known.has_email:
        yield Reason("EMAIL", 5, "Left an e-mail address.")
    if known.message_length >= TOLD_AT_LEAST:
        yield Reason("MESSAGE", 10, "Told what it is about.")
    if known.is_customer:
        yield Reason("CUSTOMER", 10, "Is a customer already.")
