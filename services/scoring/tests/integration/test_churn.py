"""Churn from purchases to a risk with its reasons, in segments and events; and gone when a person wants it gone."""

import random
import threading
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
from rapport.scoring.v1 import model_pb2, scoring_job_pb2

import docstore
from chassis import clock
from chassis.errors import Internal
from docstore import blobs, explain
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring import parquet, score_reproduction
from scoring.jobs import churn as program
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.reproduce import reproduce
from scoring.jobs.spec import ChurnJobSpec
from scoring.models import churn as models
from scoring.models.churn import COLUMNS, RISK
from scoring.models.classifier import Table, boosting
from scoring.store import Evaluation, Model, PurchaseHistory, PurchaseNews, Score, ScoringJob
from scoring.store.features import manifest_files, subject_of
from scoring.usecases import (
    churn,
    flushing,
    kept_results,
    loaded_models,
    people,
    preparing,
    rescoring,
    results,
    storing,
)
from scoring.usecases.erasing import erase

from . import carrying_out, left_models
from .conftest import START, Client, claimed, customer, plant, plant_earlier, purchase, score_row
from .what_if import asked, features_of

SERVICE = "scoring"
WEEKS = 8
AS_OF = START + timedelta(days=120)
SPAN = 420
JobState = scoring_job_pb2.ScoringJob


def shop(number: int, seed: int = 5) -> dict[str, list[tuple[float, int]]]:
    """Customers who buy about every 24 days: days before AS_OF and cents. Those with small baskets soon leave.

    Their names, by which folds are made, are of the seed, too: so is the model.
    """
    chance, names = random.Random(seed), random.Random(seed)
    bought: dict[str, list[tuple[float, int]]] = {}
    while len(bought) < number:
        small = len(bought) % 2 == 0
        day = chance.uniform(SPAN * 0.3, SPAN)
        left = day - chance.expovariate(1 / (110 if small else 3000))
        found = []
        while day > max(left, 0):
            found.append((day, round((800 if small else 6000) * chance.uniform(0.7, 1.4))))
            day -= chance.gammavariate(2, 12) + 0.05
        bought[f"customers/{uuid.UUID(int=names.getrandbits(128))}"] = found
    return bought


def carried_out(client: Client, settings: Any, store: BlobStore, **terms: Any) -> Any:
    """A job of the tenant, whose program runs in this process."""
    terms = {"kind": "KIND_CHURN", "as_of": AS_OF, "horizon_weeks": WEEKS} | terms
    with pytest.MonkeyPatch.context() as patched:
        # What is planted is found by few trees.
        patched.setattr(boosting, "SETTINGS", (25, 50))
        return carrying_out.carried_out(client, settings, store, **terms)


@pytest.fixture(scope="module")
def bought() -> dict[str, list[tuple[float, int]]]:
    return shop(300)


@pytest.fixture(scope="module")
def objector(bought: dict[str, list[tuple[float, int]]]) -> str:
    """Of those who still buy."""
    return min(bought, key=lambda name: bought[name][-1])


@pytest.fixture(scope="module")
def scored(
    channels: Any, settings: Any, store: BlobStore, bought: dict[str, list[tuple[float, int]]], objector: str
) -> tuple[Client, Any]:
    """A tenant with risks, and the job that made them. Two customers had some of an earlier job."""
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    client.objects(objector)
    client.stage(purchase(name, 120 - days, amount) for name, purchases in bought.items() for days, amount in purchases)
    client.CreateSegment(segment={"display_name": "Leaving", "expression": "churn_risk > 0.5"}, segment_id="leaving")
    client.CreateSegment(segment={"display_name": "Not", "expression": "NOT churn_risk > 0.5"}, segment_id="staying")
    plant_earlier(client, churn=risk("models/old") | {"job": "old"})
    with client.context():
        assert rescoring.keep(settings, store), "what comes before somebody is scored is in files"
    job = carried_out(client, settings, store)
    client.keep()
    return client, job


@pytest.fixture
def client(scored: tuple[Client, Any]) -> Client:
    """Here tests share one tenant, whose model took some seconds."""
    return scored[0]


