"""Scores after a purchase: those a job would tell, within seconds, of nobody who objects."""

import hashlib
import json
import random
import threading
from datetime import timedelta
from typing import Any

import pytest

import docstore
from chassis import clock, ids
from docstore.aliases import AliasChange
from scoring import score_reproduction
from scoring.domain import gates
from scoring.models import artefact
from scoring.settings import ScoringSettings
from scoring.store import Model, PurchaseHistory, PurchaseNews, Score, ScoreKeeper, Scorer, histories
from scoring.store.features import manifest_files, subject_of
from scoring.usecases import erasing, flushing, people, rescoring

from . import left_models
from .conftest import START, Client, customer, purchase
from .left_models import rows, updated

SERVICE = "scoring"

T0, T1, T2 = (START + timedelta(days=days, hours=1) for days in (300, 310, 312))
EQUAL = {
    *("recency_weeks", "frequency", "age_weeks", "monetary_minor", "purchases", "revenue_minor"),
    *("p_alive", "expected_purchases", "lifetime_value_minor", "intervals"),
    *("model", "as_of", "horizon_weeks", "currency"),
}


@pytest.fixture(scope="module")
def settings(settings: ScoringSettings, tmp_path_factory: pytest.TempPathFactory) -> ScoringSettings:
    """With a table of rates, by which a euro is sometimes worth more dollars than at other times."""
    path = tmp_path_factory.mktemp("rates") / "rates.csv"
    rates = {8: "1.25", 299: "1.1", 305: "1.3"}
    path.write_text("".join(["Date,USD\n", *(f"{START + timedelta(days=n):%Y-%m-%d},{r}\n" for n, r in rates.items())]))
    return settings.model_copy(update={"day_rates_url": str(path)})


