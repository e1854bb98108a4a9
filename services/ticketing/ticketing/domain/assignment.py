"""Who gets a ticket: whoever can take it and has most room, and why, in words."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """What a ticket asks of an agent: skills, sorted, and a BCP 47 language code or nothing."""

    skills: tuple[str, ...]
    language: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An available agent; no languages: any."""

    name: str
    skills: frozenset[str]
    languages: tuple[str, ...]
    capacity: int
    load: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The agent chosen and why; without an agent: why the ticket waits."""

    agent: Candidate | None
    reason: str


def choose(need: Need, candidates: Sequence[Candidate]) -> Choice:
    """Picks the agent with the smallest share of their capacity in use, the first by name among equals."""
    if not candidates:
        return Choice(None, "waits: nobody is available")
    able = [each for each in candidates if each.skills.issuperset(need.skills)]
    if not able:
        return Choice(None, f"waits: nobody available has {_skills(need.skills)}")
    free = [each for each in able if each.load < each.capacity]
    if not free:
        who = "the only one who could take it has" if len(able) == 1 else f"all {len(able)} who could take it have"
        return Choice(None, f"waits: {who} no room")
    reasons = [f"has {_skills(need.skills)}"] if need.skills else []
    if need.language:
        fluent = [each for each in free if writes(each.languages, need.language)]
        reasons.append(f"writes {need.language}" if fluent else f"nobody with room writes {need.language}")
        free = fluent or free
    chosen = min(free, key=lambda each: (each.load / each.capacity, each.name))
    rank = "the only one who could" if len(free) == 1 else f"the fewest of {len(free)} who could"
    reasons.append(f"{chosen.load} of {chosen.capacity} tickets, {rank}")
    return Choice(chosen, "; ".join(reasons))


def writes(languages: Collection[str], wanted: str) -> bool:
    """Whether somebody with these languages writes another one: any region of it, or none is named at all."""
    return not languages or _primary(wanted) in {_primary(each) for each in languages}


def _primary(code: str) -> str:
    return code.partition("-")[0].lower()


def _skills(skills: Sequence[str]) -> str:
    return f"the skills {', '.join(skills)}"
