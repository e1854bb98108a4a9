"""Scores of somebody who is only thought of."""

from datetime import timedelta

import pytest

from chassis import clock, money
from scoring.usecases import rescoring

from . import left_models
from .conftest import START, Client, customer, plant, score_row

SERVICE = "scoring"

NOW = START + timedelta(days=300, hours=1)
BOUGHT = {"frequency": 4, "recency_weeks": 20.0, "age_weeks": 30.0, "monetary_value": money.from_minor(2500, "USD")}


@pytest.fixture(autouse=True)
def now(monkeypatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def scorer(client) -> None:
    """What a job leaves to score with."""
    left_models.leave(client)


def test_a_customer_as_it_is_has_the_scores_it_has(client, scorer, settings, store) -> None:
    anna, bert = customer(), customer()
    client.buys(anna, 10, 50, 51, 200, amount=1501)
    client.buys(bert, 290)
    # The mean of what is repeated is no whole number of cents: the sum is what counts.
    client.buys(anna, 220, amount=1502)
    with client.context():
        assert rescoring.keep(settings, store)
    for name in (anna, bert):
        stored = client.GetCustomerScores(name=f"{name}/scores")
        told = client.EvaluateScores(customer_scores=f"{name}/scores")
        for field in ("score_time", "age", "next_refresh_time"):
            stored.ClearField(field)
        assert told == stored
    before = client.GetCustomerScores(name=f"{anna}/scores")
    again = client.EvaluateScores(customer_scores=f"{anna}/scores", frequency=6, recency_weeks=before.age_weeks)
    assert (again.customer, again.decision, again.frequency) == (anna, before.decision, 6)
    assert again.p_alive.value > before.p_alive.value
    assert again.lifetime_value.value.units > before.lifetime_value.value.units
    assert client.GetCustomerScores(name=f"{anna}/scores") == before, "nothing is stored"


def test_somebody_who_is_only_thought_of(client, scorer) -> None:
    told = client.EvaluateScores(**BOUGHT)
    assert (told.name, told.customer, told.decision) == ("", "", "")
    assert told.model.startswith("models/")
    assert told.scoring_job.startswith("scoringJobs/")
    assert (told.frequency, told.recency_weeks, told.age_weeks) == (4, 20.0, 30.0)
    assert money.to_minor(told.revenue) == 5 * 2500
    # BG/NBD and Gamma-Gamma, calculated by hand: P(alive) is 1 / (1 + a/(b+x-1) ((alpha+T)/(alpha+t_x))^(r+x)).
    odds = 0.79 / (2.43 + 4 - 1) * ((4.4 + 30) / (4.4 + 20)) ** (0.24 + 4)
    assert told.p_alive.value == pytest.approx(1 / (1 + odds), abs=5e-7)
    assert told.p_alive.low < told.p_alive.value < told.p_alive.high
    assert told.lifetime_value.low.units < told.lifetime_value.value.units < told.lifetime_value.high.units
    assert told.lifetime_value.percentile == 100.0
    assert len(told.reasons) == 3
    assert all(": " in reason for reason in told.reasons)
    once = client.EvaluateScores(frequency=0, age_weeks=3.0)
    assert (once.p_alive.value, money.to_minor(once.revenue)) == (1.0, 2000)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"frequency", "age_weeks"}),
        ({"frequency": 2, "age_weeks": 9.0}, {"recency_weeks", "monetary_value"}),
        (BOUGHT | {"recency_weeks": 30.2}, {"recency_weeks"}),
        (BOUGHT | {"recency_weeks": 0.4}, {"recency_weeks"}),
        (BOUGHT | {"recency_weeks": -1.0, "age_weeks": -2.0}, {"recency_weeks", "age_weeks"}),
        (BOUGHT | {"age_weeks": float("nan"), "recency_weeks": float("inf")}, {"age_weeks", "recency_weeks"}),
        (BOUGHT | {"age_weeks": 1e300}, {"age_weeks"}),
        (BOUGHT | {"frequency": -1}, {"frequency"}),
        (BOUGHT | {"frequency": 2**62}, {"frequency"}),
        (BOUGHT | {"frequency": 0}, {"monetary_value"}),
        ({"frequency": 0, "age_weeks": 9.0, "recency_weeks": 1.0}, {"recency_weeks"}),
        (BOUGHT | {"monetary_value": money.from_minor(-1, "USD")}, {"monetary_value"}),
        (BOUGHT | {"monetary_value": money.from_minor(10, "EUR")}, {"monetary_value"}),
        (BOUGHT | {"revenue": money.from_minor(9_999, "USD")}, {"revenue"}),
    ],
)
def test_what_nobody_can_have_bought_is_refused_by_field(client, scorer, given, wrong) -> None:
    reason, message, fields = client.refused("EvaluateScores", **given)
    assert reason == "INVALID_FEATURES"
    assert set(fields) == wrong
    assert all(field in message for field in wrong)


def test_who_has_no_scores_and_what_has_no_model(client: Client) -> None:
    nobody = f"{customer()}/scores"
    assert client.refused("EvaluateScores", customer_scores=nobody)[0] == "NOT_FOUND"
    reason, message, _ = client.refused("EvaluateScores", **BOUGHT)
    assert (reason, "POST /v1/scoringJobs" in message) == ("NO_SCORES_YET", True)
    plant(client, [score_row(customer())])
    assert client.refused("EvaluateScores", frequency=1)[0] == "NO_SCORES_YET"
