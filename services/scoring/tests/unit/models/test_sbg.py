import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.models import sbg
from scoring.models.baseline import MeanChurn
from scoring.models.fitting import delta_intervals
from scoring.models.sbg import Sbg, Tenures

HIGH_END = (1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394)
REGULAR = (1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173)
"""Survivors of two cohorts; the paper fits to the first seven renewals and projects the others."""


@pytest.mark.parametrize(
    ("survivors", "alpha", "beta", "likelihood"),
    [(HIGH_END, 0.668, 3.806, -1611.2), (REGULAR, 0.704, 1.182, -1680.3)],
)
def test_golden_parameters_and_projection(survivors, alpha, beta, likelihood):
    tenures = Tenures.of_cohorts([survivors[:8]])
    found = sbg.fit(tenures)
    assert found.converged
    assert (round(found.alpha, 3), round(found.beta, 3)) == (alpha, beta)
    assert round(found.log_likelihood, 1) == likelihood
    assert found.customers == 1000
    projected = 1000 * found.survival(np.zeros(5, dtype=np.int64), np.arange(8, 13))
    assert projected == pytest.approx(survivors[8:], rel=0.045)
    low, high = found.survival_interval(np.zeros(12, dtype=np.int64), np.arange(1, 13))
    assert ((low < np.array(survivors[1:]) / 1000) & (np.array(survivors[1:]) / 1000 < high))[:7].mean() > 0.4
    of_profile, of_delta = sbg.intervals(found, tenures), delta_intervals(found.parameters, found.covariance)
    for name, value in found.parameters.items():
        assert of_profile[name][0] < value < of_profile[name][1]
        assert of_profile[name] == pytest.approx(of_delta[name], rel=0.08)


def test_residual_lifetime_as_published_in_practice():
    found = Sbg(0.668, 3.806, np.eye(2), 0.0, 1)
    # Counted at the renewal itself, a period earlier: 7.53 periods for those seven renewals old.
    assert 1.1 * found.residual_lifetime(np.array([7]), 0.1)[0] == pytest.approx(7.53, abs=2e-3)
    assert found.expected_renewals(np.array([7]), 2_000, 0.1) == pytest.approx(
        found.residual_lifetime(np.array([7]), 0.1), rel=1e-9
    )
    with pytest.raises(ValueError, match="discount"):
        found.residual_lifetime(np.array([7]), 0.0)


def test_survival_is_the_mean_over_customers_and_retention_its_ratio():
    found = Sbg(0.7, 1.2, np.eye(2) * 0.01, 0.0, 1)
    draws = np.random.default_rng(1).beta(0.7, 1.2, 400_000)
    further = np.arange(1, 6)
    survived = found.survival(np.zeros(5, dtype=np.int64), further)
    assert survived == pytest.approx([np.mean((1 - draws) ** k) for k in further], rel=0.01)
    ratio = survived / np.append(1.0, survived[:-1])
    assert found.retention(further - 1) == pytest.approx(ratio, rel=1e-12)
    assert found.survival(np.array([2]), 3)[0] == pytest.approx(survived[4] / survived[1], rel=1e-12)
    assert found.expected_renewals(np.array([0]), 5)[0] == pytest.approx(survived.sum(), rel=1e-12)


def test_intervals_agree_with_draws_of_parameters():
    found = sbg.fit(Tenures.of_cohorts([HIGH_END[:8]]))
    draws = np.exp(
        np.random.default_rng(2).multivariate_normal(np.log([found.alpha, found.beta]), found.covariance, 800)
    )
    models = [Sbg(*draw, found.covariance, 0.0, 1) for draw in draws]
    renewals = np.array([0, 7])
    for of_model, ends in (
        (lambda model: model.survival(renewals, 12), found.survival_interval(renewals, 12)),
        (lambda model: model.expected_renewals(renewals, 12, 0.1), found.expected_renewals_interval(renewals, 12, 0.1)),
    ):
        wanted = np.quantile([of_model(model) for model in models], [0.05, 0.95], axis=0)
        width = wanted[1] - wanted[0]
        assert (np.abs(np.stack(ends) - wanted) < 0.15 * width).all()


def test_customers_of_different_tenure_are_fitted_together():
    rng = np.random.default_rng(3)
    leave = rng.beta(0.9, 3.0, 20_000)
    came_to, lasts = rng.integers(0, 10, 20_000), rng.geometric(leave)
    left = lasts <= came_to
    found = sbg.fit(Tenures.of(np.minimum(lasts, came_to), left))
    away = (np.log([found.alpha, found.beta]) - np.log([0.9, 3.0])) / np.sqrt(np.diag(found.covariance))
    assert (np.abs(away) < 3).all()
    order = rng.permutation(20_000)
    assert sbg.fit(Tenures.of(np.minimum(lasts, came_to)[order], left[order])).parameters == found.parameters


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=200))
def test_any_customers_give_finite_expectations(rows):
    renewals = np.array([max(count, int(gone)) for count, gone in rows], dtype=np.int64)
    model, messages = sbg.fit_churn(Tenures.of(renewals, np.array([gone for _, gone in rows], dtype=bool)))
    assert messages or isinstance(model, Sbg)
    some = np.arange(4)
    for low, value, high in (
        (*model.survival_interval(some, 6), model.survival(some, 6)),
        (*model.expected_renewals_interval(some, 12, 0.1), model.expected_renewals(some, 12, 0.1)),
    ):
        low, value, high = low, high, value
        assert np.isfinite([low, value, high]).all()
        assert ((low <= value + 1e-12) & (value <= high + 1e-12)).all()


@pytest.mark.parametrize(
    ("survivors", "words"), [((1000, 980), "20 customers left"), ((1000, 600), "single renewal"), ((5,), "0 customers")]
)
def test_too_little_data_falls_back_to_one_rate_and_says_so(survivors, words):
    model, (message,) = sbg.fit_churn(Tenures.of_cohorts([survivors]))
    assert isinstance(model, MeanChurn)
    assert words in message
    assert 0 < model.rate < 1


def test_impossible_customers_are_refused():
    with pytest.raises(ValueError, match="renewals"):
        Tenures.of(np.array([0]), np.array([True]))
    with pytest.raises(ValueError, match="cohort"):
        Tenures.of_cohorts([(10, 11)])
    with pytest.raises(ValueError, match="nothing to fit"):
        sbg.fit(Tenures.of_cohorts([(10, 10, 10)]))


def test_extreme_parameters_are_told_in_the_right_direction():
    _, (apart,) = sbg.fit_churn(Tenures.of_cohorts([(1_000, *[500] * 30)]))
    assert "differ as much as can be" in apart
    _, (alike,) = sbg.fit_churn(Tenures.of_cohorts([(1_000, 990, 960, 900, 750)]))
    assert "hardly differ" in alike