def risk(model: str, probability: float = 0.7) -> dict[str, Any]:
    """As stored."""
    return {
        "probability": probability,
        "low": 0.6,
        "high": 0.8,
        "percentile": 90.0,
        "reasons": [{"feature": "purchases_30d", "points": 3.0, "text": "Purchases in 30 days is 0: raises it"}],
        "horizon_weeks": 13,
        "as_of": START,
        "job": "019a0000-0000-7000-8000-000000000000",
        "model": model.rpartition("/")[2],
        "decision": "decisions/d",
        "score_time": START,
    }


def with_risk(client: Client) -> dict[str, Any]:
    """Scores of those who have a risk."""
    return {name: scores for name, scores in client.scored().items() if scores.HasField("churn_risk")}


def rescored(client: Client, settings: Any, store: BlobStore) -> None:
    """Scores who bought, as role `run` does."""
    with client.context():
        assert rescoring.keep(settings, store)
        assert PurchaseNews.rows().count({}) + PurchaseHistory.rows().count({"due": {"$lte": clock.now()}}) == 0
    client.keep()


def told(client: Client) -> list[Any]:
    return [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated"]


def test_the_model_beats_recency_and_learns_from_nobody_who_objects(scored, bought, objector) -> None:
    client, job = scored
    (model,) = client.ListModels(filter="kind = KIND_CHURN AND state = STATE_CHAMPION").models
    assert job.model == model.name
    told = f"{job.scored_count} customers have new risks of leaving by {model.name}. Computed in this process, "
    assert job.message.startswith(told)
    assert [gate.name for gate in model.gates if gate.passed] == [
        *("minimum_data", "consenting_share", "baseline", "recency", "calibration")
    ]
    auc = model.metrics["test"][model.metrics["chosen"]]["auc"]
    assert auc > model.metrics["recency_auc"] + 0.01
    assert {"logistic", "catboost", "average", "base_rate"} == set(model.metrics["test"])
    # Counted anew, without those who object: rows as of each instant, and who of them did not come back.
    days = {name: [day for day, _ in purchases] for name, purchases in bought.items() if name != objector}
    newest, oldest = min(map(min, days.values())), max(map(max, days.values()))
    rows = departures = 0
    for place in range(1, 9):
        at = newest + 7 * WEEKS * place
        if at + 7 * WEEKS <= oldest:
            active = [each for each in days.values() if any(at < day <= at + 365 for day in each)]
            rows += len(active)
            departures += sum(not any(at - 7 * WEEKS < day <= at for day in each) for each in active)
    assert (model.customer_count, model.purchase_count) == (rows, departures)
    assert job.refused_count == 1
    assert job.scored_count == sum(min(each) <= 365 for each in days.values())
    assert (job.horizon_weeks, job.HasField("annual_discount_basis_points")) == (WEEKS, False)


def test_a_risk_names_the_planted_reason_its_model_and_its_decision(client, bought, objector) -> None:
    found = with_risk(client)
    assert objector not in client.scored()
    fresh = [name for name, purchases in bought.items() if purchases[-1][0] < 15 and name != objector]
    small = [name for name in fresh if purchases_are_small(bought[name])]
    large = [name for name in fresh if not purchases_are_small(bought[name])]
    means = [sum(found[name].churn_risk.probability.value for name in names) / len(names) for names in (small, large)]
    assert means[0] > 2 * means[1], means
    named = Counter(reason.feature for name in small for reason in found[name].churn_risk.reasons if reason.points > 0)
    assert named["mean_order_value_365d"] > len(small) / 2, named
    for scores in found.values():
        told_risk = scores.churn_risk
        estimate = told_risk.probability
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert 0 < estimate.percentile <= 100
        for reason in told_risk.reasons:
            effect = "raises" if reason.points > 0 else "lowers"
            assert f": {effect} the risk of leaving by " in reason.text
        assert (told_risk.horizon_weeks, told_risk.as_of.ToDatetime()) == (WEEKS, AS_OF.replace(tzinfo=None))
        assert told_risk.decision.startswith("decisions/")
        # No job of lifetime value has been here.
        assert (scores.model, scores.HasField("rfm"), scores.HasField("lifetime_value")) == ("", False, False)
    name = small[0]
    alone = client.GetCustomerScores(name=f"{name}/scores")
    alone.churn_risk.age.CopyFrom(found[name].churn_risk.age)
    assert alone == found[name]
    assert client.SummarizeScores().customer_count == 1, "the one with a lifetime value"


def purchases_are_small(purchases: list[tuple[float, int]]) -> bool:
    return purchases[-1][1] < 2000


def test_what_an_earlier_job_told_of_others_is_gone(client) -> None:
    with client.context():
        assert Score.rows().find_one({"churn.job": "old"}) is None
        (kept,) = Score.rows().find({"lifetime_value_minor": 3000})
    assert not client.GetCustomerScores(name=f"{kept['customer']}/scores").HasField("churn_risk")
    events = told(client)
    assert [list(event.removed_churn_customers) for event in events if event.removed_churn_customers] == [
        [kept["customer"]]
    ]
    assert sum(len(event.removed_customers) for event in events) >= 1


def test_a_job_of_lifetime_value_leaves_who_has_only_a_risk(client) -> None:
    """Of whom consent refuses it takes all away, though."""
    alone, both = customer(), customer()
    of_other = {"churn": risk("models/some")}
    with client.context():
        Score.rows().insert_many([{"uid": alone.partition("/")[2], "customer": alone, **of_other}])
    plant(client, [score_row(both, **of_other)])
    client.CreateScoringJob()
    job = claimed(client)
    with client.context():
        assert Score.rows().count({"job": {"$gt": ""}}) == 2, "the one that was planted first is there, too"
        results.remove_earlier(job, threading.Event(), Score, "job", partial(storing.remove_unless_newer, job, {both}))
        assert Score.rows().count({"job": {"$gt": ""}}) == 0
        planted = {"uid": {"$in": [name.partition("/")[2] for name in (alone, both)]}}
        left = {row["customer"] for row in Score.rows().find(planted)}
        Score.rows().delete_many(planted)
        ScoringJob.rows().delete_one({"uid": job.uid})
    assert left == {alone}


def test_risks_are_told_and_make_segments(client) -> None:
    found = {name: scores.churn_risk for name, scores in with_risk(client).items()}
    states = {state.customer: state for event in told(client) for state in event.churn_risks}
    assert found.keys() <= states.keys()
    for name, each in found.items():
        assert states[name].probability == each.probability.value
        assert list(states[name].reasons) == [reason.text for reason in each.reasons]
        assert (states[name].model, states[name].decision) == (each.model, each.decision)
    leaving = {name for name, each in found.items() if each.probability.value > 0.5}
    assert client.members("leaving") == leaving != set()
    assert client.members("staying") == found.keys() - leaving, "who has no risk is in neither"


def names_in(settings: Any, job: ScoringJob) -> str:
    """All that is written into the result of a job, with every cell decoded."""
    folder = Path(urlsplit(preparing.url(settings, job.result_subject)).path)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(repr(pq.read_table(f).to_pydict()) if f.suffix == ".parquet" else f.read_text() for f in files)


def test_an_objection_a_merge_and_an_erasure_take_it_away(client, settings, store) -> None:
    objects, merged, other, erased = sorted(with_risk(client))[:4]
    before = client.members("leaving") | client.members("staying")
    assert {objects, merged, erased} <= before
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(objects, "consents/c", START))
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, other, (1, 0))))
    client.keep()
    gone = {objects, merged}
    assert client.scored().keys().isdisjoint(gone)
    assert client.refused("GetCustomerScores", name=f"{objects}/scores")[0] == "NOT_FOUND"
    assert (client.members("leaving") | client.members("staying")).isdisjoint(gone)
    assert gone <= {name for event in told(client) for name in event.removed_customers}
    with client.context():
        (kept,) = ScoringJob.find({"outcome": "SUCCEEDED", "kind": "CHURN"})
        assert objects in names_in(settings, kept)
        assert kept_results.take_out_objecting(settings, store) == 1
        assert kept_results.take_out_objecting(settings, store) == 0
        assert objects not in names_in(settings, kept)
        assert erased in names_in(settings, kept)
        assert erase([erased], settings, store)["scores"] == (1, 0)
        assert erased not in names_in(settings, kept)
        assert Score.rows().find_one({"customer": erased}) is None
    assert erased not in client.scored()


