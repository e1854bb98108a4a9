"""What jobs that train a model of propensity share: the test on the newest rows, the gates, what the registry is told.

What is tested was trained only on rows whose outcomes were known when the test's rows began; what then scores is
trained on all. Beside it stand the share of all, what ranks rows without a model, and the champion.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from scoring.domain import propensity_gates
from scoring.domain.gates import CHAMPION, Interval, Verdict
from scoring.domain.propensity_gates import Trial, Words
from scoring.jobs import description, program, propensity_watch
from scoring.jobs.description import Watched
from scoring.jobs.executor import Executor
from scoring.jobs.files import fingerprint, opened, sha256
from scoring.jobs.progress import Reporter
from scoring.jobs.propensity_watch import Current, Known
from scoring.jobs.spec import KnownModel, PropensitySpec
from scoring.models import classifier, propensity, survival
from scoring.models.classifier import FindingKind, Table, TableError, Training
from scoring.models.classifier.classifier import BASE_RATE
from scoring.models.classifier.comparison import Difference
from scoring.models.classifier.metrics import calibration_curve
from scoring.models.fitting import Floats
from scoring.models.propensity import Labelled, Propensity
from scoring.models.rounding import shortened
from scoring.models.summary import Ints

_TENTHS = 10


@dataclass(frozen=True)
class Purpose:
    """What is told, and how it is called."""

    name: str
    """Of the model's parameters."""
    outcome: str
    """What reasons say is raised or lowered."""
    horizon_days: int
    """Within how long of a row's date its outcome is known."""
    features: dict[str, int]
    """Name -> version of the definition."""
    words: Words
    without: str
    """What holds until a first model passes its gates."""
    in_time: bool = False
    """Whether columns were shown not to look ahead: then one that ranks well alone is no leak."""


@dataclass(frozen=True)
class Test:
    """What was measured on the rows of the test. kept: as models keep it."""

    figures: Trial
    metrics: dict[str, Any]
    kept: dict[str, Any]
    promised: float


@dataclass(frozen=True)
class Trained:
    """A model, how it was judged, and what became of the one that scores now."""

    training: Training
    model: Propensity
    test: Test | None
    verdict: Verdict
    watched: Watched[Known]

    @property
    def scorer(self) -> Propensity | None:
        """The model that scores from now on; None while none has passed its gates."""
        if self.verdict.state == CHAMPION:
            return self.model
        return self.watched.standing.model if self.watched.standing else None


@dataclass(frozen=True)
class Material:
    """What a job learns from. newest: see `Propensity.newest`."""

    data: Labelled
    learn: Ints
    """Rows that train for the test."""
    test: Ints
    newest: int
    current: Current
    reference: Table
    """What the rows of later jobs are held against, to see whether they have moved."""


def train(
    material: Material, purpose: Purpose, spec: PropensitySpec, reporter: Reporter, executor: Executor
) -> Trained:
    """Trains on the rows `learn` for the test on the rows `test`, and on all: two tasks of the executor.

    Raises UnusableError for rows that nothing may be learned from, or a stored model that is damaged.
    """
    data, learn, test = material.data, material.learn, material.test
    stored = [_stored(each) for each in spec.models]
    watched = propensity_watch.watch(data, material.current, purpose.horizon_days, stored)

    def fit(rows: Labelled) -> Training:
        try:
            return classifier.train(
                rows.table, rows.labels, rows.dates, purpose.horizon_days, purpose.outcome, rows.customers
            )
        except TableError as error:
            raise program.UnusableError(f"the {purpose.words.rows} cannot be learned from: {error}") from error

    trained, final = executor.run(fit, [data.take(learn), data], reporter.counter("fit", 2))
    known = _known(data, learn, test)
    standing = watched.standing
    found = None
    if propensity_gates.known(known, purpose.words).passed:
        found = _test(trained, data.take(test), standing.model if standing else None, purpose)
    figures = found.figures if found else None
    verdict = propensity_gates.judge(known, figures, spec.consenting, _name(standing), purpose.words)
    model = Propensity(
        final.classifier,
        propensity.reference_of(final),
        material.newest,
        round(spec.as_of.timestamp() * 1e6),
        found.promised if found else None,
        propensity_watch.histograms(final.classifier, material.reference),
    )
    return Trained(final, model, found, verdict, watched)


