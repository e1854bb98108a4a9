import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import hyp2f1
from scipy.stats import gamma

from scoring.jobs.bench import histories
from scoring.jobs.holdout import holdout_figures
from scoring.models import pareto_nbd
from scoring.models.fitting import Histories
from scoring.models.pareto_nbd import ParetoNbd

PUBLISHED = (0.5533, 10.578, 0.6062, 11.669)


def model(r: float, alpha: float, s: float, beta: float) -> ParetoNbd:
    return ParetoNbd(r, alpha, s, beta, np.diag([0.01, 0.01, 0.04, 0.04]), 0.0, 1)


def test_golden_parameters_and_holdout_on_cdnow(cdnow):
    found = pareto_nbd.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    assert found.converged
    assert (round(found.r, 4), round(found.alpha, 3), round(found.s, 4)) == (0.5533, 10.578, 0.6062)
    # The papers print 11.667 to 11.671: the likelihood is flat there.
    assert found.beta == pytest.approx(11.669, abs=3e-3)
    assert round(found.log_likelihood, 3) == -9594.976
    expected = found.expected_purchases(cdnow.x, cdnow.recency_days / 7, cdnow.age_days / 7, 39.0)
    figures = holdout_figures(expected, cdnow.holdout, np.ones(len(expected), dtype=np.int64))
    assert [round(figures[name], 4) for name in ("mae", "rmse", "correlation")] == [0.7545, 1.6028, 0.6302]
    assert round(figures["total_error"], 3) == -0.115


@pytest.mark.parametrize(("alpha", "beta"), [(10.578, 11.669), (12.0, 3.0), (5.0, 5.0)])
def test_likelihood_is_that_of_note_009(alpha, beta):
    r, s = 0.55, 0.61
    x, recency, age = np.array([0, 1, 2, 9]), np.array([0.0, 4.0, 30.43, 20.0]), np.array([38.86, 30.0, 38.86, 20.5])
    # Fader and Hardie's A0, for the larger of alpha and beta.
    larger, lesser = max(alpha, beta), min(alpha, beta)
    order = s + 1 if alpha >= beta else r + x
    power = r + s + x

    def term(t):
        return hyp2f1(power, order, power + 1, (larger - lesser) / (larger + t)) / (larger + t) ** power

    whole = 1 / ((alpha + age) ** (r + x) * (beta + age) ** s) + s / power * (term(recency) - term(age))
    rising = np.array([np.prod(r + np.arange(count)) for count in x])
    wanted = np.log(rising * alpha**r * beta**s * whole)
    assert pareto_nbd.log_likelihood(x, recency, age, r, alpha, s, beta) == pytest.approx(wanted, rel=1e-9)
    alive, _ = model(r, alpha, s, beta).p_alive(x, recency, age)
    assert alive == pytest.approx(1 / ((alpha + age) ** (r + x) * (beta + age) ** s * whole), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    logs=st.tuples(*[st.floats(-9, 9)] * 4),
    x=st.integers(0, 500),
    age=st.floats(0.01, 5),
    silence=st.floats(0, 1),
)
def test_odds_of_death_and_their_derivatives_hold_for_any_parameters(logs, x, age, silence):
    column = np.array([x]), np.array([age * (1 - silence) if x else 0.0]), np.array([age])
    odds, gradient = model(*np.exp(logs)).log_odds_of_death(*column)
    r, alpha, s, beta = np.exp(logs)
    (recency,) = column[1]

    def integrand(u: float) -> float:
        """In the logarithm of the time, relative to its value at the last purchase."""
        after = min(alpha, beta) + recency
        time = after * np.expm1(u)
        fallen = (r + x) * np.log1p(time / (alpha + recency)) + (s + 1) * np.log1p(time / (beta + recency))
        return after * np.exp(u - fallen)

    span = np.log1p((age - recency) / (min(alpha, beta) + recency))
    parts = span * np.array([0, 1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1])
    whole = sum(quad(integrand, *ends, epsabs=0, epsrel=1e-12)[0] for ends in itertools.pairwise(parts))
    rest = (r + x) * np.log((alpha + age) / (alpha + recency)) + s * np.log((beta + age) / (beta + recency))
    if whole > 0:
        assert odds[0] == pytest.approx(np.log(s * whole / (beta + recency)) + rest, rel=1e-8, abs=1e-8)
    else:
        assert odds[0] == -np.inf
    for place in range(4):
        sides = [
            model(*np.exp(np.array(logs) + shift * (np.arange(4) == place))).log_odds_of_death(*column)[0][0]
            for shift in (1e-4, -1e-4)
        ]
        if np.isfinite(sides).all():
            difference = (sides[0] - sides[1]) / 2e-4
            assert gradient[place, 0] == pytest.approx(difference, rel=1e-4, abs=1e-4 * max(1.0, abs(odds[0])))