def test_a_risk_is_made_again_from_what_the_job_kept(scored, settings) -> None:
    client, job = scored
    with client.context():
        folder = Folder(preparing.url(settings, f"{job.name}/result"))
    name, scores = min(with_risk(client).items())
    found = reproduce(folder, name)
    assert found is not None
    assert found.equal
    assert found.computed["churn_risk"] == scores.churn_risk.probability.value


def test_the_card_speaks_of_customers_who_leave(client) -> None:
    (model,) = client.ListModels(filter="kind = KIND_CHURN AND state = STATE_CHAMPION").models
    for format in ("html", "markdown"):
        card = client.GetModelCard(name=model.name, format=format).data.decode()
        assert "how likely it is that a customer stops buying" in card
        assert f"{model.purchase_count} departures of {model.customer_count} customers" in card
        assert "most promising" not in card


def test_too_little_data_gives_nobody_a_risk_and_says_what_is_missing(channels, settings, store, tmp_path) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    client.buys(customer(), 1, 30, 90)
    client.buys(customer(), 1, 90, currency="EUR")
    rates = tmp_path / "rates.csv"
    rates.write_text(f"Date,USD\n{START:%Y-%m-%d},1.25\n")
    settings = settings.model_copy(update={"day_rates_url": str(rates)})
    job = carrying_out.carried_out(client, settings, store, kind="KIND_CHURN", as_of=AS_OF)
    assert (job.state, job.horizon_weeks, job.scored_count) == (JobState.STATE_SUCCEEDED, 13, 0)
    assert "nobody has a risk of leaving" in job.message
    assert "0 customers who bought within 365 days, with 13 weeks after that known, at least 200 are needed" in (
        job.message
    )
    (model,) = client.ListModels().models
    assert "1 purchases without a rate to USD are left out" in model.message
    assert model.state == model_pb2.Model.STATE_REJECTED
    assert client.scored() == {}


