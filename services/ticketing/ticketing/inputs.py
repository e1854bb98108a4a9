"""Reads what requests carry into the values of the use cases; refuses, by field, what cannot be used."""

import itertools
import re
from collections.abc import Iterable, Sequence
from datetime import date

from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from google.type.dayofweek_pb2 import DayOfWeek
from google.type.timeofday_pb2 import TimeOfDay
from rapport.ticketing.v1 import calendar_pb2, sla_policy_pb2, ticket_pb2

from chassis import inputs as fields
from chassis.errors import InvalidArgument, Violation
from chassis.inputs import refusal
from docstore.filters import parse
from ticketing.domain.business_time import DAY_MINUTES
from ticketing.store import DayHours, Target
from ticketing.store.messages import CUSTOMER
from ticketing.store.sentiments import SCORES
from ticketing.usecases.opening import Opening, Said
from ticketing.usecases.routing import FILTER, intent

SUBJECT_MAX, TEXT_MAX = 300, 50_000
TICKET_SKILLS_MAX, AGENT_SKILLS_MAX, LANGUAGES_MAX = 20, 50, 20
CAPACITY_MAX, ORDER_MAX = 1_000, 1_000_000
HOURS_MAX, HOLIDAYS_MAX = 50, 1_000
WARNING_PERCENT_DEFAULT = 80
TARGET_MAX_S = 366 * 24 * 3600

_MOOD_PATHS = {"sentiment", "sentiment.label", "*"}
_SKILL = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")


def ticket(message: ticket_pb2.Ticket, *, test_environment: bool) -> Opening:
    """What a ticket says that callers may choose."""
    email = message.requester_email
    return Opening(
        subject=_text(message.subject, SUBJECT_MAX, "INVALID_SUBJECT", "ticket.subject"),
        channel=ticket_pb2.Ticket.Channel.Name(message.channel or ticket_pb2.Ticket.CHANNEL_API),
        kind=ticket_pb2.Ticket.Kind.Name(message.kind) if message.kind else "",
        intent=_intent(message.intent, "ticket.intent"),
        priority=ticket_pb2.Ticket.Priority.Name(message.priority or ticket_pb2.Ticket.PRIORITY_NORMAL),
        customer=fields.customer(message.customer, "ticket.customer") if message.customer else "",
        requester_email=fields.email(email, "ticket.requester_email", test_environment=test_environment)
        if email
        else "",
        language_code=_language(message.language_code, "ticket.language_code"),
        skills=skills(message.required_skills, TICKET_SKILLS_MAX, "ticket.required_skills"),
    )


def first_words(message: ticket_pb2.Ticket, channel: str) -> Said | None:
    """The customer's first words, if there are any."""
    if not message.text:
        return None
    return Said(_text(message.text, TEXT_MAX, "INVALID_TEXT", "ticket.text"), CUSTOMER, channel)


def said(message: ticket_pb2.TicketMessage, principal: str) -> Said:
    """Something said by `principal`, or by the customer through it."""
    author = ticket_pb2.TicketMessage.Author.Name(message.author)
    text = _text(message.text, TEXT_MAX, "INVALID_TEXT", "ticket_message.text")
    return Said(text, author, "CHANNEL_API", "" if author == CUSTOMER else principal)


def mood(message: ticket_pb2.TicketMessage, mask: FieldMask) -> str:
    """How somebody says a message sounds. Raises InvalidArgument INVALID_SENTIMENT."""
    named = not mask.paths or _MOOD_PATHS & set(mask.paths)
    label = ticket_pb2.Sentiment.Label.Name(message.sentiment.label) if named else ""
    if label not in SCORES:
        problem = f"Say {', '.join(SCORES)}; an update_mask must name it."
        raise refusal("INVALID_SENTIMENT", "ticket_message.sentiment.label", problem)
    return label


def skills(names: Sequence[str], most: int, field: str) -> list[str]:
    """Skills, sorted, each once. Raises InvalidArgument INVALID_SKILL."""
    if len(names) > most:
        raise refusal("INVALID_SKILL", field, f"At most {most}.")
    for index, name in enumerate(names):
        if not _SKILL.fullmatch(name):
            raise refusal("INVALID_SKILL", f"{field}[{index}]", "1 to 60 lower-case letters, digits and hyphens.")
    return sorted(set(names))


def languages(codes: Sequence[str], field: str) -> list[str]:
    """BCP 47 codes, sorted, each once. Raises InvalidArgument INVALID_LANGUAGE."""
    if len(codes) > LANGUAGES_MAX:
        raise refusal("INVALID_LANGUAGE", field, f"At most {LANGUAGES_MAX}.")
    return sorted({fields.language(code, f"{field}[{index}]") for index, code in enumerate(codes)})


def capacity(number: int, field: str) -> int:
    """How many tickets an agent has at most. Raises InvalidArgument INVALID_CAPACITY."""
    if not 1 <= number <= CAPACITY_MAX:
        raise refusal("INVALID_CAPACITY", field, f"1 to {CAPACITY_MAX} tickets.")
    return number


def order(number: int, field: str) -> int:
    """When something is looked at. Raises InvalidArgument INVALID_ORDER."""
    if not 0 <= number <= ORDER_MAX:
        raise refusal("INVALID_ORDER", field, f"0 to {ORDER_MAX}.")
    return number


