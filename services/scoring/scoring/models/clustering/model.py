"""Clusters of customers: what they are, whom they hold, and why."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

NOTABLE = 0.5
"""Scaled units from usual on, a feature is worth a word."""
_FAR = 1.0
_CLIP = 6.0
"""Scaled values count up to here: what is ten times beyond usual is as far as what is six."""


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
    """The CUSTOMER_FEATURES, one row a customer, as `logarithms` of them."""
    mean = np.maximum(revenue_minor, 0) / np.maximum(days, 1)
    return logarithms(np.stack((days_since_last, days, revenue_minor, mean, age_days), axis=1))


def logarithms(values: Floats) -> Floats:
    """What distances are measured in: ratios count, not differences. What is missing or negative counts as nothing."""
    logarithm: Floats = np.log1p(np.nan_to_num(np.maximum(values, 0.0)))
    return logarithm


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
    second: Ints
    """Index of the next cluster; the same where there is but one."""
    second_distance: Floats
    """From that one's centroid."""


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
    strength: float | None = None
    """Prediction strength of this number of clusters; of a single one, of the best division that was not good enough.
    None where the number was given, or too few customers were."""

    def assign(self, values: Floats) -> Assignment:
        """The nearest cluster of each row."""
        distances = squares(self.scaling.scaled(values), self.centroids)
        cluster = distances.argmin(axis=1)
        rows = np.arange(len(cluster))
        nearest = np.sqrt(distances[rows, cluster])
        if len(self.centroids) == 1:
            return Assignment(cluster, nearest, np.ones(len(cluster)), cluster, nearest)
        distances[rows, cluster] = np.inf
        second = distances.argmin(axis=1)
        further = np.sqrt(distances[rows, second])
        return Assignment(cluster, nearest, 1 - nearest / np.maximum(further, 1e-12), second, further)

    def reasons(self, values: Floats, assignment: Assignment, most: int = 2) -> list[tuple[str, ...]]:
        """What puts each row into its cluster rather than into any other, in words, the largest part first."""
        scaled = self.scaling.scaled(values)
        mine = (scaled - self.centroids[assignment.cluster]) ** 2
        usual = scaled**2 if len(self.centroids) == 1 else ((scaled - self._others(assignment.cluster)) ** 2)
        ranked = np.argsort(mine - usual, axis=1, kind="stable")[:, :most]
        level = _levels(scaled)
        words = [[f"{how} in {feature.name}" for how in _LEVELS] for feature in self.features]
        return [
            tuple(words[place][levels[place]] for place in places)
            for places, levels in zip(ranked.tolist(), level.tolist(), strict=True)
        ]

    def differences(self) -> list[tuple[tuple[int, str], ...]]:
        """What makes each cluster differ: places of features and words, the most unusual first; none is notable where
        all is about usual.
        """
        levels = _levels(self.centroids)
        ranked = np.argsort(-np.abs(self.centroids), axis=1, kind="stable")
        return [
            tuple(
                (place, f"{_LEVELS[levels[row, place]]} in {self.features[place].name}")
                for place in places
                if abs(self.centroids[row, place]) >= NOTABLE
            )
            for row, places in enumerate(ranked.tolist())
        ]

    def _others(self, cluster: Ints) -> Floats:
        """The middle of all other centroids, for each row's cluster."""
        count = len(self.centroids)
        middle = (self.centroids.sum(axis=0) - self.centroids) / (count - 1)
        others: Floats = middle[cluster]
        return others


_LEVELS = ("far below usual", "below usual", "about usual", "above usual", "far above usual")


def _levels(scaled: Floats) -> Ints:
    """Index into _LEVELS of each value."""
    return np.searchsorted((-_FAR, -NOTABLE, NOTABLE, _FAR), scaled, side="right")


@dataclass(frozen=True)
class Evaluation:
    """How well clusters hold customers together."""

    inertia: float
    """Sum of squared scaled distances."""
    silhouette: float
    """Mean of (b - a) / max(a, b), with the distances a to the own and b to the next centroid; 1 is best."""
    shares: tuple[float, ...]
    """Of customers, by cluster."""


def evaluate(model: Clusters, values: Floats) -> Evaluation:
    """On customers that the model was fitted to, or on others."""
    assignment = model.assign(values)
    # certainty is 1 - a / b: with centroids in place of all members, the silhouette.
    shares = np.bincount(assignment.cluster, minlength=len(model.centroids)) / max(len(values), 1)
    inertia = float(np.add.reduce(assignment.distance**2))
    return Evaluation(inertia, float(assignment.certainty.mean()), tuple(shares.tolist()))


def squares(scaled: Floats, centroids: Floats) -> Floats:
    """Squared distance of each row from each centroid, shape (rows, centroids)."""
    found: Floats = np.empty((len(scaled), len(centroids)))
    for place, centroid in enumerate(centroids):
        np.add.reduce((scaled - centroid) ** 2, axis=1, out=found[:, place])
    return found


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
        "strength": model.strength,
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
        strength=stored["strength"],
    )