def test_what_a_job_of_churn_does_not_take_is_refused(client) -> None:
    for terms, field in (
        ({"annual_discount_basis_points": 0}, "scoring_job.annual_discount_basis_points"),
        ({"horizon_weeks": 53}, "scoring_job.horizon_weeks"),
    ):
        reason, _, fields = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_CHURN", **terms})
        assert (reason, fields) == ("INVALID_SCORING_JOB", [field])


def test_the_released_model_is_scored_with_and_evaluated_and_training_scores_nobody(
    client, scored, settings, store
) -> None:
    first = scored[1]

    def risks() -> dict[str, tuple[str, float]]:
        """Of each the job, and what is told; percentiles are among those who are there."""
        found = {name: each.churn_risk for name, each in client.scored().items() if each.HasField("churn_risk")}
        return {name: (each.scoring_job, each.probability.value) for name, each in found.items()}

    before = {name: told for name, (job, told) in risks().items() if job == first.name}
    job = carried_out(client, settings, store, task="TASK_SCORE", horizon_weeks=None)
    assert (job.model, job.horizon_weeks) == (first.model, WEEKS), job.message
    after = risks()
    assert {of for of, _ in after.values()} == {job.name}
    alike = [name for name, (_, told) in after.items() if before.get(name) == told]
    assert len(alike) >= len(before) - 3, "but for who was merged meanwhile"
    evaluated = carried_out(client, settings, store, task="TASK_EVALUATE", horizon_weeks=None)
    assert evaluated.message.startswith(f"Too little has happened since {first.model} was made to hold it against.")
    # Of a short history: that takes no time, and what is made of it passes no gate.
    trained = carried_out(client, settings, store, task="TASK_TRAIN", as_of=AS_OF - timedelta(days=SPAN - 90))
    assert trained.message.startswith(f"models/{trained.uid} did not pass its gates, {first.model} is released: ")
    assert client.GetModel(name=f"models/{trained.uid}").kind == model_pb2.Model.KIND_CHURN
    assert risks() == after


evaluated = partial(asked, method="EvaluateChurnRisk")


