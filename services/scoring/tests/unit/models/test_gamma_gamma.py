import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gamma

from scoring.models import gamma_gamma
from scoring.models.gamma_gamma import GammaGamma


def test_golden_parameters_on_cdnow(cdnow):
    usable = (cdnow.x > 0) & (cdnow.repeat_revenue > 0)
    found = gamma_gamma.fit(cdnow.x[usable], cdnow.repeat_revenue[usable])
    assert found.customers == 946
    assert found.converged
    # The note counts in dollars.
    assert (round(found.p, 4), round(found.q, 4), round(found.gamma / 100, 4)) == (6.2496, 3.7442, 15.4435)
    assert round(found.correlation, 3) == 0.114
    by_customer = gamma_gamma.log_likelihood(
        cdnow.x[usable], cdnow.repeat_revenue[usable].astype(float), found.p, found.q, found.gamma
    )
    assert by_customer.sum() == pytest.approx(found.log_likelihood, rel=1e-9)


def test_likelihood_and_expectation_are_integrals_over_customers_rates():
    p, q, scale = 6.0, 4.0, 15.0
    x, spend = 3, 90.0
    mean = spend / x

    def density(rate: float) -> float:
        return gamma.pdf(mean, p * x, scale=1 / (rate * x)) * gamma.pdf(rate, q, scale=1 / scale)

    whole, _ = quad(density, 0, 10, epsabs=1e-14)
    value = gamma_gamma.log_likelihood(np.array([x]), np.array([spend]), p, q, scale)
    assert np.exp(value[0]) == pytest.approx(whole, rel=1e-8)
    expected, _ = quad(lambda rate: p / rate * density(rate), 1e-9, 10, epsabs=1e-14)
    model = GammaGamma(p, q, scale, np.eye(3), 0.0, 1, 0.0)
    assert model.expected_spend(np.array([x]), np.array([spend]))[0] == pytest.approx(expected / whole, rel=1e-7)
    assert model.expected_spend(np.array([0]), np.array([0]))[0] == pytest.approx(model.mean)


def test_standard_error_agrees_with_draws_of_parameters(cdnow):
    usable = (cdnow.x > 0) & (cdnow.repeat_revenue > 0)
    found = gamma_gamma.fit(cdnow.x[usable], cdnow.repeat_revenue[usable])
    x, spend = np.array([0, 1, 8]), np.array([0, 9_000, 20_000])
    draws = np.random.default_rng(3).multivariate_normal(
        np.log([found.p, found.q, found.gamma]), found.covariance, size=4_000
    )
    values = [
        np.log(GammaGamma(*np.exp(draw), found.covariance, 0.0, 1, 0.0).expected_spend(x, spend)) for draw in draws
    ]
    assert found.expected_spend_deviation(x, spend) == pytest.approx(np.std(values, axis=0), rel=0.1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.integers(2, 1_000))
def test_order_of_rows_changes_nothing_and_the_unit_of_money_scales_gamma_alone(cdnow, seed, factor):
    usable = np.flatnonzero((cdnow.x > 0) & (cdnow.repeat_revenue > 0))
    order = np.random.default_rng(seed).permutation(usable)
    once = gamma_gamma.fit(cdnow.x[usable], cdnow.repeat_revenue[usable])
    shuffled = gamma_gamma.fit(cdnow.x[order], cdnow.repeat_revenue[order])
    assert (shuffled.parameters, shuffled.log_likelihood) == (once.parameters, once.log_likelihood)
    scaled = gamma_gamma.fit(cdnow.x[usable], factor * cdnow.repeat_revenue[usable])
    assert scaled.gamma == pytest.approx(factor * once.gamma, rel=1e-6)
    assert [scaled.p, scaled.q] == pytest.approx([once.p, once.q], rel=1e-6)


def test_one_customer_is_nothing_to_fit():
    with pytest.raises(ValueError, match="two"):
        gamma_gamma.fit(np.array([2]), np.array([100]))
