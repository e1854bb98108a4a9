"""What is served besides a customer's scores: those of somebody thought of, all at once; and who waits for new ones."""

import json
from datetime import UTC, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from rapport.options.v1 import options_pb2
from rapport.scoring.v1 import customer_scores_pb2

import docstore
from chassis import money
from docstore import explain, leases
from scoring.domain import histories as domain
from scoring.store import PurchaseHistory, PurchaseNews, Score, ScoringJob, histories
from scoring.usecases import exporting, flushing, people, rescoring, score_rows
from scoring.usecases import histories as usecase

from . import left_models
from .conftest import START, Client, customer, plant, purchase, score_row
from .left_models import rows, updated

SERVICE = "scoring"

T0, T1, T2 = (START + timedelta(days=days, hours=1) for days in (300, 310, 312))
BOUGHT = {"frequency": 4, "recency_weeks": 20.0, "age_weeks": 30.0, "monetary_value": money.from_minor(2500, "USD")}


def test_a_customer_as_it_is_has_the_scores_it_has(client, scorer, settings, store, at) -> None:
    at(T0)
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


def exported(client, **fields) -> list[dict]:
    body = client.ExportCustomerScores(**fields)
    file = options_pb2.File()
    assert body.extensions[0].Unpack(file)
    assert (body.content_type, file.filename) == ("application/x-ndjson", "customer-scores.ndjson")
    return [json.loads(line) for line in body.data.splitlines()]


def test_file_by_file_everybody_is_there_who_does_not_object(client, monkeypatch) -> None:
    names = sorted(customer() for _ in range(7))
    plant(client, [score_row(name) for name in names])
    client.segment("purchases >= 1")
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(names[3], "consents/c", START))
    client.keep()
    found: list[dict] = []
    sizes = []
    while part := exported(client, max_rows=4, after=found[-1]["customer"] if found else ""):
        found += part
        sizes.append(len(part))
    assert (sizes, [row["customer"] for row in found]) == ([4, 2], [name for name in names if name != names[3]])
    for row in found:
        told = ParseDict(row, customer_scores_pb2.CustomerScores())
        one = client.GetCustomerScores(name=told.name)
        for scores in (told, one):
            scores.ClearField("age")
        assert told == one
        assert told.segments == ["segments/some"]
    monkeypatch.setattr(exporting, "BYTES_MOST", 1)
    assert [row["customer"] for row in exported(client, after=names[0])] == [names[1]]
    reason, _, fields = client.refused("ExportCustomerScores", after="customers/x")
    assert (reason, fields) == ("INVALID_CUSTOMER", ["after"])
    assert client.refused("ExportCustomerScores", max_rows=-1)[0] == "INVALID_MAX_ROWS"


def test_a_file_is_read_by_the_index_of_ids(client) -> None:
    plant(client, [score_row(customer()) for _ in range(5)])
    with client.context():
        place = {"_id": {"$gt": Score.key(""), "$lt": f"{client.tenant}0"}}
        explain.assert_indexed(Score, place, [("_id", 1)], limit=2, max_keys=3)


def test_what_is_too_much_at_once_is_left_to_the_next_job(client, at, rescore, scorer, monkeypatch) -> None:
    at(T0)
    names = sorted(customer() for _ in range(6))
    for name in names:
        client.buys(name, 5)
    rescore()
    before = rows(client)
    monkeypatch.setattr(usecase, "WAITING_MOST", 4)
    monkeypatch.setattr(usecase, "_ADDED_AT_ONCE", 3)
    at(T1)
    client.stage([purchase(name, 305) for name in names])
    rescore()
    again = {name for name, row in rows(client).items() if row["as_of"] > before[name]["as_of"]}
    left = {name for name, row in rows(client).items() if row.get("outdated_since") == T1}
    assert (len(again), len(left), again | left) == (4, 2, set(names))
    at(T2)
    for name in names:
        told = client.GetCustomerScores(name=f"{name}/scores")
        since = T1 if name in again else T0
        assert told.age.ToTimedelta() == T2 - since
        due = T1 if name in left else T1 + timedelta(days=7)
        assert told.next_refresh_time.ToDatetime(UTC) == due, (
            "a time that has passed where it is known to be out of date"
        )
    # What waits has room again; nothing was lost of what was left out.
    for name in left:
        client.buys(name, 306)
    rescore()
    assert {row["purchases"] for name, row in rows(client).items() if name in left} == {3}
    assert not any("outdated_since" in row for row in rows(client).values())


def test_whom_a_job_asks_for_takes_no_place_of_who_buys(client, at, rescore, scorer, monkeypatch) -> None:
    at(T0)
    anna = customer()
    client.buys(anna, 5)
    rescore()
    monkeypatch.setattr(usecase, "WAITING_MOST", 2)
    at(T1)
    with client.context():
        histories.ask([customer() for _ in range(3)], T0)
    client.stage([purchase(customer(), 311) for _ in range(3)])  # of the future
    client.buys(anna, 305)
    first = []
    due = usecase.due

    def noted(*given: Any) -> Any:
        found = due(*given)
        first.extend(row["customer"] for row in found[:1])
        return found

    monkeypatch.setattr(usecase, "due", noted)
    rescore()
    assert (rows(client)[anna]["as_of"], "outdated_since" in rows(client)[anna]) == (T1, False)
    assert first == [anna], "before those, though they were due earlier"
    with client.context():
        assert PurchaseHistory.rows().count({"due": {"$lte": T1}}) == 0