def described(trained: Trained, data: Labelled, purpose: Purpose, spec: PropensitySpec, version: str) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`). version: of the program that trained it."""
    final, test, watched = trained.training, trained.test, trained.watched
    artefact = propensity.dump(trained.model)
    told = [each for each in final.findings if not (purpose.in_time and each.kind is FindingKind.LEAK)]
    messages = classifier.in_words(told)
    if trained.verdict.state != CHAMPION and watched.champion is None:
        messages.insert(0, f"no model has passed its gates yet: {purpose.without}")
    candidates = {name: one.setting for name, one in final.classifier.candidates.items()}
    parameters = {
        purpose.name: {
            "model": final.classifier.chosen,
            "base_rate": shortened(final.classifier.base_rate.probability),
            "horizon_days": purpose.horizon_days,
            **{name: setting for name, setting in candidates.items() if setting is not None},
        }
    }
    kept = test.kept if test else {}
    judgement = description.judgement(trained.verdict, purpose.features, spec.consenting, test=kept, watched=watched)
    judgement["artefact"] = artefact
    return description.described(
        spec.tenant,
        spec.as_of,
        fingerprint(version, artefact),
        judgement,
        messages,
        window=(_instant(data.dates.min()), _instant(data.dates.max())) if len(data) else (None, None),
        customers=len(data),
        purchases=int(data.labels.sum()),
        parameters=parameters,
        metrics=test.metrics if test else {},
    )


def released(spec: PropensitySpec) -> Propensity:
    """The champion that the job was told of. Raises UnusableError when it is damaged."""
    return next(_stored(each).model for each in spec.models if each.role == "champion")


def evaluated(material: Material, purpose: Purpose, spec: PropensitySpec) -> dict[str, Any]:
    """What became of the models, as the registry keeps it. Raises UnusableError when one is damaged."""
    stored = [_stored(each) for each in spec.models]
    watched = propensity_watch.watch(material.data, material.current, purpose.horizon_days, stored)
    return {"message": "", "judgement": watched.told()}


def _stored(known: KnownModel) -> Known:
    with opened(known.url) as file:
        if sha256(file) != known.sha256:
            raise program.UnusableError(f"the stored form of {known.name} is damaged: promote another model")
    with opened(known.url) as file:
        return Known(known.name, known.role, propensity.load(json.load(file)))


def _known(data: Labelled, learn: Ints, test: Ints) -> propensity_gates.Known:
    counts = [int(value) for rows in (learn, test) for value in _counts(data.labels[rows])]
    counts += [customers for rows in (learn, test) for customers in data.take(rows).customer_counts]
    return propensity_gates.Known(len(data), *counts)


def _counts(labels: Floats) -> tuple[float, float]:
    return labels.sum(), len(labels) - labels.sum()


def _test(trained: Training, test: Labelled, champion: Propensity | None, purpose: Purpose) -> Test:
    chosen = trained.classifier.chosen
    told = {
        name: classifier.predict(trained.classifier, test.table, candidate=name).probability
        for name in trained.classifier.candidates
    } | {BASE_RATE: np.full(len(test), trained.classifier.base_rate.probability)}
    mine = told[chosen]
    whose = test.customers
    measured = {name: classifier.measure(test.labels, probability, whose) for name, probability in told.items()}
    against_rival = classifier.compare(test.labels, test.rival, mine, whose).auc
    of_mine = measured[chosen]
    assert of_mine is not None
    # The champion has learned from some of the tested rows, or from all: held against these it would be flattered.
    new = np.flatnonzero(test.dates > np.datetime64(champion.newest if champion else 0, "us"))
    new_events, new_others = test.take(new).customer_counts
    comparable = champion is not None and propensity_gates.comparable(new_events, new_others)
    theirs = champion.probability(test.table.take(new)) if champion and comparable else None
    figures = Trial(
        auc=against_rival.challenger,
        rival_auc=against_rival.champion,
        against_rival=_interval(against_rival),
        against_base_rate=_share(classifier.compare(test.labels, told[BASE_RATE], mine, whose).log_loss),
        against_champion=None
        if theirs is None
        else _share(classifier.compare(test.labels[new], theirs, mine[new], whose[new]).log_loss),
        new_events=new_events,
        new_others=new_others,
        calibration_error=of_mine.ece.value,
        chance=of_mine.ece_by_chance,
    )
    words = purpose.words
    metrics = {
        "chosen": chosen,
        "test": {name: _figures(found) for name, found in measured.items() if found is not None},
        f"{words.rival}_auc": shortened(figures.rival_auc),
        f"test_{words.rows}": len(test),
        f"test_{words.counted}": int(test.labels.sum()),
    }
    kept = {
        "deciles": _deciles(test.labels, mine),
        "miscalibration": shortened(of_mine.ece.value),
        "customers": len(test),
    }
    if theirs is not None:
        # Side by side on the rows that are new to both.
        kept["deciles_beside"] = _deciles(test.labels[new], mine[new])
        kept["champion_deciles"] = _deciles(test.labels[new], theirs)
    promised = propensity_watch.error_share(test, mine, purpose.horizon_days).value
    if test.waited is not None:
        kept["waiting"] = survival.by_third(mine, test.waited, purpose.horizon_days)
    kept["promised"] = {str(purpose.horizon_days): promised}
    return Test(figures, metrics, kept, promised)


def _deciles(labels: Floats, told: Floats) -> list[dict[str, Any]]:
    return [
        {"expected": shortened(each.predicted), "actual": shortened(each.observed), "customers": each.rows}
        for each in calibration_curve(labels, told, _TENTHS)
    ]


def _figures(found: classifier.Metrics) -> dict[str, Any]:
    named = ("auc", "average_precision", "brier", "log_loss", "lift", "ece")
    return {name: shortened(getattr(found, name).value) for name in named} | {
        "auc_interval": [shortened(found.auc.low), shortened(found.auc.high)]
    }


def _name(known: Known | None) -> str:
    return known.name if known else ""


def _interval(found: Difference) -> Interval:
    return Interval(shortened(found.value), shortened(found.low), shortened(found.high))


def _share(found: Difference) -> Interval:
    """As a share of the loss it is held against."""
    return Interval(*(shortened(value / found.champion) for value in (found.value, found.low, found.high)))


def _instant(moment: Any) -> str:
    return datetime.fromtimestamp(int(moment.astype(np.int64)) / 1e6, UTC).isoformat()
