"""Groups of customers who are alike: k-means on robustly scaled features, named in words, and stable over retrains.

Lloyd's k-means from several k-means++ starts (Arthur and Vassilvitskii 2007); for many customers the starts are
mini-batches (Sculley 2010), and the best is finished on all. Features are scaled by median and interquartile range, so
that a few giants do not decide. Without a given k it is the largest whose clusters are found again in the other half of
the customers: prediction strength of at least 0.8 (Tibshirani and Walther 2005).

A retrain matches its centroids to those of the model before (Hungarian assignment): a cluster that moved less than half
the way to its nearest neighbour keeps its id and its name.
"""

from scoring.models.clustering.model import (
    CUSTOMER_FEATURES,
    Assignment,
    Clusters,
    Evaluation,
    Feature,
    Scaling,
    as_json,
    customer_features,
    evaluate,
    from_json,
    logarithms,
)
from scoring.models.clustering.quality import agreement, silhouette
from scoring.models.clustering.rfm_groups import RfmGroups
from scoring.models.clustering.training import fit

__all__ = [
    "CUSTOMER_FEATURES",
    "Assignment",
    "Clusters",
    "Evaluation",
    "Feature",
    "RfmGroups",
    "Scaling",
    "agreement",
    "as_json",
    "customer_features",
    "evaluate",
    "fit",
    "from_json",
    "logarithms",
    "silhouette",
]
