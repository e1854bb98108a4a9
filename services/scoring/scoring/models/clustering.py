"""Groups of customers who are alike: k-means on robustly scaled features, named in words, and stable over retrains.

Lloyd's k-means from several k-means++ starts (Arthur and Vassilvitskii 2007); for many customers the starts are
mini-batches (Sculley 2010), and the best is finished on all. Features are scaled by median and interquartile range, so
that a few giants do not decide. Without a given k it is the largest whose clusters are found again in the other half of
the customers: prediction strength of at least 0.8 (Tibshirani and Walther 2005).

A retrain matches its centroids to those of the model before (Hungarian assignment): a cluster that moved less than half
the way to its nearest neighbour keeps its id and its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

LEAST_CUSTOMERS = 200
"""Fewer than this are one group."""
LARGE = 50_000
"""From so many customers on, starts are mini-batches."""
STRENGTH = 0.8
MOST_CLUSTERS = 8
_STARTS = 10
_FEW_STARTS = 3
_SAMPLE = 8_000
_BATCH = 4_096
_FINISH = 30
_CLIP = 6.0
"""Scaled values count up to here: what is ten times beyond usual is as far as what is six."""
_NOTABLE, _FAR = 0.5, 1.0


@dataclass(frozen=True)
class Feature:
    """One measure of customers: how reasons call it, and what clusters low and high in it are called."""

    name: str
    low: str
    high: str


CUSTOMER_FEATURES = (
    Feature("days since the last purchase", "bought lately", "long silent"),
    Feature("number of purchases", "buy seldom", "buy often"),
    Feature("spend", "spend little", "spend much"),
    Feature("value of a purchase", "small baskets", "large baskets"),
    Feature("time as a customer", "new", "long known"),
)


def customer_features(days_since_last: Ints, days: Ints, revenue_minor: Ints, age_days: Ints) -> Floats:
    """Logarithms of the CUSTOMER_FEATURES, one row a customer: ratios count, not differences."""
    mean = np.maximum(revenue_minor, 0) / np.maximum(days, 1)
    columns = (days_since_last, days, np.maximum(revenue_minor, 0), mean, age_days)
    return np.stack([np.log1p(column) for column in columns], axis=1)


@dataclass(frozen=True)
class Scaling:
    """Median and spread of each feature."""

    centre: Floats
    spread: Floats

    @classmethod
    def of(cls, values: Floats) -> "Scaling":
        """The spread is the interquartile range, the standard deviation where that is zero, 1 where all are equal."""
        low, centre, high = np.percentile(values, (25, 50, 75), axis=0)
        deviation = values.std(axis=0)
        spread = np.where(high > low, high - low, np.where(deviation > 0, deviation, 1.0))
        return cls(centre, spread)

    def scaled(self, values: Floats) -> Floats:
        """0 is usual; 1 is as far as from the lower to the upper quarter."""
        scaled: Floats = np.clip((values - self.centre) / self.spread, -_CLIP, _CLIP)
        return scaled


@dataclass(frozen=True)
class Assignment:
    """One element a customer."""

    cluster: Ints
    """Index into the clusters of the model."""
    distance: Floats
    """From the centroid, in scaled units."""
    certainty: Floats
    """From 0, as near to another cluster, to 1, at the centroid."""


@dataclass(frozen=True)
class Clusters:
    """A model. Centroids are scaled and ordered by id."""

    features: tuple[Feature, ...]
    scaling: Scaling
    centroids: Floats
    ids: tuple[int, ...]
    """Of each cluster; it keeps its id over retrains, and no other ever gets it."""
    names: tuple[str, ...]
    next_id: int
    message: str = ""
    """Why there is but one cluster; empty if all is well."""

    def assign(self, values: Floats) -> Assignment:
        """The nearest cluster of each row."""
        squares = _squares(self.scaling.scaled(values), self.centroids)
        cluster = squares.argmin(axis=1)
        rows = np.arange(len(cluster))
        nearest = np.sqrt(squares[rows, cluster])
        if len(self.centroids) == 1:
            return Assignment(cluster, nearest, np.ones(len(cluster)))
        squares[rows, cluster] = np.inf
        second = np.sqrt(squares.min(axis=1))
        return Assignment(cluster, nearest, 1 - nearest / np.maximum(second, 1e-12))

    def reasons(self, values: Floats, assignment: Assignment, most: int = 2) -> list[tuple[str, ...]]:
        """What puts each row into its cluster rather than into any other, in words, the largest part first."""
        scaled = self.scaling.scaled(values)
        mine = (scaled - self.centroids[assignment.cluster]) ** 2
        usual = scaled**2 if len(self.centroids) == 1 else ((scaled - self._others(assignment.cluster)) ** 2)
        ranked = np.argsort(mine - usual, axis=1, kind="stable")[:, :most]
        level = np.searchsorted((-_FAR, -_NOTABLE, _NOTABLE, _FAR), scaled, side="right")
        words = [[f"{how} in {feature.name}" for how in _LEVELS] for feature in self.features]
        return [
            tuple(words[place][levels[place]] for place in places)
            for places, levels in zip(ranked.tolist(), level.tolist(), strict=True)
        ]

    def _others(self, cluster: Ints) -> Floats:
        """The middle of all other centroids, for each row's cluster."""
        count = len(self.centroids)
        middle = (self.centroids.sum(axis=0) - self.centroids) / (count - 1)
        others: Floats = middle[cluster]
        return others


