"""Training on a randomised trial, predicting with reasons, and measuring on another part of the trial."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.summary import Ints
from scoring.models.uplift import heterogeneity, qini
from scoring.models.uplift.heterogeneity import Calibration
from scoring.models.uplift.learners import LEARNERS, Learner
from scoring.models.uplift.qini import Estimate, Group

LEAST_CUSTOMERS = 500
"""Fewer than this in an arm carry no model of who is moved: the average effect stands in."""
LEAST_EACH = 50
"""The same for customers with the outcome, and without it, in an arm."""
LEVEL = 0.01
"""Differences between customers are acted on when chance alone shows such ones in fewer than this share of trials."""
LEAST_QINI = 0.02
"""And when their Qini out of fold is surely (90 percent interval) over this: less is not worth a model."""
UNKNOWN = Estimate(0.0, -1.0, 1.0)
"""The average effect where a trial tells none: nobody to compare with, or chosen ones with others."""
_RANDOMISED_LEVEL = 1e-4
_FOLDS = 4
_REPEATS = 3
_REASONS = 3
_LEAST_POINTS = 0.05
_USUAL = 10
"""Values of a feature that stand for all customers when a reason compares with what is usual."""


@dataclass(frozen=True)
class Feature:
    """One feature of the trial's customers, in one column or several, and what is usual."""

    name: str
    columns: tuple[int, ...]
    values: Floats
    """Some of its standardised values, shape (values, columns)."""
    shares: Floats
    """Of customers near each of them."""


@dataclass(frozen=True)
class Uplift:
    """What a trial taught. Effects are differences in the probability of the outcome: 0.05 is 5 points."""

    names: tuple[str, ...]
    """Of the features; `feature=value` marks columns that are one feature together."""
    mean: Floats
    scale: Floats
    features: tuple[Feature, ...]
    average: Estimate
    learner_name: str | None
    """S, T or X; None when no differences were found: everybody is predicted the average effect."""
    learner: Learner | None
    calibration: Calibration | None
    p_value: float
    """Of "everybody is moved alike"; 1 where it was not tested."""
    qini: Estimate | None
    """Of the chosen learner, out of fold; a little flattered by the choice. None where no learner was chosen."""
    ranking: Floats | None
    """Scores out of fold of the learner that ranks best, also when it is not acted on; None where none was tried."""
    messages: tuple[str, ...]
    """Why the average effect stands in, and what to do; empty if all is well."""

    @property
    def heterogeneous(self) -> bool:
        """Whether it pays to tell customers apart."""
        return self.learner is not None

    def advice(self, break_even: float = 0.0) -> str:
        """Whom to treat. break_even: least effect that pays, the cost of a treatment by the value of an outcome."""
        if self.learner is not None:
            return f"treat customers whose uplift is over {100 * break_even:.1f} points"
        if self.average == UNKNOWN:
            return "undecided: this trial tells no effect"
        points = f"{100 * self.average.value:+.2f} points"
        differences = "no differences were found" if self.ranking is not None else "differences cannot be told yet"
        if self.average.low > break_even:
            return f"treat everybody: the average effect of {points} pays, and {differences}"
        if self.average.high < break_even:
            return f"treat nobody: the average effect of {points} does not pay, and {differences}"
        return f"undecided: the trial is too small to tell whether the average effect of {points} pays"


@dataclass(frozen=True)
class Prediction:
    """One element a customer. The interval (90 percent) is that of the expected uplift of customers scored alike."""

    uplift: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Evaluation:
    """Measured on customers of the trial the model has not seen."""

    qini: Estimate
    average: Estimate
    tenths: tuple[Group, ...]


