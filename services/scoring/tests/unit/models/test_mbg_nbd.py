import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.special import beta as beta_function
from scipy.stats import beta, gamma

from scoring.jobs.holdout import holdout_figures
from scoring.models import bg_nbd, mbg_nbd
from scoring.models.mbg_nbd import MbgNbd


def model(r: float = 0.525, alpha: float = 6.183, a: float = 0.891, b: float = 1.614) -> MbgNbd:
    return MbgNbd(r, alpha, a, b, np.diag([0.01, 0.01, 0.04, 0.04]), 0.0, 1)


def test_parameters_and_holdout_on_cdnow(cdnow):
    found = mbg_nbd.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    assert found.converged
    assert [round(value, 3) for value in found.parameters.values()] == [0.525, 6.183, 0.891, 1.614]
    assert round(found.log_likelihood, 1) == -9582.1
    by_customer = bg_nbd.log_likelihood(
        cdnow.x, cdnow.recency_days / 7, cdnow.age_days / 7, *found.parameters.values(), first=found.FIRST
    )
    assert by_customer.sum() == pytest.approx(found.log_likelihood, rel=1e-9)
    expected = found.expected_purchases(cdnow.x, cdnow.recency_days / 7, cdnow.age_days / 7, 39.0)
    figures = holdout_figures(expected, cdnow.holdout, np.ones(len(expected), dtype=np.int64))
    assert [round(figures[name], 4) for name in ("mae", "rmse", "correlation")] == [0.7648, 1.6072, 0.6273]
    assert round(figures["total_error"], 3) == -0.162


@pytest.mark.parametrize(("x", "recency", "age"), [(2, 18.0, 20.0)])
def test_likelihood_is_the_integral_over_rates_and_dropouts(x, recency, age):
    def density(p: float, rate: float) -> float:
        stayed = (1 - p) ** (x + 1) * rate**x * np.exp(-rate * age)
        left = p * (1 - p) ** x * rate**x * np.exp(-rate * recency)
        return (stayed + left) * gamma.pdf(rate, 1.5, scale=1 / 6.0) * beta.pdf(p, 2.0, 3.0)

    expected, _ = dblquad(density, 0, 4, 0, 1, epsabs=1e-7, epsrel=1e-4)
    value = bg_nbd.log_likelihood(np.array([x]), np.array([recency]), np.array([age]), 1.5, 6.0, 2.0, 3.0, first=1)
    assert np.exp(value[0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_expectations_are_integrals_over_dropouts(a):
    r, alpha, b, weeks, age = 0.8, 6.0, 2.5, 30.0, 20.0
    chosen = model(r, alpha, a, b)

    def purchases(p: float, shape: float, since: float) -> float:
        """Of one who is alive: the integral of (1 - e^(-rate p t)) / p over rates."""
        p = max(p, 1e-12)
        return -np.expm1(-shape * np.log1p(p * weeks / since)) / p

    for x in (0, 7):
        wanted, _ = quad(lambda p, x=x: purchases(p, r + x, alpha + age), 0, 1, weight="alg", wvar=(a - 1, b + x))
        wanted /= beta_function(a, b + x + 1)
        assert chosen.purchases_if_alive(np.array([x]), np.array([age]), weeks)[0] == pytest.approx(wanted, rel=1e-7)
    # A new customer stays after the first purchase with probability 1 - p.
    wanted, _ = quad(lambda p: purchases(p, r, alpha), 0, 1, weight="alg", wvar=(a - 1, b))
    found = chosen.expected_purchases_of_new(np.array([weeks]))[0]
    assert found == pytest.approx(wanted / beta_function(a, b), rel=1e-7)


def test_who_never_came_back_may_be_gone():
    alive, deviation = model().p_alive(np.array([0, 0]), np.zeros(2), np.array([0.0, 50.0]))
    assert 0 < alive[1] < alive[0] < 1
    assert (deviation > 0).all()
    # Just after the first purchase: the mean probability to stay.
    assert alive[0] == pytest.approx(1.614 / (0.891 + 1.614))
