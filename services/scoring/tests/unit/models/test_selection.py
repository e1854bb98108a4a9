import numpy as np
import pytest

from scoring.jobs.bench import histories
from scoring.models import bg_nbd, gamma_gamma, mbg_nbd, pareto_nbd, selection
from scoring.models.fitting import BOUND, Histories, delta_intervals
from scoring.models.selection import CANDIDATES, Split
from scoring.models.summary import grouped


@pytest.mark.parametrize("kind", [bg_nbd, mbg_nbd, pareto_nbd])
def test_profile_intervals_are_near_the_delta_methods_and_are_where_the_likelihood_falls(cdnow, kind):
    found = kind.fit(cdnow.x, cdnow.recency_days, cdnow.age_days)
    histories_of = Histories.of(cdnow.x, cdnow.recency_days, cdnow.age_days)
    of_profile = selection.parameter_intervals(found, histories_of)
    of_delta = delta_intervals(found.parameters, found.covariance)
    for name, value in found.parameters.items():
        low, high = of_profile[name]
        assert low < value < high
        wide = max(np.log(of_delta[name][1] / of_delta[name][0]), 0.1)
        assert np.log(low / of_delta[name][0]) == pytest.approx(0, abs=0.2 * wide)
        assert np.log(high / of_delta[name][1]) == pytest.approx(0, abs=0.2 * wide)
    # With the other parameters free, the likelihood is greater than with them kept, never less.
    end = found.moved("r", of_profile["r"][1] / found.parameters["r"])
    column = cdnow.x, cdnow.recency_days / 7, cdnow.age_days / 7
    first = {"first": kind.BgNbd.FIRST if kind is bg_nbd else 1} if kind is not pareto_nbd else {}
    likelihood = pareto_nbd.log_likelihood if kind is pareto_nbd else bg_nbd.log_likelihood
    assert likelihood(*column, *end.parameters.values(), **first).sum() < found.log_likelihood - 1.3528


def test_intervals_of_gamma_gamma(cdnow):
    usable = (cdnow.x > 0) & (cdnow.repeat_revenue > 0)
    found = gamma_gamma.fit(cdnow.x[usable], cdnow.repeat_revenue[usable])
    of_profile = gamma_gamma.intervals(found, cdnow.x[usable], cdnow.repeat_revenue[usable])
    of_delta = delta_intervals(found.parameters, found.covariance)
    for name, value in found.parameters.items():
        assert of_profile[name][0] < value < of_profile[name][1]
        assert of_profile[name] == pytest.approx(of_delta[name], rel=0.06)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = []
    for seed in range(6):
        people = histories(700, seed)
        found = bg_nbd.fit(people.x, people.recency, people.age)
        ends = bg_nbd.intervals(found, Histories.of(people.x, people.recency, people.age))
        held += [ends["r"][0] < 0.6 < ends["r"][1], ends["alpha"][0] < 60 / 7 < ends["alpha"][1]]
    assert 0.7 < np.mean(held) <= 1.0


def test_an_interval_without_end_stops_at_the_searchs_bound():
    # Everybody alike: a gamma distribution of rates without spread explains it best.
    x, recency, age = np.full(60, 3), np.full(60, 60), np.full(60, 80)
    found = pareto_nbd.fit(x, recency, age)
    of_histories = Histories.of(x, recency, age)
    ends = pareto_nbd.intervals(found, of_histories)
    assert found.at_bound
    assert all(np.isfinite(pair).all() for pair in ends.values())
    assert ends["r"][1] == pytest.approx(np.exp(BOUND), rel=1e-3)


def test_customers_who_leave_by_time_get_the_model_where_they_do():
    by_time = selection.select(histories(12_000, leave_by_time=True).split())
    assert by_time.name in ("pareto_nbd", "mbg_nbd")
    assert "better than BG/NBD on 13 weeks" in by_time.reason
    assert by_time.difference[by_time.name] <= -selection.LEAST_DIFFERENCE
    assert by_time.deviance[by_time.name] == min(by_time.deviance.values())
    by_purchase = selection.select(histories(12_000).split())
    assert by_purchase.name == "bg_nbd"
    assert min(by_purchase.difference.values()) > 0
    assert set(by_purchase.metrics["deviance"]) == set(CANDIDATES)


def test_a_difference_that_chance_explains_changes_nothing(cdnow):
    ones = np.ones(len(cdnow.x), dtype=np.int64)
    split = Split(cdnow.x, cdnow.recency_days, cdnow.age_days, cdnow.holdout, ones, 39.0)
    chosen = selection.select(split)
    assert chosen.name == "bg_nbd"
    assert chosen.deviance["pareto_nbd"] < chosen.deviance["bg_nbd"]
    assert "less than chance may explain" in chosen.reason


def test_the_order_of_rows_changes_nothing():
    people = histories(3_000)
    first = people.split()
    order = np.random.default_rng(1).permutation(3_000)
    columns = (people.x, people.early_recency, people.age, people.early_x)
    x, recency, age, early = (column[order] for column in columns)
    known = age >= 91
    again = Split.of(early[known], recency[known], age[known] - 91, (x - early)[known], 13.0)
    assert selection.select(again) == selection.select(first)


def test_a_sample_of_customers_does_not_depend_on_their_order():
    rng = np.random.default_rng(2)
    columns = rng.integers(0, 5, (3, 2_000))
    (x, recency, age), counts = grouped(*columns)
    of_all = Split(x, recency, age, x, counts, 13.0)
    some = of_all.thinned(500)
    assert int(some.counts.sum()) == 500
    assert of_all.thinned(5_000).counts.tolist() == counts.tolist()
    shuffled = Split.of(*(column[rng.permutation(1)] for column in (x[:1], recency[:1], age[:1], x[:1])), 13.0)
    assert shuffled.thinned(500).counts.tolist() == [1]
    # Evenly: the share of each value of x is kept to within a customer for each of its groups.
    for value in range(5):
        assert abs(some.counts[some.x == value].sum() - counts[x == value].sum() / 4) <= 1


@pytest.mark.parametrize("customers", [0, 1, 40])
def test_too_few_customers_to_compare_keep_the_default(customers):
    x = np.zeros(customers, dtype=np.int64)
    x[:20] = 2
    chosen = selection.select(Split.of(x, x * 20, np.full(customers, 90), x, 13.0))
    assert chosen.name == "bg_nbd"
    assert "30" in chosen.reason
    assert chosen.metrics == {"model": "bg_nbd", "reason": chosen.reason}