_LEVELS = ("far below usual", "below usual", "about usual", "above usual", "far above usual")


@dataclass(frozen=True)
class Evaluation:
    """How well clusters hold customers together."""

    inertia: float
    """Sum of squared scaled distances."""
    silhouette: float
    """Mean of (b - a) / max(a, b), with the distances a to the own and b to the next centroid; 1 is best."""
    shares: tuple[float, ...]
    """Of customers, by cluster."""


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
    if k is None:
        k = best_k(scaled, seed)
    if k < 2:
        alone = _everybody(values, tuple(features), previous)
        return replace(alone, message="no division of these customers is found again in another half of them")
    found = Clusters(tuple(features), scaling, _centroids(scaled, k, seed), (), (), 1)
    return _named(found, previous)


def evaluate(model: Clusters, values: Floats) -> Evaluation:
    """On customers that the model was fitted to, or on others."""
    assignment = model.assign(values)
    # certainty is 1 - a / b: with centroids in place of all members, the silhouette.
    shares = np.bincount(assignment.cluster, minlength=len(model.centroids)) / max(len(values), 1)
    inertia = float(np.add.reduce(assignment.distance**2))
    return Evaluation(inertia, float(assignment.certainty.mean()), tuple(shares.tolist()))


def best_k(scaled: Floats, seed: int = 1) -> int:
    """The largest number of clusters with a prediction strength of at least STRENGTH; 1 if there is none."""
    rng = np.random.default_rng(seed)
    sample = scaled[rng.permutation(len(scaled))[:_SAMPLE]]
    halves = sample[::2], sample[1::2]
    for k in range(MOST_CLUSTERS, 1, -1):
        if min(_strength(*halves, k, seed), _strength(*halves[::-1], k, seed)) >= STRENGTH:
            return k
    return 1


def _strength(train: Floats, test: Floats, k: int, seed: int) -> float:
    """Of the pairs in a cluster of `test`, the share that clusters of `train` keep together; of the worst cluster."""
    of_train = _squares(test, _lloyd(train, k, _FEW_STARTS, seed)).argmin(axis=1)
    of_test = _squares(test, _lloyd(test, k, _FEW_STARTS, seed + 1)).argmin(axis=1)
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
    best = min(starts, key=lambda start: float(_squares(sample, start.cluster_centers_).min(axis=1).sum()))
    near = KMeans(k, init=best.cluster_centers_, n_init=1, max_iter=300).fit(sample)
    finished = KMeans(k, init=near.cluster_centers_, n_init=1, max_iter=_FINISH).fit(scaled)
    centroids: Floats = finished.cluster_centers_
    return centroids


