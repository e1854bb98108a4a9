"""What conditions can ask of a person, and persons as they are written into files: that much and nothing else."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import cast

from scoring.domain.conditions import Condition, Consent, Events, Score, Trait, singles
from scoring.domain.happenings import Series
from scoring.domain.person import Person

FORM = 1
"""Of what `written` gives: another number whenever `read` would not understand the earlier one."""
_OF_SERIES = ("s", "c", "t", "a", "n", "sum", "first", "last")
"""All but the ids of events and orders, which nobody asks for, and the name, which they are kept by."""
_values = itemgetter(*_OF_SERIES)
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True)
class Needs:
    """Names of what can be asked for. consents: pairs of purpose and channel."""

    traits: frozenset[str]
    scores: frozenset[str]
    events: frozenset[str]
    consents: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, conditions: Iterable[Condition]) -> "Needs":
        """What these conditions ask for."""
        asked = [single for condition in conditions for single in singles(condition)]
        scores = frozenset(each.name for each in asked if isinstance(each, Score))
        return cls(
            traits=frozenset(each.name for each in asked if isinstance(each, Trait)),
            # Amounts are in it.
            scores=scores | {"currency"} if scores else scores,
            events=frozenset(each.event for each in asked if isinstance(each, Events)),
            consents=frozenset((each.purpose, each.channel) for each in asked if isinstance(each, Consent)),
        )


def written(person: Person, needs: Needs) -> bytes:
    """What is needed of a person, without the instant and the segments it is inside of."""
    scores = person.scores
    form = {
        "traits": {name: value for name, value in person.traits.items() if name in needs.traits},
        "scores": scores and {name: value for name, value in scores.items() if name in needs.scores},
        "series": {
            event: [_values(one) for one in series] for event, series in person.series.items() if event in needs.events
        },
        "consents": [[*about, state] for about, state in person.consents.items() if about in needs.consents],
    }
    return _encode(form).encode()


def read(form: bytes, now: int) -> Person:
    """A person in no segment, as it was written. now: milliseconds since 1970."""
    found = json.loads(form)
    series = {
        event: [dict(zip(_OF_SERIES, one, strict=True)) for one in kept] for event, kept in found["series"].items()
    }
    consents = {(purpose, channel): state for purpose, channel, state in found["consents"]}
    return Person(now, found["traits"], found["scores"], cast(dict[str, list[Series]], series), consents)