def test_expectations_are_integrals_over_customers():
    r, alpha, s, beta, x, age, weeks = 0.8, 6.0, 1.4, 9.0, 3, 20.0, 30.0
    chosen = model(r, alpha, s, beta)
    # Alive at T: rate ~ gamma(r + x, alpha + T), death rate ~ gamma(s, beta + T).
    lived, _ = quad(
        lambda death: -np.expm1(-death * weeks) / death * gamma.pdf(death, s, scale=1 / (beta + age)), 0, np.inf
    )
    found = chosen.purchases_if_alive(np.array([x]), np.array([age]), weeks)[0]
    assert found == pytest.approx((r + x) / (alpha + age) * lived, rel=1e-7)
    new = chosen.expected_purchases_of_new(np.array([weeks]))[0]
    assert new == pytest.approx(r / alpha * quad(lambda t: (beta / (beta + t)) ** s, 0, weeks)[0], rel=1e-9)


def test_nothing_breaks_where_the_death_rates_shape_is_one():
    x, age = np.array([0, 5]), np.array([10.0, 40.0])
    beside = [model(0.5, 10.0, s, 12.0) for s in (1.0, 1.0 + 1e-9)]
    for one, other in ((m.purchases_if_alive(x, age, 52.0), m.expected_purchases_of_new(age)) for m in beside):
        assert one == pytest.approx(beside[0].purchases_if_alive(x, age, 52.0), rel=1e-6)
        assert other == pytest.approx(beside[0].expected_purchases_of_new(age), rel=1e-6)


def test_nothing_overflows():
    x = np.array([0, 1, 100, 5_000])
    age = np.array([0.0, 1.0, 200.0, 5_000.0])
    for parameters in (PUBLISHED, (1e-4, 1e3, 1e-4, 1e3), (8e3, 1e-3, 8e3, 1e-3), (8e3, 8e3, 1e-4, 1e-4)):
        chosen = model(*parameters)
        expected = chosen.expected_purchases(x, np.zeros(4), age, 520.0)
        assert np.isfinite(expected).all()
        assert (expected >= 0).all()
        assert np.isfinite(chosen.p_alive(x, np.zeros(4), age)[1]).all()


def test_order_and_splitting_of_rows_change_nothing(cdnow):
    rng = np.random.default_rng(4)
    rows = rng.permutation(len(cdnow.x))[:800]
    some = cdnow.x[rows], cdnow.recency_days[rows], cdnow.age_days[rows]
    first = pareto_nbd.fit(*some)
    order = rng.permutation(800)
    assert pareto_nbd.fit(*(column[order] for column in some)).parameters == first.parameters
    doubled = pareto_nbd.fit(*(np.tile(column, 2) for column in some))
    weighted = pareto_nbd.fit(*some, counts=np.full(800, 2))
    assert doubled.parameters == weighted.parameters
    assert doubled.log_likelihood == weighted.log_likelihood == pytest.approx(2 * first.log_likelihood, rel=1e-9)


def test_more_customers_are_represented_by_some_of_them(monkeypatch):
    monkeypatch.setattr(pareto_nbd, "MOST_CUSTOMERS", 3_000)
    people = histories(12_000, leave_by_time=True)
    found = pareto_nbd.fit(people.x, people.recency, people.age)
    order = np.random.default_rng(0).permutation(12_000)
    again = pareto_nbd.fit(people.x[order], people.recency[order], people.age[order])
    assert found.customers == 3_000
    assert found.parameters == again.parameters
    # What they were generated with, in weeks, within three standard errors.
    truth = np.log([0.6, 60 / 7, 0.6, 90 / 7])
    away = (np.log(list(found.parameters.values())) - truth) / np.sqrt(np.diag(found.covariance))
    assert (np.abs(away) < 3).all(), away


def test_without_repeat_purchases_there_is_nothing_to_fit():
    with pytest.raises(ValueError, match="second day"):
        pareto_nbd.fit_histories(Histories.of(np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64), np.full(5, 70)))
