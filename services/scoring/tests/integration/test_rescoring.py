"""Scores after a purchase: those a job would tell, within seconds, of nobody who objects."""

import hashlib
import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest

import docstore
from chassis import clock, ids
from docstore.aliases import AliasChange
from scoring.domain import gates
from scoring.models import artefact
from scoring.store import Model, PurchaseHistory, PurchaseNews, Score, histories
from scoring.usecases import erasing, flushing, people, rescoring
from scoring.usecases import histories as usecase

from . import left_models
from .conftest import START, Client, customer, purchase

SERVICE = "scoring"

T0, T1, T2 = (START + timedelta(days=days, hours=1) for days in (300, 310, 312))
EQUAL = {
    *("recency_weeks", "frequency", "age_weeks", "monetary_minor", "purchases", "revenue_minor"),
    *("p_alive", "expected_purchases", "lifetime_value_minor", "intervals"),
    *("model", "as_of", "horizon_weeks", "currency"),
}


@pytest.fixture
def at(monkeypatch) -> Callable[..., None]:
    """Sets the clock."""
    return lambda instant: monkeypatch.setattr(clock, "now", lambda: instant)


@pytest.fixture
def rescore(client, settings, store) -> Callable[[], None]:
    """Scores who bought, as role `run` does."""

    def keep() -> None:
        with client.context():
            assert rescoring.keep(settings, store)
            assert PurchaseNews.rows().count({}) == 0

    return keep


@pytest.fixture
def champion(client, store) -> Model:
    """A model that scores whatever jobs find: they know too few customers to find a better one."""
    body = {"choice": artefact.dump(left_models.CHOICE), "as_of_day": 20_000, "horizon_weeks": 52, "discount": 0.1}
    stored = json.dumps({**body, "feature_histograms": {}, "score_histograms": {}, "promised": {}}).encode()
    values = {"number": 1, "state": gates.CHAMPION, "as_of": START, "fallback": False, "customers": 100}
    with client.context():
        model = Model.new(
            uid=ids.uuid7(),
            **values,
            purchases=300,
            fingerprint="f" * 64,
            currency="USD",
            artefact_sha256=hashlib.sha256(stored).hexdigest(),
        )
        store.put(model.subject, "model.json", stored)
        return model.insert()


@pytest.fixture
def scorer(client) -> None:
    """What a job leaves to score with."""
    left_models.leave(client)


def rows(client: Client) -> dict[str, dict[str, Any]]:
    with client.context():
        return {row["customer"]: row for row in Score.rows().find({})}


def updated(client: Client) -> list[str]:
    return [
        each.customer for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated" for each in event.scores
    ]


@pytest.mark.usefixtures("jobs")
def test_scores_after_purchases_are_those_of_a_job_of_the_same_instant(
    client, settings, store, at, rescore, champion
) -> None:
    client.profiling()
    at(T0)
    anna, bert, carl, dora, gina, emil, fred = names = [customer() for _ in range(7)]
    for number, name in enumerate(names[:5]):
        client.buys(name, *range(10 + number, 200, 40 + number), amount=1000 + number)
    rescore()
    client.score(as_of=T0)
    assert {row["model"] for row in rows(client).values()} == {champion.uid}
    before = rows(client)
    assert client.segment("purchases >= 1").member_count == 5

    # Who objects is in no scores, no segment and no later training, whatever they buy.
    client.objects(gina)
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(gina, "consents/c", T0))
    at(T1)
    fresh = [
        purchase(gina, 302),
        *(purchase(anna, day, 2500) for day in (305, 305, 307)),
        purchase(bert, 3, 900),  # late, before the first one known
        purchase(bert, 10, 50),
        purchase(carl, 301, -500),  # a refund
        purchase(carl, 302, 70, "EUR"),
        purchase(dora, 309, 800),
        purchase(emil, 309, 3100),  # the first of all
        purchase(dora, 311, 4200),  # not yet
    ]
    random.Random(5).shuffle(fresh)
    client.stage(fresh[:5])
    rescore()
    with client.context():
        flushing.flush(settings, store)
    client.stage([*fresh[5:], *fresh[:3]])
    rescore()
    online = rows(client)
    assert online[carl] == before[carl], "neither a refund nor another currency changes anything"
    assert online[anna]["purchases"] == before[anna]["purchases"] + 3
    assert online[anna]["lifetime_value_minor"] > before[anna]["lifetime_value_minor"]
    assert online[emil]["reasons"]
    assert online[emil]["decision"].startswith("decisions/")
    told = len(updated(client))

    # Merged, they are scored together when one of them buys.
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(anna, bert, (1, 0))))
    client.buys(bert, 306)
    rescore()
    online = rows(client)
    assert online.keys() == {bert, carl, dora, emil}
    assert client.GetCustomerScores(name=f"{anna}/scores") == client.GetCustomerScores(name=f"{bert}/scores")
    assert online[bert]["purchases"] == 5 + 3 + 5 + 2 + 1
    assert updated(client)[told:] == [bert]

    # What is bought while a job is at work is in its scores when it ends, though it knew nothing of it.
    at(T2)
    rescore()  # the time of the purchase that was too early has come
    client.buys(fred, 311)
    client.buys(emil, 311)
    rescore()
    newest = rows(client)
    assert {name for name, row in newest.items() if row["as_of"] == T2} == {dora, emil, fred}
    assert newest[dora]["purchases"] == online[dora]["purchases"] + 1
    job = client.score(as_of=T1)
    after = rows(client)
    assert after.keys() == {bert, carl, dora, emil, fred}
    assert client.evaluated().member_count == 5
    assert client.members() == after.keys()
    (candidate,) = (model for model in client.ListModels().models if model.scoring_job == job.name)
    assert (candidate.customer_count, job.refused_count) == (4, 1), "learned from who had bought and had not objected"
    assert {row["job"] for row in after.values()} == {job.name.rpartition("/")[2]}
    assert {key: after[bert][key] for key in EQUAL} == {key: online[bert][key] for key in EQUAL}
    assert (after[bert]["rescored"], online[bert]["rescored"]) == (False, True)
    for name in (dora, emil, fred):
        assert {key: after[name][key] for key in EQUAL} == {key: newest[name][key] for key in EQUAL}
    rescore()
    assert [row["score_time"] > after[name]["score_time"] for name, row in rows(client).items()] == [False] * 5
    with client.context():
        assert PurchaseHistory.rows().count({"due": {"$exists": True}}) == 0


