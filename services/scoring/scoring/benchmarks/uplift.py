"""Uplift on Hillstrom's e-mail trial: visits, each e-mail against none, five 70/30 splits by treatment and target."""

import csv
import gzip
from collections.abc import Iterator

import numpy as np

from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models import uplift
from scoring.models.fitting import Floats
from scoring.models.summary import Ints
from scoring.models.uplift import qini
from scoring.models.uplift.learners import LEARNERS, fit_t

_NUMBERS = ("recency", "history", "mens", "womens", "newbie")
_WORDS = ("zip_code", "channel")
_SPLITS = 5
_QINI = {"S": 0.066, "T": 0.065}
_EFFECT = {"Womens": 4.52, "Mens": 7.66}
"""Published: points more visits."""
_SPREAD = 0.013
"""Published standard deviation of a Qini over such splits."""
_WOMEN, _MEN = "Hillstrom womens e-mail, visit", "Hillstrom mens e-mail, visit"
_CHOSEN, _FOUND = "Qini, learner chosen in training", "splits in which differences between customers were found"
MARKS = (
    *(
        Mark(
            data=data,
            metric="average effect, points",
            equal=_EFFECT[arm],
            digits=3,
            source="difference of shares of the trial",
        )
        for arm, data in (("Womens", _WOMEN), ("Mens", _MEN))
    ),
    *(
        Mark(
            data=_WOMEN,
            metric=f"Qini, {name}-learner",
            at_least=value - _SPREAD,
            source=f"published {value} +- {_SPREAD} of five other splits",
        )
        for name, value in _QINI.items()
    ),
    Mark(
        data=_WOMEN,
        metric=_CHOSEN,
        at_least=_QINI["S"] - _SPREAD,
        source=f"the best published, {_QINI['S']} +- {_SPREAD}",
    ),
    Mark(data=_WOMEN, metric=_CHOSEN, at_least=1.0, times_peer=True, source="the response model of the same run"),
    Mark(data=_WOMEN, metric=_FOUND, equal=_SPLITS, source="customers differ there"),
    Mark(data=_MEN, metric=_FOUND, equal=0, source="no difference between customers can be found"),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Qini of each learner and of a response model, average effects, and what the test for differences says."""
    with gzip.open(data.file("hillstrom", "hillstrom.csv.gz"), "rt", newline="") as source:
        rows = list(csv.DictReader(source))
    for arm in ("Womens", "Mens"):
        yield from _arm(arm, [row for row in rows if row["segment"] in (f"{arm} E-Mail", "No E-Mail")])


def _arm(arm: str, rows: list[dict[str, str]]) -> Iterator[Line]:
    x, names = _features(rows)
    treated = np.array([row["segment"] != "No E-Mail" for row in rows], dtype=np.int64)
    outcome = np.array([int(row["visit"]) for row in rows])
    called = _WOMEN if arm == "Womens" else _MEN

    def line(metric: str, value: float, **more: float | str | None) -> Line:
        return Line(task="uplift", data=called, metric=metric, value=value, **more)  # type: ignore[arg-type]

    effect = qini.average_effect(treated, outcome)
    note = f"90 % interval {100 * effect.low:.2f} to {100 * effect.high:.2f}"
    yield line("average effect, points", 100 * effect.value, reference=_EFFECT[arm], note=note)
    found: dict[str, list[float]] = {name: [] for name in (*LEARNERS, "response", "product")}
    p_values, chosen, slopes = [], [], []
    for seed in range(_SPLITS):
        train, test = _split(treated, outcome, seed)
        z = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
        for name, fit in LEARNERS.items():
            score = fit(z[train], treated[train], outcome[train]).uplift(z[test])
            found[name].append(qini.coefficient(score, treated[test], outcome[test]))
        response = fit_t(z[train], treated[train], outcome[train]).outcome(z[test], 1.0)
        found["response"].append(qini.coefficient(response, treated[test], outcome[test]))
        model = uplift.train(x[train], treated[train], outcome[train], names, seed=seed)
        predicted = uplift.predict(model, x[test]).uplift
        measured = uplift.evaluate(predicted, treated[test], outcome[test], seed=seed)
        found["product"].append(measured.qini.value)
        p_values.append(model.p_value)
        chosen.append(model.learner_name or "none")
        slopes.append(measured)
    women = arm == "Womens"
    for name in LEARNERS:
        note = f"sd of {_SPLITS} splits {np.std(found[name]):.3f}"
        reference = _QINI.get(name) if women else None
        yield line(f"Qini, {name}-learner", float(np.mean(found[name])), reference=reference, note=note)
    yield line(
        "Qini, response model of the treated", float(np.mean(found["response"])), reference=0.038 if women else None
    )
    last = slopes[-1].qini
    yield line(
        "Qini, learner chosen in training",
        float(np.mean(found["product"])),
        reference=0.066 if women else 0.0,
        peer="response model",
        peer_value=float(np.mean(found["response"])),
        note=f"chosen: {', '.join(chosen)}; 90 % interval of the last split {last.low:.3f} to {last.high:.3f}",
    )
    yield line(
        _FOUND,
        sum(name != "none" for name in chosen),
        reference=_SPLITS if women else 0,
        note="p = " + ", ".join(f"{p:.3f}" for p in p_values),
    )
    if women:
        tenths = slopes[-1].tenths
        for at, tenth in ((1, tenths[0]), (10, tenths[-1])):
            effect = tenth.effect
            note = f"predicted {100 * tenth.predicted:.1f}; interval {100 * effect.low:.1f} to {100 * effect.high:.1f}"
            yield line(f"measured uplift of tenth {at}, points, last split", 100 * effect.value, note=note)


def _features(rows: list[dict[str, str]]) -> tuple[Floats, list[str]]:
    columns = [[float(row[name]) for row in rows] for name in _NUMBERS]
    names = list(_NUMBERS)
    for name in _WORDS:
        for value in sorted({row[name] for row in rows}):
            columns.append([float(row[name] == value) for row in rows])
            names.append(f"{name}={value}")
    return np.array(columns).T, names


def _split(treated: Ints, outcome: Ints, seed: int) -> tuple[Ints, Ints]:
    """70/30, stratified on treatment and target."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(treated)), test_size=0.3, random_state=seed, stratify=2 * treated + outcome
    )
    return train, test
