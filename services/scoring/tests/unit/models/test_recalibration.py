import numpy as np
import pytest

from scoring.benchmarks import recalibration
from scoring.benchmarks.recalibration import Recalibration
from scoring.jobs.bench import histories
from scoring.models.selection import Split


def test_a_planted_correction_is_found():
    rng = np.random.default_rng(1)
    x = rng.poisson(2.0, 40_000)
    expected = rng.gamma(1.0, 0.5, 40_000) * (1 + x) + 0.01
    truth = Recalibration(0.2, -0.1, 0.3)
    none = np.zeros_like(x)
    split = Split(x, none, none, rng.poisson(truth.apply(expected, x)), none + 1, 13.0)
    found = recalibration.fit(expected, split)
    assert (found.level, found.by_expected, found.by_frequency) == pytest.approx((0.2, -0.1, 0.3), abs=0.03)
    # The penalised likelihood's equation for the level: as many are told as came.
    assert found.apply(expected, x).sum() == pytest.approx(split.later.sum(), rel=1e-8)


def test_where_a_model_is_true_there_is_little_to_correct():
    split = histories(20_000).split()
    found = recalibration.fit(recalibration.mean_of_models(split), split)
    told = found.apply(recalibration.mean_of_models(split), split.x)
    assert told @ split.counts == pytest.approx(split.later @ split.counts, rel=1e-8)
    assert abs(found.by_expected) < 0.15
    assert abs(found.by_frequency) < 0.15
