"""Whom a journey moves: an uplift model on the scores people had when they entered it.

Light until there are enough people: then role `run` loads what training needs. The model itself is not kept, for
nobody is sent anything by it; what it found is.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from docstore import Row
from scoring.domain.journey_outcomes import FEATURES, WINDOW_DEFAULT
from scoring.models import effect

if TYPE_CHECKING:
    from scoring.models.fitting import Floats
    from scoring.models.uplift import Uplift

PEOPLE_MOST = 50_000
"""A model learns from; of more a part chosen by chance stands for all."""
GROWN = 1.1
"""It learns anew when there are so many times as many people."""
POINTS = 20
"""Steps of the drawn curve."""
_FAR = 0.2
"""Standard deviations from everybody's average that are worth telling."""
_TRAITS = 3
_NAMES = {
    "p_alive": "probability to be still buying",
    "expected_purchases": "purchases expected",
    "lifetime_value": "lifetime value",
    "monetary": "usual amount",
    "recency_weeks": "weeks from the first purchase to the last",
    "frequency": "repeat purchases",
    "age_weeks": "weeks since the first purchase",
}


@dataclass
class _Drawn:
    """People drawn at the same odds: their features (nan where unknown), and 0 or 1 for each."""

    features: "array[float]" = field(default_factory=lambda: array("d"))
    treated: bytearray = field(default_factory=bytearray)
    bought: bytearray = field(default_factory=bytearray)

    @property
    def smaller_arm(self) -> int:
        treated = sum(self.treated)
        return min(treated, len(self.treated) - treated)


class Trial:
    """Those whose window of WINDOW_DEFAULT days is over, by the percentage held out when they entered."""

    def __init__(self) -> None:
        self._by_percent: dict[int, _Drawn] = {}

    def add(self, snapshot: Mapping[str, float], percent: int, bought: bool, *, held_out: bool) -> None:
        """One person: scores at the entry (`domain.journey_outcomes.FEATURES`), and whether they bought."""
        drawn = self._by_percent.setdefault(percent, _Drawn())
        drawn.features.extend(snapshot.get(name, float("nan")) for name in FEATURES)
        drawn.treated.append(not held_out)
        drawn.bought.append(bought)

    def largest(self) -> _Drawn:
        """Those drawn at the odds under which most can be compared; a model of several odds would learn the odds."""
        return max(self._by_percent.values(), key=lambda drawn: drawn.smaller_arm, default=_Drawn())


def renewed(known: Row, trial: Trial) -> Row:
    """What is known of whom the journey moves: as it was, until there are so many more people that it may change.

    people: on whom. heterogeneous, advice, learner; p (that all are moved alike), qini (value, low, high), curve
    (share of the people, gain in purchases by a hundred people) where a model could be tried; traits of those moved
    most. Empty while fewer than `effect.LEAST` are in a group, or nobody had scores when they entered.
    """
    drawn = trial.largest()
    people = len(drawn.treated)
    if drawn.smaller_arm < effect.LEAST:
        return {}
    if known and known["people"] <= people < GROWN * known["people"]:
        return known
    return learned(drawn.features, drawn.treated, drawn.bought)


def learned(features: "array[float]", treated: bytearray, bought: bytearray) -> Row:
    """Trains on a trial and tells what came of it."""
    # numpy and CatBoost come with it.
    import numpy as np

    from scoring.models import uplift
    from scoring.models.uplift import qini

    x = np.frombuffer(features, dtype=np.float64).reshape(-1, len(FEATURES))
    arm, outcome = (np.frombuffer(each, dtype=np.uint8).astype(np.int64) for each in (treated, bought))
    people = len(arm)
    if people > PEOPLE_MOST:
        some = np.random.default_rng(0).choice(people, PEOPLE_MOST, replace=False)
        x, arm, outcome = x[some], arm[some], outcome[some]
    # A column nobody has a value in tells nothing, and has no mean.
    known = np.flatnonzero(~np.isnan(x).all(axis=0))
    if not len(known):
        return {}
    x = x[:, known]
    names = [_NAMES[FEATURES[column]] for column in known.tolist()]
    model = uplift.train(x, arm, outcome, names)
    found: Row = {
        "people": people,
        "days": WINDOW_DEFAULT,
        "heterogeneous": model.heterogeneous,
        "advice": model.advice(),
        "messages": list(model.messages),
        "learner": model.learner_name or "",
        "p": model.p_value,
        "qini": [],
        "curve": [],
        "traits": [],
    }
    if model.ranking is not None:
        ranked = qini.with_interval(model.ranking, arm, outcome)
        found |= {
            "qini": [ranked.value, ranked.low, ranked.high],
            "curve": [[share, 100 * gain] for share, gain in qini.curve(model.ranking, arm, outcome, POINTS)],
        }
        if model.heterogeneous:
            found["traits"] = _traits(x, model, names)
    return found


def _traits(x: "Floats", model: "Uplift", names: list[str]) -> list[str]:
    """By what the quarter that is moved most differs from everybody, the largest difference first."""
    import numpy as np

    from scoring.models import uplift

    moved = uplift.predict(model, x).uplift
    top = moved >= np.quantile(moved, 0.75)
    found: list[tuple[float, str]] = []
    for column, name in enumerate(names):
        values = x[:, column]
        deviation = float(np.nanstd(values))
        mean, best = (
            float(np.nanmean(values)),
            float(np.nanmean(values[top])) if not np.isnan(values[top]).all() else None,
        )
        if best is not None and deviation > 0 and abs(best - mean) >= _FAR * deviation:
            word = "higher" if best > mean else "lower"
            found.append((abs(best - mean) / deviation, f"{name} {word} ({best:.3g} on average, everybody {mean:.3g})"))
    return [text for _, text in sorted(found, reverse=True)[:_TRAITS]]