def test_what_if_tells_the_risk_of_changed_features_and_stores_nothing(client, settings, store) -> None:
    name, scores = min(with_risk(client).items(), key=lambda item: item[1].churn_risk.probability.value)
    row = features_of(client, store, scores.churn_risk.scoring_job, name, COLUMNS)
    before, same = scores.churn_risk, evaluated(client, settings, store, customer_scores=f"{name}/scores")
    assert same.decision, "consent was asked now"
    for field in ("score_time", "age", "next_refresh_time", "decision"):
        before.ClearField(field)
    same.ClearField("decision")
    assert same == before
    silent = {"days_since_last_purchase": 95.0, "purchases_30d": 0, "purchases_90d": 0}
    silent |= {"revenue_30d": 0.0, "revenue_90d": 0.0, "days_since_first_purchase": 300.0}
    later = evaluated(client, settings, store, customer_scores=f"{name}/scores", features=silent)
    known = {**row, **silent, "purchase_lateness": round(95 / row["mean_purchase_gap"], 2), "purchase_rate_ratio": 0.0}
    with client.context():
        model = loaded_models.load(Model.in_state("CHAMPION", "CHURN"), store)
    table = Table.of(COLUMNS, {column.name: np.array([known[column.name]]) for column in COLUMNS})
    assert later.probability.value == models.told(model, table)[RISK][0] > before.probability.value + 0.2
    assert "days_since_last_purchase" in {reason.feature for reason in later.reasons}
    nobody = evaluated(client, settings, store, features=row)
    assert (nobody.probability, list(nobody.reasons)) == (before.probability, list(before.reasons))
    assert (nobody.decision, nobody.model, nobody.horizon_weeks) == ("", before.model, WEEKS)
    with client.context():
        assert Evaluation.rows().count({}) == 0
    assert with_risk(client)[name].churn_risk.probability == before.probability


def test_what_if_refuses_features_by_field_and_people_by_consent(client, channels, settings, store) -> None:
    wrong = {"salary": 1.0, "purchases_30d": 1.5, "revenue_30d": -1, "days_since_last_purchase": 400}
    reason, _, fields = client.refused("EvaluateChurnRisk", features=wrong)
    assert reason == "INVALID_FEATURES"
    assert {f"features.{name}" for name in (*wrong, "purchase_days_365d")} <= set(fields)
    name, scores = next(iter(with_risk(client).items()))
    most = features_of(client, store, scores.churn_risk.scoring_job, name, COLUMNS)["purchases_365d"]
    more = {"customer_scores": f"{name}/scores", "features": {"purchases_180d": most + 1}}
    reason, message, fields = evaluated(client, settings, store, refused=True, **more)
    assert (reason, fields) == ("INVALID_FEATURES", ["features.purchases_180d"])
    assert f"purchases_180d is at most what purchases_365d is, {most:g}." in message
    assert client.refused("EvaluateChurnRisk", customer_scores=f"{customer()}/scores")[0] == "RISK_NOT_KNOWN"
    refusing = customer()
    plant(client, [score_row(refusing, churn=risk(scores.churn_risk.model))])
    gone = evaluated(client, settings, store, refused=True, customer_scores=f"{refusing}/scores")
    assert gone[0] == "FEATURES_NOT_KEPT"
    client.objects(refusing)
    objected = evaluated(client, settings, store, refused=True, customer_scores=f"{refusing}/scores")
    assert objected[0] == "PROFILING_OBJECTED"
    with client.context():
        Score.rows().delete_one({"customer": refusing})
    other = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    given = features_of(client, store, scores.churn_risk.scoring_job, name, COLUMNS)
    assert other.refused("EvaluateChurnRisk", features=given)[0] == "NO_RELEASED_MODEL"


def test_its_queries_have_their_index(client) -> None:
    with client.context():
        explain.assert_indexed(Score, {"churn.job": {"$gt": "", "$ne": "new"}}, limit=500, max_keys=600)
        explain.assert_indexed(Score, {"job": {"$gt": "", "$ne": "new"}}, limit=500, max_keys=10)


def told_by_a_job(client: Client, settings: Any, store: BlobStore, as_of: datetime, folder: Path) -> dict[str, Any]:
    """What the job program tells of all customers by the model that scores."""
    with client.context():
        assert flushing.flush(settings, store)
        urls = [preparing.url(settings, subject_of(file["bucket"]), file["name"]) for file in manifest_files()]
        champion = preparing.known_model(settings, "champion", Model.in_state("CHAMPION", "CHURN"))
        merged = parquet.strings(preparing.alias_columns())
    output = Folder(str(folder))
    output.write("aliases.parquet", lambda file: file.write(merged))
    spec = ChurnJobSpec(
        task="score",
        tenant=client.tenant,
        as_of=as_of,
        horizon_weeks=WEEKS,
        currency="USD",
        digits=2,
        inputs=tuple(urls),
        aliases=f"{folder}/aliases.parquet",
        rates=settings.day_rates_url,
        consenting=1.0,
        models=[champion],
        partitions=2,
        output=str(folder),
    )
    program.run(spec, output, Reporter(output))
    return {row["customer"]: row for row in pq.read_table(sorted(folder.glob("scores-*.parquet"))).to_pylist()}


