"""Fitting clusters to customers: the number of them, where they lie, and one for everybody where there are none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoring.domain.cluster_gates import LEAST_CUSTOMERS, LEAST_STRENGTH
from scoring.models.clustering.model import Clusters, Feature, Scaling, squares
from scoring.models.clustering.naming import named
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

LARGE = 50_000
"""From so many customers on, starts are mini-batches."""
MOST_CLUSTERS = 8
_STARTS = 10
_FEW_STARTS = 3
_SAMPLE = 8_000
_SPLITS = 5
_BATCH = 4_096
_FINISH = 30


def fit(
    values: Floats,
    features: Sequence[Feature],
    k: int | None = None,
    previous: Clusters | None = None,
    seed: int = 1,
) -> Clusters:
    """Clusters of the rows of `values` (customers x features); the same for the same rows, seed and previous model.

    Raises ValueError when the numbers of features differ or values are not finite.
    """
    if values.ndim != 2 or values.shape[1] != len(features):
        raise ValueError(f"values have shape {values.shape}; {len(features)} features are named")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite: leave out or fill in what is missing")
    distinct = len(np.unique(values[:_SAMPLE], axis=0))
    if len(values) < LEAST_CUSTOMERS or distinct < 2 * MOST_CLUSTERS:
        return _everybody(values, tuple(features), previous)
    scaling = Scaling.of(values)
    scaled = scaling.scaled(values)
    strength = None
    if k is None:
        k, strength = best_k(scaled, seed)
    if k < 2:
        alone = _everybody(values, tuple(features), previous)
        message = "no division of these customers is found again in another half of them"
        return replace(alone, message=message, strength=strength)
    found = Clusters(tuple(features), scaling, _centroids(scaled, k, seed), (), (), 1, strength=strength)
    return named(found, previous)


def best_k(scaled: Floats, seed: int = 1) -> tuple[int, float]:
    """The largest number of clusters with a prediction strength of at least LEAST_STRENGTH, and that strength.

    1 if there is none, with the strength of the best.
    """
    rng = np.random.default_rng(seed)
    sample = scaled[rng.permutation(len(scaled))[:_SAMPLE]]
    orders = [rng.permutation(len(sample)) for _ in range(_SPLITS)]
    best = 0.0
    for k in range(MOST_CLUSTERS, 1, -1):
        strength = _mean_strength(sample, orders, k, seed)
        if strength >= LEAST_STRENGTH:
            return k, strength
        best = max(best, strength)
    return 1, best


def _mean_strength(sample: Floats, orders: Sequence[Ints], k: int, seed: int) -> float:
    """Over several divisions into halves: of few customers a single one may find anything again by chance.

    It ends as soon as the mean cannot be good enough any more: then it is that of those looked at.
    """
    total = 0.0
    for number, order in enumerate(orders, 1):
        halves = sample[order[::2]], sample[order[1::2]]
        total += min(_strength(*halves, k, seed), _strength(*halves[::-1], k, seed))
        if total + len(orders) - number < LEAST_STRENGTH * len(orders):
            return total / number
    return total / len(orders)


def _strength(train: Floats, test: Floats, k: int, seed: int) -> float:
    """Of the pairs in a cluster of `test`, the share that clusters of `train` keep together; of the worst cluster."""
    of_train = squares(test, _lloyd(train, k, _FEW_STARTS, seed)).argmin(axis=1)
    of_test = squares(test, _lloyd(test, k, _FEW_STARTS, seed + 1)).argmin(axis=1)
    both = np.bincount(of_test * k + of_train, minlength=k * k).reshape(k, k)
    sizes = both.sum(axis=1)
    pairs = (both * (both - 1)).sum(axis=1) / np.maximum(sizes * (sizes - 1), 1)
    return float(pairs[sizes > 1].min(initial=1.0))


def _centroids(scaled: Floats, k: int, seed: int) -> Floats:
    if len(scaled) < LARGE:
        return _lloyd(scaled, k, _STARTS, seed)
    from sklearn.cluster import KMeans, MiniBatchKMeans

    rng = np.random.default_rng(seed)
    sample = scaled[rng.permutation(len(scaled))[:LARGE]]
    starts = [
        MiniBatchKMeans(k, batch_size=_BATCH, n_init=1, max_iter=20, random_state=seed + start).fit(sample)
        for start in range(_STARTS)
    ]
    best = min(starts, key=lambda start: float(squares(sample, start.cluster_centers_).min(axis=1).sum()))
    near = KMeans(k, init=best.cluster_centers_, n_init=1, max_iter=300).fit(sample)
    finished = KMeans(k, init=near.cluster_centers_, n_init=1, max_iter=_FINISH).fit(scaled)
    centroids: Floats = finished.cluster_centers_
    return centroids


def _lloyd(scaled: Floats, k: int, starts: int, seed: int) -> Floats:
    from sklearn.cluster import KMeans

    centroids: Floats = KMeans(k, n_init=starts, random_state=seed).fit(scaled).cluster_centers_
    return centroids


def _everybody(values: Floats, features: tuple[Feature, ...], previous: Clusters | None) -> Clusters:
    """One cluster, with a message why."""
    scaling = Scaling.of(values) if len(values) else Scaling(np.zeros(len(features)), np.ones(len(features)))
    message = f"{len(values)} customers, or too few different ones, do not form groups: {LEAST_CUSTOMERS} are needed"
    next_id = previous.next_id if previous else 1
    alone = len(previous.ids) == 1 if previous else False
    cluster_id = previous.ids[0] if previous and alone else next_id
    return Clusters(
        features,
        scaling,
        np.zeros((1, len(features))),
        (cluster_id,),
        ("everybody",),
        next_id if alone else next_id + 1,
        message,
    )
