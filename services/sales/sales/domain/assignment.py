"""Who gets a lead: of those who fit and have room the one with the lowest share of capacity in use, ties by name.

The same leads in the same order and the same sales reps always give the same result.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Rep:
    """A sales rep: uid, principal, what they look after (empty: all), and how many open leads they have and may."""

    uid: str
    principal: str
    regions: frozenset[str]
    languages: frozenset[str]
    skills: frozenset[str]
    load: int
    capacity: int
    available: bool

    @property
    def has_room(self) -> bool:
        """Whether another lead can be given to them."""
        return self.available and self.load < self.capacity

    def fits(self, wanted: "Wanted") -> bool:
        """Whether they look after such leads, room or not."""
        return (
            (not self.regions or not wanted.region or wanted.region in self.regions)
            and (not self.languages or not wanted.language or self._speaks(wanted.language))
            and wanted.skills <= self.skills
        )

    def _speaks(self, language: str) -> bool:
        # `de` covers `de-AT`, and whoever speaks `de-AT` is understood by whoever asks for `de`.
        primary = language.partition("-")[0]
        return any(
            own in (language, primary) or (language == primary and own.partition("-")[0] == primary)
            for own in self.languages
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a lead needs: country, language (either may be empty) and skills."""

    region: str
    language: str
    skills: frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The sales rep chosen, or None, and why in words."""

    rep: Rep | None
    reason: str


def choose(wanted: Wanted, reps: Iterable[Rep]) -> Choice:
    """Who gets the lead; nobody when none fits or has room."""
    fitting = [rep for rep in reps if rep.fits(wanted)]
    if not fitting:
        return Choice(None, f"No sales rep fits: {_needs(wanted)}.")
    free = [rep for rep in fitting if rep.has_room]
    if not free:
        return Choice(None, f"Nobody of the {len(fitting)} who fit has room now: {_needs(wanted)}.")
    best = min(free, key=lambda rep: (Fraction(rep.load, rep.capacity), rep.uid))
    return Choice(
        best,
        f"Fits ({_needs(wanted)}) and has {best.load} of {best.capacity} leads, "
        f"the lowest share of the {len(free)} who fit and have room.",
    )


def _needs(wanted: Wanted) -> str:
    parts = [f"{name} {value}" for name, value in (("region", wanted.region), ("language", wanted.language)) if value]
    if wanted.skills:
        parts.append(f"skills {', '.join(sorted(wanted.skills))}")
    return ", ".join(parts) or "no region, language or skill asked for"