def refund(of: Any, day: float, amount: int, currency: str = "USD", **fields: Any) -> Any:
    """Of the order of a purchase."""
    given = {"event": "Order Refunded", "order_id": of.order_id, "customer": of.customer} | fields
    return purchase(given.pop("customer"), day, amount, currency, **given)


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
    dear, gone, old = purchase(anna, 307, 2500), purchase(dora, 308, 600), purchase(emil, -70, 5000)
    fresh = [
        purchase(gina, 302),
        *(purchase(anna, day, 2500) for day in (305, 305)),
        dear,
        gone,
        refund(gone, 309, 900),  # more than was paid
        old,  # longer ago than purchases were kept one by one
        refund(old, 308, 1500),
        refund(old, 309, 100, "EUR"),
        purchase(bert, 3, 900),  # late, before the first one known
        purchase(bert, 10, 50, "EUR"),
        purchase(carl, 301, -500),  # a refund
        purchase(carl, 302, 70, "CHF"),  # there is no rate, as on the third day
        purchase(carl, 3, 70, "EUR"),
        purchase(dora, 309, 800, "EUR"),
        purchase(emil, 309, 3100, "EUR"),  # the first of all
        purchase(dora, 311, 4200, "EUR"),  # not yet
    ]
    random.Random(5).shuffle(fresh)
    client.stage(fresh[:5])
    rescore()
    with client.context():
        flushing.flush(settings, store)
    client.stage([*fresh[5:], *fresh[:3]])
    rescore()
    online = rows(client)
    sums = ("frequency", "recency_weeks", "monetary_minor", "purchases", "revenue_minor")
    assert [online[carl][name] for name in sums] == [before[carl][name] for name in sums], "without a rate"
    assert [online[name]["revenue_minor"] - before[name]["revenue_minor"] for name in (bert, dora)] == [900 + 62, 1040]
    assert online[emil]["revenue_minor"] == 4030 + 5000 - 1500 - 130
    assert online[dora]["frequency"] == before[dora]["frequency"] + 2, "what is given back was bought all the same"
    assert online[anna]["purchases"] == before[anna]["purchases"] + 3
    assert online[anna]["lifetime_value_minor"] > before[anna]["lifetime_value_minor"]
    assert online[emil]["reasons"]
    assert online[emil]["decision"].startswith("decisions/")
    told = len(updated(client))
    with client.context():
        again = {name: score_reproduction.value(name, store) for name in (anna, bert, dora, emil)}
        assert all(each is not None and each.equal for each in again.values()), "made again, bit for bit"
        assert again[anna].computed["percentiles"] == online[anna]["percentiles"]
        assert score_reproduction.value(gina, store) is None, "who objects has nothing left to make it from"
        # What scored is in the result of its job, too, when something else scores meanwhile.
        Scorer.rows().update_one({"uid": histories.CURRENT}, {"$set": {"job": "another"}})
        found = score_reproduction.value(anna, store)
        assert found.equal
        assert "percentiles" not in found.recorded
        Scorer.rows().update_one({"uid": histories.CURRENT}, {"$set": {"job": online[anna]["job"]}})
        Score.rows().update_one({"customer": bert}, {"$inc": {"repeat_revenue_minor": 500}})
        assert not score_reproduction.value(bert, store).close
        Score.rows().update_one({"customer": bert}, {"$inc": {"repeat_revenue_minor": -500}})

    # Merged, they are scored together when one of them buys; histories of an older form are read anew.
    with client.context():
        wrong = {"$unset": {"form": "", "abroad": ""}, "$inc": {"revenue_minor": -1}}
        PurchaseHistory.rows().update_one({"uid": anna.rpartition("/")[2]}, wrong)
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(anna, bert, (1, 0))))
    client.buys(bert, 306)
    client.stage([refund(dear, 308, 1000, customer=bert)])
    rescore()
    together = before[anna]["revenue_minor"] + 3 * 2500 + online[bert]["revenue_minor"]
    online = rows(client)
    assert online.keys() == {bert, carl, dora, emil}
    assert online[bert]["revenue_minor"] == together + 1999 - 1000, "another customer's order of the same profile"
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
    told = (job.conversion.currency_code, job.conversion.converted_count, job.conversion.left_out_count)
    assert told == ("USD", 3, 2)
    assert (candidate.customer_count, job.refused_count) == (4, 1), "learned from who had bought and had not objected"
    assert {row["job"] for row in after.values()} == {job.name.rpartition("/")[2]}
    assert {key: after[bert][key] for key in EQUAL} == {key: online[bert][key] for key in EQUAL}
    assert (after[bert]["rescored"], online[bert]["rescored"]) == (False, True)
    assert {key: after[carl][key] for key in EQUAL} == {key: online[carl][key] for key in EQUAL}
    for name in (dora, emil, fred):
        assert {key: after[name][key] for key in EQUAL} == {key: newest[name][key] for key in EQUAL}
    with client.context():
        left = score_reproduction.value(emil, store)
        assert left is not None
        assert left.equal, "the job left it alone: it was made by the scales of the one before"
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


def test_nothing_is_kept_of_who_is_merged_with_somebody_who_objects(client, at, rescore, scorer) -> None:
    at(T0)
    anna, bert = customer(), customer()
    client.buys(anna, 5)
    rescore()
    with client.context():
        assert PurchaseHistory.rows().count({"known": True}) == 1
        docstore.in_transaction(lambda: people.object_to_profiling(bert, "consents/c", T0))
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(anna, bert, (1, 0))))
        assert PurchaseHistory.rows().count({}) == 0


def test_a_tenant_whose_file_is_gone_is_looked_at_again_after_a_while(client, at, scorer, settings, store) -> None:
    at(T0)
    anna = customer()
    client.buys(anna, 5)
    with client.context():
        assert flushing.flush(settings, store)
        for file in manifest_files():
            store.delete(subject_of(file["bucket"]), file["name"])
        histories.ask([anna], T0)
    rescoring.rescore_due(settings, store)
    with client.context():
        (keeper,) = ScoreKeeper.rows().find({})
        # Else the tests that follow look at this tenant, too.
        PurchaseHistory.rows().delete_many({})
    pause_s = (keeper["lease"]["until"] - clock.real_now()).total_seconds()
    assert 5 < pause_s <= 10
