"""Reads what requests carry into the values of the use cases; refuses, by field, what cannot be used."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.type.timeofday_pb2 import TimeOfDay
from rapport.campaigns.v1 import journey_pb2, template_pb2

from campaigns import rendering
from campaigns.domain import journeys as rules
from campaigns.domain.best_time import WAIT_MAX
from campaigns.domain.holdout import PERCENT_MAX
from campaigns.rendering import Texts
from campaigns.store import Content, Variable
from chassis.errors import InvalidArgument, Violation
from chassis.inputs import language, refusal
from docstore.filters import FilterField, parse

VARIABLES_MAX, LANGUAGES_MAX, FALLBACK_MAX = 50, 50, 200
EVENT_NAME_MAX = 200
DOMAIN_EVENTS = ("rapport.consent.v1.ConsentGranted", "rapport.identity.v1.CustomerCreated")
"""Events of other services that make people enter."""

CONDITION_FIELDS: Mapping[str, FilterField] = {
    "customer.language_code": FilterField("string"),
    "customer.region_code": FilterField("string"),
    "customer.time_zone": FilterField("string"),
    "score.p_alive": FilterField("float"),
    "score.expected_purchases": FilterField("float"),
    "score.lifetime_value": FilterField("float"),
    "score.rfm_segment": FilterField("string"),
}


_SEGMENT = re.compile(r"segments/[a-z0-9-]{1,100}")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,59}")


def minutes(time: TimeOfDay, field: str) -> int:
    """A time of day as minutes after midnight."""
    if time.seconds or time.nanos or not (0 <= time.hours < 24 and 0 <= time.minutes < 60):
        raise refusal("INVALID_TIME", field, "Whole minutes, 00:00 to 23:59.")
    return int(time.hours * 60 + time.minutes)


def contents(message: template_pb2.Template) -> tuple[list[Variable], list[Content]]:
    """Variables and texts of a template. Raises InvalidArgument TEMPLATE_INVALID with all that is wrong."""
    violations: list[Violation] = []
    declared: dict[str, str] = {}
    for index, variable in enumerate(message.variables):
        place = f"template.variables[{index}]"
        if not _VARIABLE.fullmatch(variable.name) or variable.name == rendering.UNSUBSCRIBE_URL:
            violations.append((f"{place}.name", "1 to 60 lower-case letters, digits, underscores; a letter first."))
        elif variable.name in declared:
            violations.append((f"{place}.name", f"Another variable is called {variable.name}."))
        violations += _fallback_flaws(variable.fallback, f"{place}.fallback")
        declared[variable.name] = variable.fallback
    if len(message.variables) > VARIABLES_MAX or len(message.contents) > LANGUAGES_MAX:
        violations.append(("template", f"At most {VARIABLES_MAX} variables and {LANGUAGES_MAX} languages."))
    made: list[Content] = []
    for index, given in enumerate(message.contents[:LANGUAGES_MAX]):
        place = f"template.contents[{index}]"
        code = language(given.language_code, f"{place}.language_code")
        if code in (content.language_code for content in made):
            violations.append((f"{place}.language_code", "Another text has the same language."))
        for name, text in given.fallbacks.items():
            if name not in declared:
                violations.append((f"{place}.fallbacks", f"{name[:60]} is not declared as a variable."))
            violations += _fallback_flaws(text, f"{place}.fallbacks")
        texts = Texts(given.subject, given.text, given.html)
        violations += [
            (f"{place}.{flaw.field}", f"Line {flaw.line}: {flaw.reason}.")
            for flaw in rendering.flaws(texts, list(declared))
        ]
        made.append(
            Content(
                language_code=code,
                subject=given.subject,
                text=given.text,
                html=given.html or None,
                fallbacks=dict(given.fallbacks),
            )
        )
    _refuse("TEMPLATE_INVALID", "The template", violations)
    return [Variable(name=name, fallback=text) for name, text in declared.items()], made


def trigger(message: journey_pb2.Trigger) -> tuple[str, str]:
    """Kind and name of what makes people enter."""
    kind = message.WhichOneof("trigger")
    if kind == "segment" and _SEGMENT.fullmatch(message.segment):
        return "segment", message.segment
    if kind == "event" and 0 < len(message.event) <= EVENT_NAME_MAX:
        if message.event.startswith("rapport.") and message.event not in DOMAIN_EVENTS:
            raise refusal(
                "JOURNEY_INVALID", "journey.trigger.event", f"Of the platform's events: {', '.join(DOMAIN_EVENTS)}."
            )
        return "event", message.event
    raise refusal("JOURNEY_INVALID", "journey.trigger", "Name a segment, as segments/{id}, or an event.")


def holdout_percent(percent: int) -> int:
    """How many of a hundred are held out of a journey. Raises InvalidArgument INVALID_HOLDOUT."""
    if not 0 <= percent <= PERCENT_MAX:
        raise refusal("INVALID_HOLDOUT", "journey.holdout_percent", f"0 to {PERCENT_MAX}.")
    return percent


def steps(messages: Iterable[journey_pb2.Step]) -> rules.Definition:
    """The steps of a journey. Raises InvalidArgument JOURNEY_INVALID with all that is wrong with them as a graph."""
    made: list[rules.Step] = []
    violations: list[Violation] = []
    for index, message in enumerate(messages):
        action = _action(message)
        if action is None:
            violations.append((f"journey.steps[{index}]", "Say what it does: wait, branch, send or end."))
            continue
        if isinstance(action, rules.Branch):
            try:
                parse(action.condition, CONDITION_FIELDS)
            except InvalidArgument as error:
                violations += [
                    (f"journey.steps[{index}].branch.condition", f"It {problem}.") for _, problem in error.violations
                ]
        if message.next and isinstance(action, rules.Branch | rules.End):
            violations.append((f"journey.steps[{index}].next", "Only after wait and send."))
        made.append(rules.Step(message.id, action))
    definition = rules.Definition(made)
    if not violations:
        violations = [(f"journey.{problem.field}", problem.description) for problem in definition.problems()]
    _refuse("JOURNEY_INVALID", "The journey", violations)
    return definition


def _action(message: journey_pb2.Step) -> rules.Action | None:
    match message.WhichOneof("action"):
        case "wait":
            return rules.Wait(_duration(message.wait.duration), message.next)
        case "branch":
            return rules.Branch(message.branch.condition, message.branch.then, message.branch.otherwise)
        case "send":
            return rules.Send(message.send.template, message.send.purpose, message.next, _max_wait(message.send))
        case "end":
            return rules.End()
    return None


def _max_wait(send: journey_pb2.Send) -> timedelta | None:
    if not send.HasField("at_best_time"):
        return None
    return _duration(send.at_best_time.max_wait) if send.at_best_time.HasField("max_wait") else WAIT_MAX


def _duration(duration: Duration) -> timedelta:
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1000)


def _fallback_flaws(text: str, field: str) -> list[Violation]:
    if text.strip() and len(text) <= FALLBACK_MAX:
        return []
    return [(field, f"1 to {FALLBACK_MAX} characters, not blank.")]


def _refuse(reason: str, what: str, violations: list[Violation]) -> None:
    if violations:
        field, problem = violations[0]
        more = f" ({len(violations) - 1} more)" if len(violations) > 1 else ""
        raise InvalidArgument(reason, f"{what} cannot be used. {field}: {problem}{more}", violations=violations[:25])
