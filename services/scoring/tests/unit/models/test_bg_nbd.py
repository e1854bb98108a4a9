import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.special import beta as beta_function
from scipy.special import gammaln
from scipy.stats import beta, gamma

from scoring.jobs.holdout import holdout_figures
from scoring.models import bg_nbd
from scoring.models.bg_nbd import BgNbd

R, ALPHA, A, B = 0.2426, 4.4136, 0.7929, 2.4259


def model(r: float = R, alpha: float = ALPHA, a: float = A, b: float = B) -> BgNbd:
    return BgNbd(r, alpha, a, b, np.diag([0.01, 0.01, 0.04, 0.04]), 0.0, 1)


def test_golden_parameters_on_cdnow(cdnow):
    found = bg_nbd.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    assert found.converged
    assert (round(found.r, 4), round(found.alpha, 4), round(found.a, 4), round(found.b, 4)) == (
        0.2426,
        4.4136,
        0.7929,
        2.4259,
    )
    assert round(found.log_likelihood, 4) == -9582.4292
    assert found.customers == 2357
    by_customer = bg_nbd.log_likelihood(
        cdnow.x, cdnow.recency_days / 7, cdnow.age_days / 7, found.r, found.alpha, found.a, found.b
    )
    assert by_customer.sum() == pytest.approx(found.log_likelihood, rel=1e-9)


def test_golden_holdout_on_cdnow(cdnow):
    found = bg_nbd.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    expected = found.expected_purchases(cdnow.x, cdnow.recency_days / 7, cdnow.age_days / 7, 39.0)
    figures = holdout_figures(expected, cdnow.holdout, np.ones(len(expected), dtype=np.int64))
    assert figures["purchases"] == 1882
    assert round(figures["mae"], 4) == 0.7855
    assert round(figures["rmse"], 4) == 1.6080
    assert round(figures["correlation"], 4) == 0.6256
    assert round(figures["total_error"], 3) == -0.121
    assert figures["rmse"] < figures["baseline_rmse"]
    assert sum(pair["actual"] for pair in figures["deciles"][5:]) > sum(
        pair["actual"] for pair in figures["deciles"][:5]
    )


def test_published_prediction_of_one_customer():
    # Fader, Hardie, Lee: "BG/NBD in Excel": x = 2, t_x = 30.43, T = 38.86, 39 weeks ahead: 1.226.
    expected = model(0.243, 4.414, 0.793, 2.426).expected_purchases(
        np.array([2]), np.array([30.43]), np.array([38.86]), 39.0
    )
    assert expected[0] == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize(("x", "recency", "age"), [(0, 0.0, 20.0), (1, 5.0, 20.0), (4, 18.0, 20.0)])