def test_who_objects_is_scored_by_no_purchase(client, at, rescore, scorer, settings, store) -> None:
    at(T0)
    anna, bert, carl = (customer() for _ in range(3))
    for name in (anna, bert, carl):
        client.buys(name, 5, 50)
    rescore()
    segment = client.segment("purchases >= 1")
    assert segment.member_count == 3
    client.objects(anna)  # consent knows, nothing has been told yet
    client.objects(bert)
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(bert, "consents/c", T0))
    at(T1)
    for name in (anna, bert, carl):
        client.buys(name, 305)
    rescore()
    assert rows(client).keys() == {carl}
    assert client.evaluated().member_count == 1
    with client.context():
        assert [row["customer"] for row in PurchaseHistory.rows().find({})] == [carl]
        client.buys(carl, 306)
        assert erasing.erase([carl], settings, store)["purchaseHistories"] == (1, 0)
        assert PurchaseHistory.rows().count({}) == 0
        assert all(not row["purchases"] for row in PurchaseNews.rows().find({}))
    rescore()
    assert rows(client) == {}


def test_an_objection_while_a_score_is_stored_wins(client, at, rescore, scorer, monkeypatch) -> None:
    at(T0)
    anna, bert = customer(), customer()
    client.buys(bert, 5)
    rescore()
    client.buys(anna, 6)
    store, tries = rescoring._store, []

    def meanwhile(leased: Any, wave: Any) -> None:
        tries.append(list(wave.scores))
        assert Score.rows().count({"uid": anna.rpartition("/")[2]}) == 0, "the transaction has begun"
        if len(tries) == 1:
            thread = threading.Thread(target=_object, args=(client, anna))
            thread.start()
            thread.join()
        store(leased, wave)

    monkeypatch.setattr(rescoring, "_store", meanwhile)
    rescore()
    assert tries == [[anna], [anna]], "the transaction began again"
    assert rows(client).keys() == {bert}
    # Nor is anything read of who objects just before.
    carl = customer()
    client.buys(carl, 7)
    known = rescoring._known

    def later(*given: Any) -> Any:
        _object(client, carl)
        found = known(*given)
        assert found == ({}, {carl})
        assert PurchaseHistory.rows().count({"known": True, "uid": carl.rpartition("/")[2]}) == 0
        return found

    monkeypatch.setattr(rescoring, "_known", later)
    rescore()
    assert rows(client).keys() == {bert}
    with client.context():
        assert [row["customer"] for row in PurchaseHistory.rows().find({})] == [bert]


def _object(client: Client, name: str) -> None:
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(name, "consents/c", T0))


def test_what_is_too_much_at_once_is_left_to_the_next_job(client, at, rescore, scorer, monkeypatch) -> None:
    at(T0)
    names = sorted(customer() for _ in range(6))
    for name in names:
        client.buys(name, 5)
    rescore()
    before = rows(client)
    monkeypatch.setattr(usecase, "WAITING_MOST", 4)
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
            raise rescoring.LeaseLost

        with monkeypatch.context() as broken:
            broken.setattr(rescoring, "_settle", dies)
            assert not rescoring.keep(settings, store)
    assert rows(client)[anna]["purchases"] == 1
    rescore()
    assert rows(client)[anna]["purchases"] == 2
    assert updated(client).count(anna) == 2
    assert rescoring.longest_wait() == 0
