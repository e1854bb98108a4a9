"""Divides a tenant's customers into clusters: `python -m scoring.jobs.clusters --spec spec.json`.

The features of all customers are computed as `jobs.features` does, k-means is fitted to those who bought within a year
(`models.clustering`), and each of them is told the nearest cluster; where there are too few, or none that form groups,
the named group of recency, frequency and monetary value. The output folder then holds `scores-<n>.parquet`,
`model.json`, `progress.json` and last `_SUCCESS`; run again with equal files it ends with equal ones. Killed while
features are computed it goes on after the last finished file of these. Exit codes: see `jobs.program`.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import numpy as np

from scoring.domain import cluster_gates
from scoring.domain.buckets import BUCKETS
from scoring.domain.cluster_gates import FEATURES, Trial
from scoring.domain.gates import CHAMPION, Verdict
from scoring.jobs import cluster_tasks, description, feature_tasks, features, program
from scoring.jobs.cluster_tasks import Groups, Piece, Told
from scoring.jobs.executor import chosen, cpus
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.instants import microseconds
from scoring.jobs.known_models import LostModelError, stored_form
from scoring.jobs.memory import TooLargeError, widest_of
from scoring.jobs.program import MODEL, SUCCESS
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import MOST_THREADS, ClusterJobSpec
from scoring.jobs.tasks import WORK, UnusableInputError
from scoring.models import clustering
from scoring.models.clustering import CUSTOMER_FEATURES, Clusters, RfmGroups, logarithms
from scoring.models.fitting import Floats
from scoring.models.rounding import shortened

VERSION = "3"
"""Part of every fingerprint: raise it when the same features would give other clusters."""
FORMAT = 1
FITTED_MOST = 200_000
"""Customers the clusters are fitted to; all are told theirs."""
_BYTES_PER_BUYER = 400
"""At the peak of a task, with ids of 46 characters, and of fitting."""
_STEPS = (*((name, share * 0.8) for name, share in features.STEPS), ("fit", 10.0), ("score", 10.0))


@dataclass(frozen=True)
class Fitted:
    """What was fitted to a sample of the `customers`. groups: what they are told."""

    clusters: Clusters
    previous: Clusters | None
    groups: Groups
    verdict: Verdict
    customers: int
    metrics: dict[str, Any]


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.clusters", __doc__, ClusterJobSpec, run)


def run(spec: ClusterJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError, telling how to mend it."""
    try:
        _run(spec, output, reporter)
    except (UnusableInputError, TooLargeError) as error:
        raise program.UnusableError(str(error)) from error


def _run(spec: ClusterJobSpec, output: Folder, reporter: Reporter) -> None:
    output.delete(SUCCESS)
    reporter.steps = _STEPS
    folder = f"{spec.output}/{WORK}/features"
    left_out = features.write(spec.model_copy(update={"output": folder}), (spec.as_of,), Folder(folder), reporter)
    version = (Folder(folder).read_json(features.DECLARATION) or {})["version"]
    files = [feature_tasks.features_file(microseconds(spec.as_of), bucket) for bucket in range(BUCKETS)]
    values, customers = cluster_tasks.sample(folder, files, FITTED_MOST)
    previous, lost = _previous(spec)
    fitted = fit(values, customers, previous, spec.consenting)
    reporter.done("fit", 1, 1)
    pieces = [Piece(spec.output, folder, file, number, fitted.groups) for number, file in enumerate(files)]
    with chosen(spec.executor, customers, spec.ray_from_events, lambda: _width(spec, customers)) as executor:
        finished = 0

        def count(_done: Told) -> None:
            nonlocal finished
            finished += 1
            # Their rows were told of when their features were there.
            reporter.done("score", finished, len(pieces))

        told = executor.run(cluster_tasks.assign, pieces, count)
    known = [model.sha256 for model in spec.models]
    key = fingerprint(VERSION, version, spec.as_of.astimezone(UTC).isoformat(), known, spec.consenting)
    described = _described(spec, fitted, told, key, [message for message in (left_out, lost) if message])
    output.write_json(MODEL, described)
    output.delete(WORK)
    output.write_json(SUCCESS, {"fingerprint": key, "customers": customers, "place": reporter.place})
    reporter.end(State.SUCCEEDED, described["message"])