def test_a_purchase_and_a_refund_of_it_change_a_risk_as_a_job_of_that_instant_would(
    client, bought, objector, settings, store, at, tmp_path
) -> None:
    rates = tmp_path / "rates.csv"
    rates.write_text(f"Date,USD\n{AS_OF:%Y-%m-%d},1.25\n")
    settings = settings.model_copy(update={"day_rates_url": str(rates)})
    now = AS_OF + timedelta(days=3)
    at(now)
    before = with_risk(client)
    back, abroad, both, *_ = sorted(before, key=lambda name: -before[name].churn_risk.probability.value)
    new, late = customer(), min(name for name, purchases in bought.items() if purchases[-1][0] > 366)
    order = purchase(both, 121, 9000)
    events = [purchase(back, 122, 9000), purchase(abroad, 121, 9000, "EUR"), purchase(abroad, 100, 5000, "EUR"), order]
    events += [purchase(new, 122, 700), purchase(late, 122, 700), purchase(back, 124)]
    events.append(purchase(objector, 122))
    client.stage(events)
    rescored(client, settings, store)
    wanted = told_by_a_job(client, settings, store, now, tmp_path / "job")
    after = with_risk(client)
    assert after.keys() - before.keys() == {new, late}, "nobody who objects"
    for name in (back, abroad, both, new, late):
        risk, row = after[name].churn_risk, wanted[name]
        assert (risk.probability.value, risk.probability.low, risk.probability.high) == (
            *(row[f"churn_risk{end}"] for end in ("", "_low", "_high")),
        )
        assert [(each.feature, each.points, each.text) for each in risk.reasons] == [
            (each["feature"], each["points"], each["text"]) for each in row["reasons"]
        ]
        assert (risk.as_of.ToDatetime(UTC), risk.horizon_weeks) == (now, WEEKS)
        assert risk.decision.startswith("decisions/")
        assert name not in before or risk.probability.value < before[name].churn_risk.probability.value
    with client.context():
        again = score_reproduction.risk(late, store)
        assert again is not None
        assert again.equal, "made online, and again bit for bit"
        assert again.computed["probability"] == after[late].churn_risk.probability.value
        assert score_reproduction.risk(objector, store) is None
    # Refunded it is worth less; the other scores come with it once there is something to tell them by.
    left_models.leave_scorer(client)
    refund = purchase(both, 122, 8900, event="Order Refunded", order_id=order.order_id)
    dear = purchase(back, 121, 6000)
    early = purchase(back, 121.5, 5900, event="Order Refunded", order_id=dear.order_id)
    client.stage([early, refund])
    rescored(client, settings, store)
    client.stage([refund, dear, early])
    rescored(client, settings, store)
    rows = told_by_a_job(client, settings, store, now, tmp_path / "again")
    found, row = client.scored()[both], rows[both]
    assert row["revenue_30d"] == wanted[both]["revenue_30d"] - 89
    assert rows[back]["revenue_30d"] == wanted[back]["revenue_30d"] + 1, "a refund that came before its order"
    assert rows[back]["purchases_30d"] == wanted[back]["purchases_30d"] + 1
    assert client.scored()[back].churn_risk.probability.value == rows[back]["churn_risk"]
    assert found.churn_risk.probability.value == row["churn_risk"] != wanted[both]["churn_risk"]
    assert found.p_alive.value > 0
    (event,) = (each for each in told(client)[-2:] if each.churn_risks)
    assert [state.customer for state in event.churn_risks] == [back]
    assert both in client.members("leaving") | client.members("staying")