def test_likelihood_is_the_integral_over_rates_and_dropouts(x, recency, age):
    def density(p: float, rate: float) -> float:
        stayed = (1 - p) ** x * rate**x * np.exp(-rate * age)
        left = p * (1 - p) ** (x - 1) * rate**x * np.exp(-rate * recency) if x else 0.0
        return (stayed + left) * gamma.pdf(rate, 1.5, scale=1 / 6.0) * beta.pdf(p, 2.0, 3.0)

    expected, _ = dblquad(density, 0, 4, 0, 1, epsabs=1e-9, epsrel=1e-7)
    value = bg_nbd.log_likelihood(np.array([x]), np.array([recency]), np.array([age]), 1.5, 6.0, 2.0, 3.0)
    assert np.exp(value[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("x", "recency", "age"), [(0, 0.0, 20.0), (1, 5.0, 20.0), (7, 18.0, 20.0)])
def test_expectation_is_the_integral_over_rates_and_dropouts(x, recency, age, a):
    r, alpha, b, weeks = 0.8, 6.0, 2.5, 30.0
    chosen = model(r, alpha, a, b)

    # Alive at T: p ~ beta(a, b + x), and over rate ~ gamma(r + x, alpha + T) the integral of (1 - e^(-rate p t)) / p
    # is (1 - ((alpha + T) / (alpha + T + p t))^(r + x)) / p. The weight is p^(a-1) (1-p)^(b+x-1).
    expected, _ = quad(
        lambda p: -np.expm1(-(r + x) * np.log1p(max(p, 1e-12) * weeks / (alpha + age))) / max(p, 1e-12),
        0,
        1,
        weight="alg",
        wvar=(a - 1, b + x - 1),
    )
    expected /= beta_function(a, b + x)
    assert chosen.purchases_if_alive(np.array([x]), np.array([age]), weeks)[0] == pytest.approx(expected, rel=1e-7)


def test_p_alive_is_the_likelihood_of_staying_over_the_whole():
    x, recency, age = np.array([3]), np.array([11.0]), np.array([30.0])
    whole = bg_nbd.log_likelihood(x, recency, age, R, ALPHA, A, B)
    staying = (
        gammaln(R + x)
        - gammaln(R)
        + R * np.log(ALPHA)
        - (R + x) * np.log(ALPHA + age)
        + np.log(beta_function(A, B + x) / beta_function(A, B))
    )
    alive, _ = model().p_alive(x, recency, age)
    assert alive[0] == pytest.approx(np.exp(staying - whole)[0], rel=1e-12)


def test_expectation_of_a_new_customer_is_the_integral():
    weeks = np.array([10.0, 52.0])
    found = model(a=2.0, b=3.0).expected_purchases_of_new(weeks)
    for value, week in zip(found, weeks, strict=True):
        expected, _ = quad(
            lambda p, week=week: (1 - (ALPHA / (ALPHA + p * week)) ** R) / p * beta.pdf(p, 2.0, 3.0), 0, 1
        )
        assert value == pytest.approx(expected, rel=1e-8)
    assert model(a=0.7, b=0.3).expected_purchases_of_new(weeks) == pytest.approx(
        model(a=0.7, b=0.300001).expected_purchases_of_new(weeks), rel=1e-4
    )


def test_nothing_overflows():
    x = np.array([0, 1, 100, 5_000])
    age = np.array([0.0, 1.0, 200.0, 5_000.0])
    for a, b in ((A, B), (1.0, 2.0), (1e-4, 1e3), (0.4, 0.6)):
        chosen = model(a=a, b=b)
        expected = chosen.expected_purchases(x, np.zeros(4), age, 520.0)
        assert np.isfinite(expected).all()
        assert (expected >= 0).all()
        assert np.isfinite(chosen.p_alive(x, np.zeros(4), age)[1]).all()


def test_standard_errors_agree_with_the_spread_of_resampled_fits(cdnow):
    found = bg_nbd.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    rng = np.random.default_rng(5)
    values = []
    for _ in range(16):
        rows = rng.integers(0, len(cdnow.x), len(cdnow.x))
        again = bg_nbd.fit(cdnow.x[rows], cdnow.recency_days[rows], cdnow.age_days[rows])
        values.append(np.log([again.r, again.alpha, again.a, again.b]))
    ratio = np.std(values, axis=0) / np.sqrt(np.diag(found.covariance))
    assert ((ratio > 0.6) & (ratio < 1.7)).all(), ratio


def test_without_repeat_purchases_there_is_nothing_to_fit():
    with pytest.raises(ValueError, match="second day"):
        bg_nbd.fit(np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64), np.full(5, 70))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_and_splitting_of_rows_change_nothing(cdnow, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(cdnow.x))[:800]
    some = cdnow.x[rows], cdnow.recency_days[rows], cdnow.age_days[rows]
    first = bg_nbd.fit(*some)
    order = rng.permutation(800)
    assert bg_nbd.fit(*(column[order] for column in some)).parameters == first.parameters
    doubled = bg_nbd.fit(*(np.tile(column, 2) for column in some))
    weighted = bg_nbd.fit(*some, counts=np.full(800, 2))
    assert doubled.parameters == weighted.parameters
    assert doubled.log_likelihood == weighted.log_likelihood == pytest.approx(2 * first.log_likelihood, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(factor=st.integers(2, 50))
def test_the_unit_of_time_scales_alpha_alone(cdnow, factor):
    once = bg_nbd.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    scaled = bg_nbd.fit(cdnow.x, factor * cdnow.recency_days, factor * cdnow.age_days)
    assert scaled.alpha == pytest.approx(factor * once.alpha, rel=1e-6)
    assert [scaled.r, scaled.a, scaled.b] == pytest.approx([once.r, once.a, once.b], rel=1e-6)
    assert scaled.log_likelihood == pytest.approx(once.log_likelihood - int(cdnow.x.sum()) * np.log(factor), rel=1e-9)