def fit(values: Floats, customers: int, previous: Clusters | None, consenting: float) -> Fitted:
    """Fits to the FEATURES of a sample of so many customers, and decides what all are told."""
    scaled = logarithms(values)
    found = clustering.fit(scaled, CUSTOMER_FEATURES, previous=previous)
    several = len(found.centroids) > 1
    verdict = cluster_gates.judge(Trial(customers, len(found.centroids), found.strength), consenting)
    metrics: dict[str, Any] = {}
    if several:
        metrics = {
            "inertia": shortened(clustering.evaluate(found, scaled).inertia),
            "silhouette": shortened(clustering.silhouette(found, scaled)),
            "prediction_strength": shortened(found.strength or 0.0),
        }
        if previous is not None:
            metrics["agreement_with_previous"] = shortened(clustering.agreement(found, previous, scaled))
            metrics["kept_from_previous"] = len(set(found.ids) & set(previous.ids))
    groups = found if verdict.state == CHAMPION else RfmGroups.of(values)
    return Fitted(found, previous, groups, verdict, customers, metrics)


def _previous(spec: ClusterJobSpec) -> tuple[Clusters | None, str]:
    """The clusters whose names go on; where their file is lost none do, which is then said."""
    for model in spec.models:
        try:
            stored = stored_form(model)
        except LostModelError:
            return None, f"the clusters have new names, as the stored form of {model.name} is lost or damaged"
        if stored["format"] == FORMAT and stored["features"] == FEATURES:
            return clustering.from_json(stored["clusters"]), ""
    return None, ""


def _width(spec: ClusterJobSpec, customers: int) -> int:
    most = spec.threads or min(cpus(), MOST_THREADS)
    each = -(-customers // BUCKETS)
    return widest_of(_BYTES_PER_BUYER * each, most, spec.memory_mb, f"A bucket of {each} customers")


def _described(
    spec: ClusterJobSpec, fitted: Fitted, told: Sequence[Told], key: str, messages: list[str]
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`). messages: what else is to be said of the job."""
    passed = fitted.verdict.state == CHAMPION
    clusters = _sizes(fitted, sum((each.sizes for each in told), Counter()), spec)
    names = [each["name"] for each in clusters]
    stored = {"format": FORMAT, "features": FEATURES}
    judgement = description.judgement(fitted.verdict, FEATURES, spec.consenting, test={})
    judgement["artefact"] = {**stored, "clusters": clustering.as_json(fitted.clusters)}
    if fitted.customers > FITTED_MOST:
        messages.append(f"fitted to {FITTED_MOST:,} of the customers at most, evenly chosen; all are told theirs")
    if isinstance(fitted.groups, RfmGroups):
        judgement["stand_in"] = description.stand_in(
            "customers are told the groups of recency, frequency and monetary value",
            messages,
            parameters={"clusters": {"model": "RFM", "names": names}},
            metrics={"clusters": clusters},
            artefact={"format": FORMAT, "rfm": fitted.groups.as_json()},
        )
    first = max((each.since_first for each in told if each.since_first is not None), default=None)
    last = min((each.since_last for each in told if each.since_last is not None), default=None)
    own = {
        "model": "k-means",
        "clusters": len(fitted.clusters.centroids),
        "names": names if passed else list(fitted.clusters.names),
    }
    return description.described(
        spec.tenant,
        spec.as_of,
        key,
        judgement,
        messages,
        window=(_ago(spec, first), _ago(spec, last)),
        customers=fitted.customers,
        purchases=sum(each.purchases for each in told),
        parameters={"clusters": own},
        metrics={**fitted.metrics, **({"clusters": clusters} if passed else {})},
        currency=spec.currency,
    )


def _sizes(fitted: Fitted, sizes: Counter[str], spec: ClusterJobSpec) -> list[dict[str, Any]]:
    """Of each group its name, how many customers are in it, their share, and what makes it differ, in words."""
    groups = fitted.groups
    differs: dict[str, list[str]] = {}
    if isinstance(groups, Clusters):
        middles = np.expm1(groups.centroids * groups.scaling.spread + groups.scaling.centre)
        usual = np.expm1(groups.scaling.centre)
        for name, middle, found in zip(groups.names, middles, groups.differences(), strict=True):
            differs[name] = [
                f"{words}: about {_shown(place, middle[place], spec)}, {_shown(place, usual[place], spec)} are usual"
                for place, words in found
            ]
    return [
        {
            "name": name,
            "customers": sizes[name],
            "share": shortened(sizes[name] / max(fitted.customers, 1)),
            "differs": differs.get(name, []),
        }
        for name in groups.names
    ]


def _shown(place: int, value: float, spec: ClusterJobSpec) -> str:
    """A value of the feature at that place, in its unit."""
    name = list(FEATURES)[place]
    if name in ("revenue_365d", "mean_order_value_365d"):
        return f"{value / 10**spec.digits:,.{spec.digits}f} {spec.currency}"
    return f"{value:.0f} days" if name.startswith("days_since") else f"{value:.1f}"


def _ago(spec: ClusterJobSpec, days: float | None) -> str | None:
    return None if days is None else (spec.as_of.astimezone(UTC) - timedelta(days=days)).isoformat()


if __name__ == "__main__":
    sys.exit(main())
