"""Ids and names of clusters, kept over retrains where a cluster is still the same (Hungarian assignment)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoring.models.clustering.model import NOTABLE, Clusters, Feature, squares
from scoring.models.fitting import Floats


def named(found: Clusters, previous: Clusters | None) -> Clusters:
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
    distance = np.sqrt(squares(found.centroids, old))
    apart = np.sqrt(squares(old, old))
    np.fill_diagonal(apart, np.inf)
    reach = apart.min(axis=1) / 2
    # Beyond its reach all are equally far: whoever came from afar must not push others out of their places.
    pairs = zip(*linear_sum_assignment(np.minimum(distance - reach, 0.0)), strict=True)
    return {int(new): int(before) for new, before in pairs if distance[new, before] < reach[before]}


def _name(centroid: Floats, features: Sequence[Feature], taken: set[str]) -> str:
    """By what is most unusual of it: two features, more if another cluster is called so already."""
    ranked = np.argsort(-np.abs(centroid), kind="stable")
    words = [features[place].high if centroid[place] > 0 else features[place].low for place in ranked]
    notable = [word for word, place in zip(words, ranked, strict=True) if abs(centroid[place]) >= NOTABLE]
    base = ", ".join(notable[:2]) or "about usual"
    for name in (base, *(", ".join(words[:size]) for size in range(1, len(words) + 1))):
        if name not in taken:
            return name
    number = 2
    while f"{base} ({number})" in taken:
        number += 1
    return f"{base} ({number})"
