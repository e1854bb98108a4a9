"""What kind of request a text is and how soon it wants an answer, told from its words (English and German)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sentiment import fold
from ticketing.domain import cues

QUESTION, PROBLEM, COMPLAINT, TASK = "KIND_QUESTION", "KIND_PROBLEM", "KIND_COMPLAINT", "KIND_TASK"
LOW, NORMAL, HIGH, URGENT = "PRIORITY_LOW", "PRIORITY_NORMAL", "PRIORITY_HIGH", "PRIORITY_URGENT"

_TEXT_MAX = 20_000
_VERY_NEGATIVE = -0.8


@dataclass(frozen=True, slots=True)
class Classification:
    """kind, priority: names of the contract's Ticket.Kind and Ticket.Priority; each with its reason in words."""

    kind: str
    kind_reason: str
    priority: str
    priority_reason: str


def _any(listed: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(listed.split("\n")[1:-1]) + r")(?!\w)")


_QUESTIONS = re.compile(
    r"\?|(?:^|[.!\n] *)(?:how|what|when|where|which|why|who|is it|is there|are there|do you|does|can i|may i|could i"
    r"|should i|will|wie|was|wann|wo|wer|welche[rsnm]?|warum|wieso|gibt es|kann ich|kann man|darf ich|muss ich|ist es"
    r"|haben sie|bieten sie)\b"
    r"|(?:^|\W)(?:i(?:'d| would) like to know|i was wondering|wondering (?:if|whether|how)|tell me"
    r"|ich wuerde gerne wissen|ich moechte wissen|koennen sie mir sagen|ich frage mich)"
)
_CUES: tuple[tuple[str, int, re.Pattern[str]], ...] = (
    (COMPLAINT, 4, _any(cues.COMPLAINTS)),
    (PROBLEM, 3, _any(cues.PROBLEMS)),
    (TASK, 2, _any(cues.TASKS)),
    (QUESTION, 1, _QUESTIONS),
)
"""Kind, weight, and what shows it; of equal sums the first stands."""
_URGENCY = ((LOW, _any(cues.LOW)), (URGENT, _any(cues.URGENT)), (HIGH, _any(cues.HIGH)))


def classify(subject: str, text: str, sentiment_score: float = 0.0) -> Classification:
    """Kind and priority of a request. sentiment_score: as `sentiment.sentiment_of` gave it, from -1 to 1."""
    words = fold(f"{subject}\n{text}"[:_TEXT_MAX])
    kind, kind_reason = _kind(words, sentiment_score)
    priority, priority_reason = _priority(words, kind, sentiment_score)
    return Classification(kind, kind_reason, priority, priority_reason)


def _kind(words: str, sentiment_score: float) -> tuple[str, str]:
    sums: dict[str, int] = {}
    shown: dict[str, list[str]] = {}
    for kind, weight, pattern in _CUES:
        found = _distinct(match.group() for match in pattern.finditer(words))
        if found:
            sums[kind] = weight + min(len(found) - 1, 2)
            shown[kind] = found
    if sentiment_score <= _VERY_NEGATIVE and COMPLAINT not in sums:
        return COMPLAINT, "It sounds very discontented."
    if not sums:
        return QUESTION, "Nothing in it tells the kind; taken for a question."
    kind = max(sums, key=lambda each: sums[each])
    return kind, f"It says {_quoted(shown[kind])}." if shown[kind] != ["?"] else "It asks (?)."


def _priority(words: str, kind: str, sentiment_score: float) -> tuple[str, str]:
    for priority, pattern in _URGENCY:
        if found := _distinct(match.group() for match in pattern.finditer(words)):
            return priority, f"It says {_quoted(found)}."
    if kind == COMPLAINT and sentiment_score <= _VERY_NEGATIVE:
        return HIGH, "It is a complaint and sounds very discontented."
    return NORMAL, "Nothing in it tells that it is urgent or can wait."


def _distinct(found: Iterable[str]) -> list[str]:
    """The first three different ones, without what stands around them."""
    shown: dict[str, None] = {}
    for each in found:
        shown[each.strip(" .!\n") or each] = None
        if len(shown) == 3:
            break
    return list(shown)


def _quoted(found: list[str]) -> str:
    return " and ".join(f'"{each}"' for each in found)