def filter(expression: str, field: str) -> str:
    """A filter over tickets. Raises InvalidArgument INVALID_FILTER."""
    try:
        parse(expression, FILTER)
    except InvalidArgument as error:
        raise refusal("INVALID_FILTER", field, error.violations[0][1]) from None
    return expression


def open_hours(messages: Sequence[calendar_pb2.OpenHours], field: str) -> list[DayHours]:
    """The open hours of a week, sorted. Raises InvalidArgument CALENDAR_NEVER_OPEN, INVALID_OPEN_HOURS with all that
    is wrong with them.
    """
    if not messages:
        raise refusal("CALENDAR_NEVER_OPEN", field, "Give at least one day with open hours.")
    if len(messages) > HOURS_MAX:
        raise refusal("INVALID_OPEN_HOURS", field, f"At most {HOURS_MAX}.")
    violations: list[Violation] = []
    found: list[tuple[int, DayHours]] = []
    for index, message in enumerate(messages):
        place = f"{field}[{index}]"
        start, end = _minutes(message.start), _minutes(message.end)
        if not message.day_of_week:
            violations.append((f"{place}.day_of_week", "Say which day."))
        elif start is None or start == DAY_MINUTES:
            violations.append((f"{place}.start", "Whole minutes, 00:00 to 23:59."))
        elif end is None:
            violations.append((f"{place}.end", "Whole minutes, 00:01 to 24:00."))
        elif end <= start:
            problem = "It must come after the start; hours past midnight are two entries, one for each day."
            violations.append((f"{place}.end", problem))
        else:
            found.append((index, DayHours(day=message.day_of_week - 1, start=start, end=end)))
    found.sort(key=lambda each: (each[1].day, each[1].start))
    for (earlier, one), (later, other) in itertools.pairwise(found):
        if one.day == other.day and other.start < one.end:
            day = DayOfWeek.Name(one.day + 1).capitalize()
            violations.append((f"{field}[{later}].start", f"It overlaps {field}[{earlier}] on {day}."))
    _refuse_all("INVALID_OPEN_HOURS", violations)
    return [hours for _, hours in found]


def holidays(messages: Iterable[Date], field: str) -> list[str]:
    """Days as ISO dates, sorted, each once. Raises InvalidArgument INVALID_HOLIDAY with all that are wrong."""
    violations: list[Violation] = []
    days: set[str] = set()
    for index, message in enumerate(messages):
        try:
            days.add(date(message.year, message.month, message.day).isoformat())
        except ValueError:
            violations.append((f"{field}[{index}]", "Not a day of the calendar with year, month and day."))
    if len(days) > HOLIDAYS_MAX:
        violations.append((field, f"At most {HOLIDAYS_MAX}."))
    _refuse_all("INVALID_HOLIDAY", violations)
    return sorted(days)


def targets(messages: Sequence[sla_policy_pb2.SlaTarget], field: str) -> list[Target]:
    """What is agreed by priority. Raises InvalidArgument INVALID_TARGET with all that is wrong."""
    violations: list[Violation] = []
    found: list[Target] = []
    for index, message in enumerate(messages):
        place = f"{field}[{index}]"
        priority = ticket_pb2.Ticket.Priority.Name(message.priority)
        if not message.priority:
            violations.append((f"{place}.priority", "Say which priority."))
        elif priority in (target.priority for target in found):
            violations.append((f"{place}.priority", f"There are other times for {priority}."))
        seconds = {name: getattr(message, name) for name in ("first_response", "resolution") if message.HasField(name)}
        for name, duration in seconds.items():
            if duration.nanos or not 0 < duration.seconds <= TARGET_MAX_S:
                violations.append((f"{place}.{name}", "Whole seconds, more than 0, at most 366 days (31622400s)."))
        if not seconds:
            violations.append((place, "Give first_response, resolution or both."))
        found.append(Target(priority=priority, **{name: duration.seconds for name, duration in seconds.items()}))
    _refuse_all("INVALID_TARGET", violations)
    return found


def warning_percent(number: int, field: str) -> int:
    """The share after which is warned. Raises InvalidArgument INVALID_WARNING_PERCENT."""
    if not 0 <= number <= 99:
        raise refusal("INVALID_WARNING_PERCENT", field, "1 to 99 percent.")
    return number or WARNING_PERCENT_DEFAULT


def _text(text: str, most: int, reason: str, field: str) -> str:
    if not text.strip() or len(text) > most or "\0" in text:
        raise refusal(reason, field, f"1 to {most} characters.")
    return text


def _language(code: str, field: str) -> str:
    return fields.language(code, field) if code else ""


def _intent(slug: str, field: str) -> str:
    try:
        return intent(slug) if slug else ""
    except ValueError as error:
        raise refusal("INVALID_INTENT", field, f"{error}.") from None


def _minutes(time: TimeOfDay) -> int | None:
    """Minutes after midnight; None for what is no whole minute of a day."""
    minutes = time.hours * 60 + time.minutes
    valid = 0 <= time.hours <= 24 and 0 <= time.minutes < 60 and minutes <= DAY_MINUTES
    return minutes if valid and not (time.seconds or time.nanos) else None


def _refuse_all(reason: str, violations: list[Violation]) -> None:
    if violations:
        field, problem = violations[0]
        raise InvalidArgument(reason, f"{field}: {problem}", violations=violations)
