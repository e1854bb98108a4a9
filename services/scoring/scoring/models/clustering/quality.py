"""How good clusters are, and how much they are like those of another model, on a sample of customers."""

import numpy as np

from scoring.models.clustering.model import Clusters
from scoring.models.fitting import Floats

_SILHOUETTE_ROWS = 2_000
"""Every pair of them is measured."""


def silhouette(model: Clusters, values: Floats) -> float:
    """Mean of (b - a) / max(a, b), with the mean distances a to the others of the own cluster and b to those of the
    next one (Rousseeuw 1987), on rows at even distances. 1 is best; 0 with one cluster.
    """
    from sklearn.metrics import silhouette_score

    rows = values[:: max(1, -(-len(values) // _SILHOUETTE_ROWS))]
    found = model.assign(rows).cluster
    if not 1 < len(np.unique(found)) < len(rows):
        return 0.0
    return float(silhouette_score(model.scaling.scaled(rows), found))


def agreement(model: Clusters, other: Clusters, values: Floats) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of how two models divide the same rows: 1 alike, 0 as by chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(other.assign(values).cluster, model.assign(values).cluster))