def test_a_model_of_churn_that_cannot_be_read_keeps_no_score_waiting(client, settings, store, at, monkeypatch) -> None:
    at(AS_OF + timedelta(days=4))

    def damaged(*_: Any) -> None:
        raise Internal("MODEL_DAMAGED", "Not what was stored.")

    monkeypatch.setattr(loaded_models, "load", damaged)
    name, scores = min(with_risk(client).items())
    client.buys(name, 123)
    rescored(client, settings, store)
    found = client.scored()[name]
    assert found.as_of.ToDatetime(UTC) == AS_OF + timedelta(days=4)
    assert found.churn_risk.score_time == scores.churn_risk.score_time
    assert found.churn_risk.next_refresh_time == found.as_of, "a job is due"


def test_a_risk_comes_once_the_store_that_failed_answers(client, settings, at, monkeypatch) -> None:
    now = AS_OF + timedelta(days=4, minutes=30)
    at(now)
    left_models.leave_scorer(client)
    store = blobs.store(settings)  # nothing of it is in memory
    read, failures = store.get, [OSError("no route")]

    def fails_once(*given: str) -> bytes:
        if failures:
            raise failures.pop()
        return read(*given)

    monkeypatch.setattr(store, "get", fails_once)
    name = min(with_risk(client))
    client.buys(name, 123)
    rescored(client, settings, store)
    found = client.scored()[name]
    assert (failures, found.as_of.ToDatetime(UTC)) == ([], now), "the lifetime value does not wait"
    assert found.churn_risk.as_of.ToDatetime(UTC) < now == found.churn_risk.next_refresh_time.ToDatetime(UTC)
    at(now + timedelta(seconds=10))
    rescored(client, settings, store)
    risk = client.scored()[name].churn_risk
    assert risk.as_of.ToDatetime(UTC) == now + timedelta(seconds=10) < risk.next_refresh_time.ToDatetime(UTC)
    with client.context():
        assert PurchaseHistory.rows().count({"due": {"$exists": True}}) == 0


@pytest.mark.parametrize("otherwise", ["another version", "one less", "a column less"])
def test_a_model_of_other_features_tells_no_risk_and_keeps_no_score_waiting(
    client, settings, store, at, monkeypatch, otherwise
) -> None:
    now = AS_OF + timedelta(days=4, hours=1)
    at(now)
    left_models.leave_scorer(client)
    (name, scores), *_ = with_risk(client).items()
    client.buys(name, 123)
    with client.context():
        model = Model.in_state("CHAMPION", "CHURN")
        features = dict(model.features)
        other = {feature: version for feature, version in features.items() if feature != "revenue_30d"}
        if otherwise == "another version":
            other["revenue_30d"] = 2
        if otherwise == "a column less":
            loaded = loaded_models.load(model, store)
            cut = replace(loaded, classifier=replace(loaded.classifier, columns=loaded.classifier.columns[1:]))
            monkeypatch.setattr(loaded_models, "load", lambda *_: cut)
            other = features
        Model.rows().update_one({"uid": model.uid}, {"$set": {"features": other}})
        try:
            rescored(client, settings, store)
        finally:
            Model.rows().update_one({"uid": model.uid}, {"$set": {"features": features}})
    found = client.scored()[name]
    assert found.as_of.ToDatetime(UTC) == now, "the lifetime value is new"
    assert found.churn_risk.score_time == scores.churn_risk.score_time
    assert found.churn_risk.next_refresh_time.ToDatetime(UTC) == now, "a job is due"


def test_a_job_leaves_risks_that_know_later_purchases_to_be_made_anew(client, settings, store, at) -> None:
    at(AS_OF + timedelta(days=5))
    newer = {name for name, scores in with_risk(client).items() if scores.churn_risk.as_of.ToDatetime(UTC) > AS_OF}
    client.CreateScoringJob(scoring_job={"kind": "KIND_CHURN", "as_of": AS_OF})
    job = claimed(client)
    with client.context():
        assert Score.rows().count({"churn.job": {"$gt": ""}}) > len(newer) > 0
        results.remove_earlier(job, threading.Event(), Score, "churn.job", partial(churn.remove_unless_newer, job))
        assert {row["customer"] for row in PurchaseHistory.rows().find({"due": {"$exists": True}})} == newer
        ScoringJob.rows().delete_one({"uid": job.uid})
    assert with_risk(client).keys() == newer
    rescored(client, settings, store)
    made = with_risk(client)
    assert made.keys() == newer
    assert {scores.churn_risk.as_of.ToDatetime(UTC) for scores in made.values()} == {AS_OF + timedelta(days=5)}
