"""Scoring jobs from their creation to the scores, with the real job program and the real consent service."""

import random
import uuid
from datetime import timedelta

import pytest
from rapport.scoring.v1 import scoring_job_pb2

import docstore
from chassis import clock
from docstore.aliases import AliasChange
from scoring.jobs.files import Folder
from scoring.jobs.reproduce import reproduce
from scoring.store import Score, ScoringJob
from scoring.usecases import erasing, people, running

from .conftest import START, Client, customer

SERVICE = "scoring"
State = scoring_job_pb2.ScoringJob

pytestmark = pytest.mark.usefixtures("jobs")


def shop(client: Client, count: int, seed: int = 1) -> dict[str, list[int]]:
    """Customers with purchases: name -> amounts."""
    chance = random.Random(seed)
    bought: dict[str, list[int]] = {}
    for _ in range(count):
        name = customer()
        days = sorted(chance.sample(range(300), chance.choice([1, 1, 2, 4, 8])))
        amounts = [chance.randrange(500, 9000) for _ in days]
        for day, amount in zip(days, amounts, strict=True):
            client.buys(name, day, amount=amount)
        bought[name] = amounts
    return bought


def summary(client: Client) -> tuple[int, int, int]:
    found = client.SummarizeScores()
    revenue = sum(money.units * 100 + money.nanos // 10_000_000 for money in found.revenues)
    return found.customer_count, found.purchase_count, revenue


def expected(bought: dict[str, list[int]]) -> tuple[int, int, int]:
    return len(bought), sum(map(len, bought.values())), sum(map(sum, bought.values()))


AS_OF = START + timedelta(days=310)


@pytest.fixture(autouse=True)
def later(monkeypatch) -> None:
    """The purchases lie behind us."""
    monkeypatch.setattr(clock, "now", lambda: AS_OF + timedelta(hours=1))


def test_everybody_who_did_not_object_is_scored_with_reasons(client) -> None:
    client.profiling()
    bought = shop(client, 60)
    objector, *others = bought
    client.objects(objector)
    segment = client.CreateSegment(segment={"display_name": "Alive", "expression": "p_alive > 0.5"}, segment_id="alive")
    job = client.score(as_of=AS_OF, horizon_weeks=26)
    assert (State.State.Name(job.state), job.progress_percent) == ("STATE_SUCCEEDED", 100), job
    assert (job.computed_count, job.scored_count, job.refused_count, job.horizon_weeks) == (59, 59, 1, 26)
    assert job.as_of.ToDatetime() == AS_OF.replace(tzinfo=None)
    kept = {name: bought[name] for name in others}
    assert summary(client) == expected(kept)

    scores = client.scored()
    assert scores.keys() == set(others)
    for name, found in scores.items():
        assert found.name == f"{name}/scores"
        assert found.purchase_count == len(bought[name])
        for estimate in (found.p_alive, found.expected_purchases):
            assert 0 <= estimate.low <= estimate.value <= estimate.high
            assert 0 < estimate.percentile <= 100
        assert found.p_alive.high <= 1
        assert found.lifetime_value.value.currency_code == "USD"
        assert {found.rfm.recency, found.rfm.frequency, found.rfm.monetary} <= {1, 2, 3, 4, 5}
        assert found.reasons
        assert all(reason.endswith(".") or len(reason.split()) > 2 for reason in found.reasons)
        assert (found.model, found.scoring_job, found.horizon_weeks) == (job.model, job.name, 26)
        decision = client.consent("GetDecision", name=found.decision)
        assert (decision.customer, decision.outcome, decision.purpose) == (name, 1, "purposes/profiling")
        assert abs((found.score_time.ToDatetime() - AS_OF.replace(tzinfo=None)).total_seconds() - 3600) < 1
    best = max(scores.values(), key=lambda found: (found.lifetime_value.value.units, found.lifetime_value.value.nanos))
    assert best.lifetime_value.percentile == 100

    model = client.GetModel(name=job.model)
    assert (model.scoring_job, model.customer_count) == (job.name, 59)
    assert model.parameters["purchases"]["model"]
    assert [each.name for each in client.ListModels(filter="state = STATE_CHAMPION").models] == [job.model]
    assert client.evaluated("alive").member_count == sum(found.p_alive.value > 0.5 for found in scores.values())
    assert client.members("alive") == {name for name, found in scores.items() if found.p_alive.value > 0.5}
    assert sorted(client.moves("alive")) == sorted(("entered", name) for name in client.members("alive"))
    kinds = [event.DESCRIPTOR.name for event in client.told()]
    assert kinds.count("ModelPromoted") == 1
    updated = [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated"]
    assert sorted(each.customer for event in updated for each in event.scores) == sorted(others)
    assert segment.name == "segments/alive"


def test_scores_are_found_by_any_name_and_merged_purchases_count_together(client) -> None:
    client.profiling()
    anna, old = customer(), customer()
    client.buys(anna, 1, 30)
    client.buys(old, 60)
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(old, anna, (1, 0))))
    client.score(as_of=AS_OF)
    for name in (anna, old):
        found = client.GetCustomerScores(name=f"{name}/scores")
        assert (found.name, found.purchase_count) == (f"{anna}/scores", 3)
    reason, message, _ = client.refused("GetCustomerScores", name=f"{customer()}/scores")
    assert reason == "NOT_FOUND"
    assert "has not been scored" in message