def test_who_is_in_too_large_a_bucket_waits_for_the_next_job(
    client, settings, store, at, rescore, scorer, monkeypatch
) -> None:
    at(T0)
    anna, bert = customer(), customer()
    client.buys(anna, 5)
    rescore()
    client.buys(bert, 5)
    with client.context():
        flushing.flush(settings, store)
    monkeypatch.setattr(usecase, "READ_ROWS_MOST", 0)
    at(T1)
    client.buys(anna, 305)
    client.buys(bert, 305)
    rescore()
    assert {name: row["purchases"] for name, row in rows(client).items()} == {anna: 2}, "hers is known, and goes on"
    with client.context():
        PurchaseHistory.rows().delete_many({})
    client.buys(anna, 306)
    rescore()
    assert rows(client)[anna]["outdated_since"] == T1
    with client.context():
        assert PurchaseHistory.rows().count({"due": {"$exists": True}}) == 0


def test_nothing_is_lost_when_who_scores_dies_or_consent_is_silent(
    client, settings, store, at, rescore, scorer, monkeypatch
) -> None:
    at(T0)
    anna = customer()
    client.buys(anna, 5)
    rescore()
    at(T1)
    client.buys(anna, 305)
    assert 0 < rescoring.longest_wait() < 60
    nowhere = settings.model_copy(update={"upstreams": {"consent": "dns:///127.0.0.1:1"}})
    with client.context():
        assert rescoring.keep(nowhere, store)
        assert not rescoring.keep(settings, store), "it waits a moment"
        rescoring.ScoreKeeper.rows().update_one({"uid": histories.CURRENT}, {"$unset": {"lease": ""}})

        def dies(*_: object) -> None:
            raise leases.LeaseLost

        with monkeypatch.context() as broken:
            broken.setattr(rescoring, "_settle", dies)
            assert not rescoring.keep(settings, store)
    assert rows(client)[anna]["purchases"] == 1
    rescore()
    assert rows(client)[anna]["purchases"] == 2
    assert updated(client).count(anna) == 2
    assert rescoring.longest_wait() == 0


def test_what_the_runner_asks_to_score_anew_is_served_by_indexes(client) -> None:
    with client.context():
        PurchaseNews.rows().insert_many({"purchases": []} for _ in range(9))
        histories.ask([customer() for _ in range(9)], START)
        explain.assert_indexed(PurchaseNews, {}, [("_id", 1)], limit=2, max_keys=3)
        due = {"due": {"$lte": START}}
        explain.assert_indexed(PurchaseHistory, due, [("due", 1)], limit=2, max_keys=3)
        explain.assert_indexed(PurchaseHistory, {**due, "bought": {"$ne": True}}, [("due", 1)], limit=2, max_keys=3)
        PurchaseHistory.rows().update_many({}, {"$set": {"bought": True}})
        explain.assert_indexed(PurchaseHistory, {**due, "bought": True}, [("due", 1)], limit=2, max_keys=3)


def test_what_is_bought_while_the_first_job_is_at_work_is_scored_when_there_is_something_to_score_with(
    client, settings, store
) -> None:
    anna, bert = customer(), customer()

    def keep() -> int:
        with client.context():
            assert rescoring.keep(settings, store)
            return PurchaseHistory.rows().count({"due": {"$exists": True}})

    client.buys(anna, 1)
    assert keep() == 0, "the job to come knows it"
    client.buys(anna, 3)  # and this, which is taken in after the job has begun
    job = client.CreateScoringJob()
    client.buys(bert, 2)
    assert keep() == keep() == 1
    left_models.leave(client)
    assert keep() == 0
    assert client.scored().keys() == {bert}
    client.CancelScoringJob(name=job.name)


def test_a_refund_told_while_the_first_job_of_churn_is_at_work_reaches_the_risk_it_makes(
    client, at, settings, store
) -> None:
    at(T0)
    anna = customer()

    def asked(refund: float) -> int:
        client.stage([purchase(anna, refund, -100)])
        with client.context():
            assert rescoring.keep(settings, store)
            return PurchaseHistory.rows().count({"due": {"$exists": True}})

    client.buys(anna, 5)
    assert asked(6) == 0, "the job to come knows it"
    job = client.CreateScoringJob(scoring_job={"kind": "KIND_CHURN"})
    assert asked(7) == 1
    left_models.leave(client)
    at(T1)
    assert asked(8) == 0
    with client.context():
        assert score_rows.newer([anna.rpartition("/")[2]], T0).keys() == {anna}, "whose risks the job asks for again"
        ScoringJob.rows().delete_one({"uid": job.uid})


def test_whose_purchases_are_too_many_to_know_what_refunds_leave_waits_for_the_next_job(
    client, at, rescore, scorer, monkeypatch
) -> None:
    monkeypatch.setattr(domain, "KEPT_MAX", 3)
    at(T0)
    anna, bert = customer(), customer()
    for name in (anna, bert):
        client.buys(name, 5, 50)
    rescore()
    at(T1)
    for name, order in ((anna, "one"), (bert, "")):
        client.stage([purchase(name, 305), purchase(name, 306, -100, order_id=order)])
    rescore()
    told = {name: (row["purchases"], row.get("outdated_since")) for name, row in rows(client).items()}
    assert told == {anna: (2, T1), bert: (3, None)}, "a refund without an order reduces nothing"