def _lloyd(scaled: Floats, k: int, starts: int, seed: int) -> Floats:
    from sklearn.cluster import KMeans

    centroids: Floats = KMeans(k, n_init=starts, random_state=seed).fit(scaled).cluster_centers_
    return centroids


def _squares(scaled: Floats, centroids: Floats) -> Floats:
    squares: Floats = np.empty((len(scaled), len(centroids)))
    for place, centroid in enumerate(centroids):
        np.add.reduce((scaled - centroid) ** 2, axis=1, out=squares[:, place])
    return squares


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


def _named(found: Clusters, previous: Clusters | None) -> Clusters:
    """With ids and names: those of the previous model where a cluster is still the same, else new ones."""
    kept = _matched(found, previous) if previous else {}
    next_id = previous.next_id if previous else 1
    taken = {previous.names[old] for old in kept.values()} if previous else set()
    ids, names = [], []
    # The most unusual first: they get the plainest names.
    for place in np.argsort(-np.abs(found.centroids).max(axis=1), kind="stable").tolist():
        if previous and place in kept:
            ids.append((place, previous.ids[kept[place]]))
            names.append(previous.names[kept[place]])
            continue
        name = _name(found.centroids[place], found.features, taken)
        taken.add(name)
        ids.append((place, next_id))
        names.append(name)
        next_id += 1
    order = sorted(range(len(ids)), key=lambda index: ids[index][1])
    return replace(
        found,
        centroids=found.centroids[[ids[index][0] for index in order]],
        ids=tuple(ids[index][1] for index in order),
        names=tuple(names[index] for index in order),
        next_id=next_id,
    )


def _matched(found: Clusters, previous: Clusters) -> dict[int, int]:
    """Place of each cluster that is one of the previous model, and that one's place."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    if previous.features != found.features or len(previous.centroids) < 2:
        return {}
    # In the units of the new model; what was usual may have moved.
    raw = previous.centroids * previous.scaling.spread + previous.scaling.centre
    old = (raw - found.scaling.centre) / found.scaling.spread
    distance = np.sqrt(_squares(found.centroids, old))
    apart = np.sqrt(_squares(old, old))
    np.fill_diagonal(apart, np.inf)
    reach = apart.min(axis=1) / 2
    pairs = zip(*linear_sum_assignment(distance), strict=True)
    return {int(new): int(before) for new, before in pairs if distance[new, before] < reach[before]}


def _name(centroid: Floats, features: Sequence[Feature], taken: set[str]) -> str:
    """By what is most unusual of it: two features, more if another cluster is called so already."""
    ranked = np.argsort(-np.abs(centroid), kind="stable")
    words = [features[place].high if centroid[place] > 0 else features[place].low for place in ranked]
    notable = [word for word, place in zip(words, ranked, strict=True) if abs(centroid[place]) >= _NOTABLE]
    base = ", ".join(notable[:2]) or "about usual"
    for name in (base, *(", ".join(words[:size]) for size in range(1, len(words) + 1))):
        if name not in taken:
            return name
    number = 2
    while f"{base} ({number})" in taken:
        number += 1
    return f"{base} ({number})"


def as_json(model: Clusters) -> dict[str, Any]:
    """The model as JSON holds it."""
    return {
        "features": [[feature.name, feature.low, feature.high] for feature in model.features],
        "centre": model.scaling.centre.tolist(),
        "spread": model.scaling.spread.tolist(),
        "centroids": model.centroids.tolist(),
        "ids": list(model.ids),
        "names": list(model.names),
        "next_id": model.next_id,
        "message": model.message,
    }


def from_json(stored: dict[str, Any]) -> Clusters:
    """What `as_json` made."""
    return Clusters(
        features=tuple(Feature(*feature) for feature in stored["features"]),
        scaling=Scaling(np.array(stored["centre"]), np.array(stored["spread"])),
        centroids=np.array(stored["centroids"]),
        ids=tuple(stored["ids"]),
        names=tuple(stored["names"]),
        next_id=stored["next_id"],
        message=stored["message"],
    )