def train(x: Floats, treated: Ints, outcome: Ints, names: Sequence[str], *, seed: int = 0) -> Uplift:
    """Learns from a randomised trial.

    x: (customers, features), nan where unknown; treated, outcome: 0 or 1. The learner is chosen by its ranking of
    customers out of fold; without differences between customers beyond chance, with too little data, or when the
    treatment was not given at random, the average effect (`UNKNOWN` if the trial tells none) stands in, and a message
    says so.
    Raises ValueError for arrays that do not fit together.
    """
    _check(x, treated, outcome, names)
    mean, scale = _scaling(x)
    z = _standardised(x, mean, scale)
    features = _features(z, names)

    def standing_in(average: Estimate, *messages: str, p: float = 1.0, ranking: Floats | None = None) -> Uplift:
        return Uplift(tuple(names), mean, scale, features, average, None, None, None, p, None, ranking, messages)

    least_arm = int(min(treated.sum(), len(treated) - treated.sum()))
    if least_arm == 0:
        missing = "treated" if treated.sum() == 0 else "left untreated"
        return standing_in(
            UNKNOWN,
            f"nobody was {missing}: no effect can be told; keep a random part of the audience without the treatment",
        )
    average = qini.average_effect(treated, outcome)
    least = min(int(((treated == arm) & (outcome == hit)).sum()) for arm in (0, 1) for hit in (0, 1))
    if least_arm < LEAST_CUSTOMERS or least < LEAST_EACH:
        return standing_in(
            average,
            f"the smaller arm has {least_arm} customers and the rarest outcome was seen {least} times; telling "
            f"customers apart needs {LEAST_CUSTOMERS} and {LEAST_EACH}: the average effect stands in until then",
        )
    random_p = heterogeneity.randomised_p(z, treated)
    if random_p < _RANDOMISED_LEVEL:
        return standing_in(
            UNKNOWN,
            f"who was treated can be told from the features (p = {random_p:.1g}): the treatment was not given at "
            "random, and the difference between the arms is no effect; draw the hold-out group at random",
        )
    crossed = [_out_of_fold(z, treated, outcome, seed + repeat) for repeat in range(_REPEATS)]
    tested = [
        heterogeneity.permutation_p(scores, treated, outcome, expected.mean(axis=0), folds, seed=seed)
        for scores, expected, folds in crossed
    ]
    # One way of cutting into folds may be lucky: twice the median p-value over several ways is still one
    # (Chernozhukov et al. 2018).
    p = min(1.0, 2 * float(np.median([p for _, p in tested])))
    best = int(np.argmax(np.mean([statistic for statistic, _ in tested], axis=0)))
    name = tuple(LEARNERS)[best]
    score, usual = (np.mean([parts[kind][best] for parts in crossed], axis=0) for kind in (0, 1))
    if p > LEVEL:
        return standing_in(
            average,
            f"no heterogeneity found (p = {p:.2g}): treat everybody or nobody by the average effect",
            p=p,
            ranking=score,
        )
    found = qini.with_interval(score, treated, outcome, seed=seed)
    if found.low <= LEAST_QINI:
        return standing_in(
            average,
            f"differences between customers are too small to act on (Qini {found.value:.3f}, at least {found.low:.3f}; "
            f"{LEAST_QINI} is needed): no heterogeneity found that pays; treat everybody or nobody by the average",
            p=p,
            ranking=score,
        )
    calibration = heterogeneity.calibrated(score, treated, outcome, usual)
    learner = LEARNERS[name](z, treated, outcome)
    return Uplift(tuple(names), mean, scale, features, average, name, learner, calibration, p, found, score, ())


def predict(model: Uplift, x: Floats) -> Prediction:
    """Uplift of each customer; the average effect for all where the model found no differences."""
    if model.learner is None or model.calibration is None:
        one = np.ones(len(x))
        return Prediction(model.average.value * one, model.average.low * one, model.average.high * one)
    score = model.learner.uplift(_standardised(x, model.mean, model.scale))
    return Prediction(*(np.clip(part, -1.0, 1.0) for part in model.calibration.uplift(score)))


