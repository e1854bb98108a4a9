"""Whether customers differ in how a treatment moves them, and by how much a score tells them apart.

Everything here is computed on scores of customers the scoring model has not seen (out of fold).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution  # type: ignore[import-untyped]

from scoring.models.fitting import Floats, Z
from scoring.models.summary import Ints

PERMUTATIONS = 999
_BLOCK = 100


@dataclass(frozen=True)
class Calibration:
    """Uplift by score: effect + slope * (score - centre), by least squares on the trial.

    The best linear predictor of the effect (Chernozhukov, Demirer, Duflo, Fernández-Val 2018): a slope of 1 says that
    the score tells differences just as large as they are, of 0 that it tells nothing.
    """

    centre: float
    effect: float
    slope: float
    covariance: Floats
    """Of (effect, slope), robust to unequal variances."""

    def uplift(self, score: Floats) -> tuple[Floats, Floats, Floats]:
        """Expected uplift of customers with such a score, and its 90 percent interval."""
        distance = score - self.centre
        value = self.effect + self.slope * distance
        (a, b), (_, c) = self.covariance
        error = Z * np.sqrt(np.maximum(a + 2 * b * distance + c * distance**2, 0.0))
        return value, value - error, value + error


def randomised_p(x: Floats, treated: Ints) -> float:
    """P-value that the features tell nothing about who was treated: F test of a linear regression.

    A small one says that the treatment was not given at random: differences between the arms are then no effects.
    """
    design = np.column_stack([np.ones(len(x)), x])
    rank = int(np.linalg.matrix_rank(design)) - 1
    left = len(x) - rank - 1
    if rank == 0 or left <= 0:
        return 1.0
    fitted = design @ np.linalg.lstsq(design, treated.astype(np.float64), rcond=None)[0]
    residual = float(((treated - fitted) ** 2).sum())
    explained = float(((fitted - treated.mean()) ** 2).sum())
    if residual <= 1e-12 * len(x):
        return 0.0
    return float(f_distribution.sf(explained / rank / (residual / left), rank, left))


def permutation_p(
    scores: Floats, treated: Ints, outcome: Ints, expected: Floats, folds: Ints, *, seed: int = 0
) -> tuple[Floats, float]:
    """How far each score ranks effects beyond chance, in standard deviations, and one p-value for all together.

    scores: shape (learners, customers); expected: the outcome expected by features alone.
    Under "the same effect on everybody" the outcome less the average effect does not depend on who was treated: who
    was is shuffled within each fold, and the area under the Qini curve of that remainder compared (a randomisation
    test with plugged-in average effect: Ding, Feller, Miratrix 2016). The p-value is of the largest of the scores'
    statistics against the largest of each shuffle, so that choosing the best of several learners is paid for.
    """
    share = float(treated.mean())
    effect = float(outcome[treated == 1].mean() - outcome[treated == 0].mean())
    remainder = outcome - expected - effect * (treated - share)
    weights = np.zeros(scores.shape)
    for fold in np.unique(folds):
        of = np.flatnonzero(folds == fold)
        # The area under the curve weighs customers by rank; ranks of one fold's model are not those of another's.
        weights[:, of] = [_centred_ranks(score[of]) for score in scores]
    weights *= remainder
    observed = weights @ (treated - share)
    rng = np.random.default_rng(seed)
    shuffled = np.empty((PERMUTATIONS, len(scores)))
    members = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    for begin in range(0, PERMUTATIONS, _BLOCK):
        rows = min(_BLOCK, PERMUTATIONS - begin)
        drawn = np.empty((rows, len(treated)))
        for of in members:
            drawn[:, of] = rng.permuted(np.tile(treated[of] - share, (rows, 1)), axis=1)
        shuffled[begin : begin + rows] = drawn @ weights.T
    spread = np.maximum(shuffled.std(axis=0), 1e-300)
    centre = shuffled.mean(axis=0)
    statistic = (observed - centre) / spread
    largest = ((shuffled - centre) / spread).max(axis=1)
    # The unshuffled trial is one of the possible ones.
    return statistic, float((1 + (largest >= statistic.max() - 1e-12).sum()) / (PERMUTATIONS + 1))


def calibrated(score: Floats, treated: Ints, outcome: Ints, expected: Floats) -> Calibration:
    """The best linear predictor of the effect by the score."""
    centre = float(score.mean())
    given = treated - treated.mean()
    design = np.column_stack([given, given * (score - centre)])
    bread = np.linalg.pinv(design.T @ design)
    target = outcome - expected
    effect, slope = bread @ design.T @ target
    residual = target - design @ (effect, slope)
    meat = (design.T * residual**2) @ design
    return Calibration(centre, float(effect), float(slope), bread @ meat @ bread)


def _centred_ranks(score: Floats) -> Floats:
    """From -1/2 to 1/2, the highest score last; equal scores share their mean rank."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return (ranks - (len(score) + 1) / 2) / len(score)