def test_an_objection_of_any_member_bars_the_whole_profile(client) -> None:
    client.profiling()
    anna, old, bert = customer(), customer(), customer()
    for name in (anna, old, bert):
        client.buys(name, 1, 30)
    client.objects(old)
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(old, anna, (1, 0))))
        docstore.in_transaction(lambda: people.object_to_profiling(old, "consents/c", START))
    job = client.score(as_of=AS_OF)
    assert client.scored().keys() == {bert}, job


def test_the_next_job_takes_the_place_of_the_one_before(client) -> None:
    client.profiling()
    first = shop(client, 8)
    client.score(as_of=AS_OF)
    objector = next(iter(first))
    client.segment("purchases >= 1", "all")
    assert len(client.members("all")) == 8
    client.objects(objector)  # Consent knows, and what it told is still under way.
    later = shop(client, 3, seed=2)
    second = client.score(as_of=AS_OF)
    everybody = {name: amounts for name, amounts in (first | later).items() if name != objector}
    assert summary(client) == expected(everybody)
    assert {found.scoring_job for found in client.scored().values()} == {second.name}
    assert client.members("all") == everybody.keys()
    assert [move for move in client.moves("all") if move[0] == "left"] == [("left", objector)]
    assert [model.version for model in client.ListModels().models] == [2, 1]
    assert client.ListScoringJobs(page_size=1).scoring_jobs[0].name == second.name


def test_only_purchases_up_to_the_instant_count(client) -> None:
    client.profiling()
    early, late = customer(), customer()
    client.buys(early, 1, 100)
    client.buys(late, 100)
    client.score(as_of=START + timedelta(days=50))
    assert summary(client)[:2] == (1, 1)


def test_without_the_purpose_a_job_fails_and_says_how_to_mend_it(client) -> None:
    client.buys(customer(), 1)
    job = client.score("FAILED", as_of=AS_OF)
    assert "POST /v1/purposes?purposeId=profiling" in job.message
    assert "LEGAL_BASIS_LEGITIMATE_INTERESTS" in job.message
    client.profiling(channels=["CHANNEL_EMAIL"])
    job = client.score("FAILED", as_of=AS_OF)
    assert "CHANNEL_NONE" in job.message
    assert summary(client) == (0, 0, 0)


@pytest.mark.parametrize("days", [(), (200,)])
def test_without_purchases_a_job_fails_and_says_so(client, days: tuple[int, ...]) -> None:
    client.profiling()
    client.buys(customer(), *days)
    job = client.score("FAILED", as_of=START + timedelta(days=100))
    assert "No purchases are known" in job.message


def test_when_everybody_objects_nobody_is_scored(client) -> None:
    client.profiling()
    bought = shop(client, 3)
    client.score(as_of=AS_OF)
    for name in bought:
        client.objects(name)
    job = client.score(as_of=AS_OF)
    assert (job.state, job.scored_count, job.refused_count) == (State.STATE_SUCCEEDED, 0, 3)
    assert client.scored() == {}


def test_a_job_is_created_once_and_wrong_terms_never(client) -> None:
    request_id = str(uuid.uuid4())
    first = client.CreateScoringJob(request_id=request_id)
    assert (first.horizon_weeks, first.annual_discount_basis_points) == (52, 1000)
    assert client.CreateScoringJob(request_id=request_id).name == first.name
    client.ended(first.name)
    for terms, field in (
        ({"horizon_weeks": 521}, "horizon_weeks"),
        ({"annual_discount_basis_points": 10_001}, "annual_discount_basis_points"),
        ({"as_of": AS_OF + timedelta(days=1)}, "as_of"),
    ):
        reason, _, fields = client.refused("CreateScoringJob", scoring_job=terms)
        assert (reason, fields) == ("INVALID_SCORING_JOB", [f"scoring_job.{field}"])
    free = client.CreateScoringJob(scoring_job={"annual_discount_basis_points": 0})
    assert free.annual_discount_basis_points == 0
    client.ended(free.name)


def test_files_of_ended_jobs_go(client, store, settings, monkeypatch) -> None:
    client.profiling()
    client.buys(customer(), 1, 2)
    job = client.score(as_of=AS_OF)
    with client.context():
        assert store.list(job.name)
        assert not (settings.work_dir / job.uid).exists()
        assert running.remove_files(store) == 1
        assert store.list(job.name) == []
        assert running.remove_files(store) == 0
        assert store.list(f"{job.name}/result")  # Scores can be made again from it, for a month.
        now = clock.now()
        monkeypatch.setattr(clock, "now", lambda: now + ScoringJob.result_kept_for)
        assert running.remove_files(store) == 1
        assert store.list(f"{job.name}/result") == []
        assert Score.rows().count({}) == 1
        assert ScoringJob.rows().find_one({})["stored"] == 1


def test_past_scores_are_made_again_but_for_people_who_were_erased_since(client, store, settings) -> None:
    client.profiling()
    gone, *others = shop(client, 12)
    job = client.score(as_of=AS_OF)
    told = client.scored()
    result = Folder(f"{settings.blob_url}/{client.tenant}/{job.name}/result")
    with client.context():
        running.remove_files(store)
        found = reproduce(result, gone)
        assert found is not None
        assert found.equal
        erasing.erase([gone], settings, store)
    assert reproduce(result, gone) is None
    for name in others:
        found = reproduce(result, name)
        assert found is not None
        assert found.equal
        assert found.computed["expected_purchases"] == told[name].expected_purchases.value
        assert found.computed["reasons"] == list(told[name].reasons)