def explain(model: Uplift, x: Floats) -> list[tuple[str, ...]]:
    """For each customer up to three reasons, the largest first: what a feature adds against what is usual."""
    if model.learner is None or model.calibration is None:
        text = f"the average effect of {100 * model.average.value:+.1f} points: no differences were found"
        if model.average == UNKNOWN:
            text = "the trial tells no effect"
        return [(text,)] * len(x)
    z = _standardised(x, model.mean, model.scale)
    whole = model.learner.uplift(z)
    parts = np.empty((len(model.features), len(x)))
    for row, feature in enumerate(model.features):
        usual = np.zeros(len(x))
        for values, share in zip(feature.values, feature.shares, strict=True):
            other = z.copy()
            other[:, feature.columns] = values
            usual += share * model.learner.uplift(other)
        parts[row] = 100 * model.calibration.slope * (whole - usual)
    ranked = np.argsort(-np.abs(np.round(parts, 6)), axis=0, kind="stable")[:_REASONS]
    return [
        tuple(
            f"{_told(model, model.features[row], x[customer])} {'raises' if parts[row, customer] > 0 else 'lowers'} "
            f"the effect by {abs(parts[row, customer]):.1f} points"
            for row in ranked[:, customer].tolist()
            if abs(parts[row, customer]) >= _LEAST_POINTS
        )
        or ("like the average customer",)
        for customer in range(len(x))
    ]


def evaluate(predicted: Floats, treated: Ints, outcome: Ints, *, seed: int = 0) -> Evaluation:
    """Qini with interval, the average effect, and measured uplift by tenths; both arms must have somebody."""
    return Evaluation(
        qini.with_interval(predicted, treated, outcome, seed=seed),
        qini.average_effect(treated, outcome),
        qini.groups(predicted, treated, outcome),
    )


def _told(model: Uplift, feature: Feature, row: Floats) -> str:
    first = feature.columns[0]
    if "=" in model.names[first]:
        held = [model.names[column].partition("=")[2] for column in feature.columns if row[column] == 1]
        return f"{feature.name} {held[0]}" if held else f"{feature.name} none of the usual"
    value, usual = row[first], f"(average {model.mean[first]:.3g})"
    return f"{feature.name} unknown {usual}" if np.isnan(value) else f"{feature.name} {value:.4g} {usual}"


def _features(z: Floats, names: Sequence[str]) -> tuple[Feature, ...]:
    """What is usual of each feature: its commonest values when they are few, else middles of equal parts."""
    columns: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        columns.setdefault(name.partition("=")[0], []).append(column)
    found = []
    for name, of in columns.items():
        values, counts = np.unique(z[:, of], axis=0, return_counts=True)
        if len(values) > _USUAL and len(of) == 1:
            values = np.quantile(z[:, of], (np.arange(_USUAL) + 0.5) / _USUAL, axis=0)
            counts = np.ones(_USUAL, dtype=np.int64)
        common = np.argsort(-counts, kind="stable")[:_USUAL]
        found.append(Feature(name, tuple(of), values[common], counts[common] / max(int(counts[common].sum()), 1)))
    return tuple(found)


def _check(x: Floats, treated: Ints, outcome: Ints, names: Sequence[str]) -> None:
    if x.ndim != 2 or x.shape[1] != len(names) or not len(x) == len(treated) == len(outcome):
        raise ValueError(
            f"x is {x.shape} with {len(names)} names, {len(treated)} treatments and {len(outcome)} outcomes: "
            "rows must be customers and columns the named features"
        )
    for called, values in (("treated", treated), ("outcome", outcome)):
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"{called} must be 0 or 1")


def _scaling(x: Floats) -> tuple[Floats, Floats]:
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(spread > 0, spread, 1.0)


def _standardised(x: Floats, mean: Floats, scale: Floats) -> Floats:
    """Mean 0, deviation 1; unknown values are average."""
    return np.where(np.isnan(x), 0.0, (x - mean) / scale)


def _out_of_fold(z: Floats, treated: Ints, outcome: Ints, seed: int) -> tuple[Floats, Floats, Ints]:
    """Uplift and expected outcome of each learner by models that have not seen the customer, and the folds."""
    folds = np.empty(len(z), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for kind in range(4):
        of = np.flatnonzero(2 * treated + outcome == kind)
        folds[rng.permutation(of)] = np.arange(len(of)) % _FOLDS
    scores, expected = np.empty((len(LEARNERS), len(z))), np.empty((len(LEARNERS), len(z)))
    share = float(treated.mean())
    for fold in range(_FOLDS):
        seen, new = folds != fold, folds == fold
        for row, fit in enumerate(LEARNERS.values()):
            learner = fit(z[seen], treated[seen], outcome[seen])
            scores[row, new], expected[row, new] = learner.uplift(z[new]), learner.outcome(z[new], share)
    return scores, expected, folds
