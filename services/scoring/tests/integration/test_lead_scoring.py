"""Leads from sales' events to a score with its reasons, model and ground; and back when the person wants it gone."""

import functools
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.sales.v1 import events_pb2 as sales_events_pb2
from rapport.scoring.v1 import lead_score_pb2, model_pb2, scoring_job_pb2

import docstore
from chassis import clock, ids
from docstore import batches, explain
from docstore.blobs import BlobStore
from localrun.ports import free_port
from scoring import lead_reproduction
from scoring.domain import gates
from scoring.handlers import Handlers
from scoring.models.classifier import boosting
from scoring.runner import ANSWERS
from scoring.store import Evaluation, Lead, LeadScan, Model, ScoringJob
from scoring.store.leads import SCAN, SCORED
from scoring.store.models import ARTEFACT, LEAD_CONVERSION
from scoring.usecases import evaluations, lead_scoring, leased_jobs, people, running
from scoring.usecases.erasing import erase
from testkit import eventually
from testkit.telling import enveloped, handle

from . import carrying_out
from .conftest import Client, claimed, customer

SERVICE = "scoring"
Basis = lead_score_pb2.LeadScore
JobState = scoring_job_pb2.ScoringJob
ModelState = model_pb2.Model
LEADS = {"kind": "KIND_LEAD_CONVERSION"}
OF_OLD = 620


def lead_state(created: datetime, who: str = "", **facts: Any) -> sales_events_pb2.LeadState:
    """A lead as sales tells of it."""
    known = {"source": "SOURCE_WEB", "has_email": True, "create_time": created, "know_time": created} | facts
    return sales_events_pb2.LeadState(
        lead=f"leads/{ids.uuid7()}", customer=who, state="STATE_OPEN", facts=known, initial_score=13
    )


def comes(client: Client, **facts: Any) -> None:
    """A lead of now comes to the tenant."""
    state = lead_state(clock.now(), **facts)
    event = sales_events_pb2.LeadCreated(lead=state)
    handle(Handlers, enveloped(event, client.tenant, subject=state.lead, sequence=1))


def history(client: Client, number: int = OF_OLD, seed: int = 1) -> None:
    """Leads of the last months: those who left a phone number and wrote much convert; points mean nothing."""
    chance = random.Random(seed)
    start = docstore.whole_milliseconds(clock.now() - timedelta(days=300))
    rows = []
    for place in range(number):
        phone, length = chance.random() < 0.4, chance.randrange(800)
        facts = {
            "source": chance.choice(["SOURCE_WEB", "SOURCE_REFERRAL"]),
            "has_company": chance.random() < 0.5,
            "employee_count": chance.choice([0, 5, 60]),
            "has_budget": chance.random() < 0.3,
            "region_code": chance.choice(["DE", "FR"]),
            "has_email": chance.random() < 0.7,
            "has_phone": phone,
            "message_length": length,
            "is_customer": False,
        }
        created = start + timedelta(days=240 * place / number)
        row = {
            "facts": facts,
            "points": 10 * facts["has_company"] + 15 * facts["has_budget"],
            "sequence": [2, 0],
            "changes": 2,
            "create_time": created,
            "know_time": created,
            "expire_time": clock.real_now() + timedelta(days=1),
        }
        if chance.random() < 1 / (1 + 2.718 ** (2.4 - 2.2 * phone - 0.004 * length)):
            row["convert_time"] = created + timedelta(days=chance.randrange(29))
        else:
            row["disqualify_time"] = created + timedelta(days=40)
        rows.append(row)
    with client.context():
        Lead.rows().insert_many(rows)


def train(client: Client, settings: Any, store: BlobStore, **terms: Any) -> Any:
    """A job of the tenant, whose program runs in this process."""
    with pytest.MonkeyPatch.context() as patched:
        # What is planted is found by few trees.
        patched.setattr(boosting, "SETTINGS", (25, 50))
        return carrying_out.carried_out(client, settings, store, **(LEADS | terms))


@pytest.fixture(scope="module")
def trained(channels: Any, settings: Any, store: BlobStore) -> Client:
    """A tenant whose model of lead conversion is champion, with one open lead of before it."""
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    history(client)
    comes(client, has_phone=True)
    job = train(client, settings, store)
    assert "have new scores" in job.message, job.message
    return client


@pytest.fixture
def score(trained: Client, settings: Any, store: BlobStore) -> Callable[[], int]:
    """Scores what is due, as role `run` does."""
    return lambda: lead_scoring.score_waiting(settings, store)


@pytest.fixture
def client(trained: Client) -> Client:
    """Here all tests but those that say so share one tenant, whose model took some seconds."""
    return trained


def scores(client: Client) -> dict[str, Any]:
    return {score.lead: score for score in client.ListLeadScores(page_size=1000).lead_scores}


def events(client: Client) -> list[Any]:
    return [event for event in client.told() if event.DESCRIPTOR.name == "LeadsScored"]


def create(hear: Any, state: sales_events_pb2.LeadState) -> str:
    hear(sales_events_pb2.LeadCreated(lead=state), *([state.customer] if state.customer else ()), subject=state.lead)
    return state.lead


def test_the_model_finds_what_was_planted_and_beats_the_points(client) -> None:
    (model,) = client.ListModels(filter="kind = KIND_LEAD_CONVERSION AND state = STATE_CHAMPION").models
    assert [gate.name for gate in model.gates if gate.passed] == [
        *("minimum_data", "consenting_share", "baseline", "points", "calibration")
    ]
    chosen = model.metrics["chosen"]
    auc, points = model.metrics["test"][chosen]["auc"], model.metrics["points_auc"]
    assert auc > 0.72 > 0.6 > points, (auc, points)
    assert {"logistic", "catboost", "average", "base_rate"} == set(model.metrics["test"])
    assert (model.customer_count, len(model.artefact_sha256), len(model.calibration)) == (OF_OLD, 64, 10)
    assert {"source", "message_length", "has_phone"} < {each.name for each in model.features}
    for format in ("html", "markdown"):
        assert "Lead conversion" in client.GetModelCard(name=model.name, format=format).data.decode()
    # The open lead of before was scored with the promotion.
    (job,) = client.ListScoringJobs().scoring_jobs[-1:]
    assert (job.kind, job.scored_count, job.horizon_weeks) == (ModelState.KIND_LEAD_CONVERSION, 1, 0)
    assert job.model == model.name


def test_a_score_names_its_reasons_its_model_and_its_ground(client, hear, score) -> None:
    now = clock.now()
    eager = create(hear, lead_state(now, has_phone=True, message_length=700))
    silent = create(hear, lead_state(now))
    assert score() == 2
    found = client.GetLeadScore(name=f"{eager}/score")
    assert found.probability.low < found.probability.value < found.probability.high
    assert found.probability.value > 0.5 > client.GetLeadScore(name=f"{silent}/score").probability.value
    assert found.probability.percentile > 80
    first = found.reasons[0]
    assert {reason.fact for reason in found.reasons[:2]} == {"has_phone", "message_length"}
    assert first.points > 5
    assert f"raises the chance of conversion by {first.points:.0f} points" in first.text
    assert (found.basis, found.decision) == (Basis.BASIS_PRECONTRACTUAL_REQUEST, "")
    assert found.model_time.ToDatetime() < found.score_time.ToDatetime()
    (event,) = events(client)[-1:]
    (state,) = [each for each in event.scores if each.lead == eager]
    assert list(state.reasons) == [reason.text for reason in found.reasons]
    assert (state.probability, state.model) == (found.probability.value, found.model)
    listed = [each.probability.value for each in client.ListLeadScores(page_size=1000).lead_scores]
    assert listed == sorted(listed, reverse=True)
    first_page = client.ListLeadScores(page_size=1)
    rest = client.ListLeadScores(page_size=1000, page_token=first_page.next_page_token)
    assert [each.probability.value for each in (*first_page.lead_scores, *rest.lead_scores)] == listed


def test_a_score_is_made_again_bit_for_bit_from_the_facts_and_its_model(client, hear, score, store) -> None:
    lead = create(hear, lead_state(clock.now(), has_phone=True, message_length=333, region_code="FR"))
    with client.context():
        assert lead_reproduction.reproduce(lead, store) is None, "not scored yet"
    assert score() == 1
    with client.context():
        found = lead_reproduction.reproduce(lead, store)
        assert found is not None
        assert found.equal
        assert found.computed["probability"] == client.GetLeadScore(name=f"{lead}/score").probability.value
        # Of other facts it would have told something else.
        uid = lead.partition("/")[2]
        Lead.rows().update_one({"uid": uid}, {"$set": {"facts.has_phone": False}})
        other = lead_reproduction.reproduce(lead, store)
        assert other is not None
        assert not other.close
        Lead.rows().update_one({"uid": uid}, {"$set": {"facts.has_phone": True}})


@pytest.mark.parametrize("format", ["html", "markdown"])
def test_the_card_of_its_model_speaks_of_leads(trained: Client, format: str) -> None:
    (model,) = trained.ListModels(filter="state = STATE_CHAMPION").models
    text = trained.GetModelCard(name=model.name, format=format).data.decode()
    assert f"{OF_OLD} leads" in text
    assert "conversions" in text
    assert "customers" not in text


def test_a_known_customer_is_scored_under_a_decision_or_not_at_all(client, hear, score) -> None:
    agrees, objects = customer(), customer()
    client.objects(objects)
    allowed, refused = (create(hear, lead_state(clock.now(), who)) for who in (agrees, objects))
    assert score() == 2
    found = client.GetLeadScore(name=f"{allowed}/score")
    assert (found.basis, found.customer) == (Basis.BASIS_CONSENT_DECISION, agrees)
    assert found.decision.startswith("decisions/")
    reason, message, _ = client.refused("GetLeadScore", name=f"{refused}/score")
    assert reason == "LEAD_NOT_SCORED"
    assert "objects" in message
    # Once the lead is known to be somebody who refuses, its score goes.
    anonymous = lead_state(clock.now())
    create(hear, anonymous)
    score()
    assert anonymous.lead in scores(client)
    anonymous.customer = objects
    hear(sales_events_pb2.LeadUpdated(lead=anonymous), objects, subject=anonymous.lead, sequence=2)
    score()
    assert anonymous.lead not in scores(client)
    assert list(events(client)[-1].removed_leads) == [anonymous.lead]


def test_while_consent_is_silent_only_leads_of_known_customers_wait(client, hear, score, settings, store) -> None:
    before = lead_scoring.waiting()
    known, anonymous = (create(hear, lead_state(clock.now(), who)) for who in (customer(), ""))
    assert lead_scoring.waiting() == before + 2
    nowhere = settings.model_copy(update={"upstreams": {"consent": f"dns:///127.0.0.1:{free_port()}"}})
    lead_scoring.score_waiting(nowhere, store)
    assert anonymous in scores(client)
    assert known not in scores(client)
    eventually(lambda: score() and known in scores(client), 10, "the known one is scored when consent answers")


def test_a_lead_that_was_scored_meanwhile_is_looked_at_again(client, hear, score, settings, store) -> None:
    """Whoever began with the champion of before must not have the last word."""
    lead = create(hear, lead_state(clock.now()))
    with client.context():
        (row,) = Lead.rows().find({"uid": lead.partition("/")[2]})
        lead_scoring._score(settings, store, [row])
        Lead.rows().update_one({"uid": row["uid"]}, {"$set": {"score.model": "before"}, "$inc": {"changes": 1}})
        assert lead_scoring._score(settings, store, [row]) == 0
    assert scores(client)[lead].model == "models/before"
    assert score() == 1
    assert scores(client)[lead].model != "models/before"


def test_an_objection_takes_scores_and_rows_and_later_leads_are_not_kept(client, hear, score) -> None:
    who = customer()
    state = lead_state(clock.now(), who)
    create(hear, state)
    score()
    assert state.lead in scores(client)
    saying = {"customer": who, "purpose": "purposes/profiling", "channel": "CHANNEL_NONE", "consent": "consents/c"}
    hear(consent_events_pb2.ConsentWithdrawn(consent=saying), who, subject="consents/c")
    assert list(events(client)[-1].removed_leads) == [state.lead]
    later = lead_state(clock.now(), who)
    create(hear, later)
    hear(sales_events_pb2.LeadConverted(lead=state), who, subject=state.lead, sequence=3)
    with client.context():
        assert Lead.rows().find_one({"customer": who}) is None
    hear(consent_events_pb2.ConsentGranted(consent=saying), who, subject="consents/c", sequence=2)
    again = create(hear, lead_state(clock.now(), who))
    score()
    assert again in scores(client)


def test_somebody_merged_with_an_objector_has_no_leads_here(client, hear, score) -> None:
    one, other = customer(), customer()
    lead = create(hear, lead_state(clock.now(), one))
    score()
    assert lead in scores(client)
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(other, "consents/c", clock.now()))
        change = docstore.aliases.AliasChange(other, one, (1, 0))
        docstore.in_transaction(lambda: people.follow_alias(change))
    assert lead not in scores(client)


def test_the_erased_leave_nothing_and_nothing_brings_them_back(client, hear, score, settings, store) -> None:
    who = customer()
    theirs, nameless = lead_state(clock.now(), who), lead_state(clock.now())
    for state in (theirs, nameless):
        create(hear, state)
    score()
    assert {theirs.lead, nameless.lead} <= scores(client).keys()
    with client.context():
        assert erase([who], settings, store)["leads"] == (1, 0)
    # Sales knows the other one's address: it tells by name.
    erased = hear(sales_events_pb2.LeadsErased(leads=[theirs.lead, nameless.lead]))
    hear(erased)
    for state in (theirs, nameless):
        hear(sales_events_pb2.LeadConverted(lead=state), subject=state.lead, sequence=9)
    score()
    assert not {theirs.lead, nameless.lead} & scores(client).keys()
    with client.context():
        wanted = [state.lead.partition("/")[2] for state in (theirs, nameless)]
        assert Lead.rows().find_one({"uid": {"$in": wanted}}) is None


def test_events_in_disorder_and_twice_make_one_lead(client, hear, score) -> None:
    state, who = lead_state(clock.now() - timedelta(days=1), employee_count=40), customer()
    closed = sales_events_pb2.LeadConverted(lead=state, convert_time=clock.now())
    first = hear(closed, subject=state.lead, sequence=3)
    later = sales_events_pb2.LeadState.FromString(state.SerializeToString())
    later.customer = who
    hear(sales_events_pb2.LeadUpdated(lead=later), who, subject=state.lead, sequence=2)
    created = hear(sales_events_pb2.LeadCreated(lead=state), subject=state.lead)
    hear(created)
    hear(first)
    with client.context():
        (row,) = Lead.rows().find({"uid": state.lead.partition("/")[2]})
    assert row["facts"]["employee_count"] == 40
    assert (row["convert_time"], row.get("open")) == (docstore.whole_milliseconds(closed.convert_time.ToDatetime(clock.now().tzinfo)), None)  # fmt: skip # noqa: E501
    assert row["sequence"] == [3, 0]
    assert score() == 0, "closed leads are not scored"


def test_scores_are_seen_by_their_own_tenant_only(channels, client) -> None:
    other = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    assert scores(client)
    assert scores(other) == {}
    assert other.refused("GetLeadScore", name=f"{next(iter(scores(client)))}/score")[0] == "LEAD_NOT_SCORED"


def test_what_if_tells_what_a_lead_would_score_with_other_facts_and_stores_nothing(
    client, hear, score, settings, store
) -> None:
    state = lead_state(clock.now(), has_phone=False, message_length=20, region_code="DE")
    hear(sales_events_pb2.LeadCreated(lead=state))
    score()
    name = f"{state.lead}/score"
    before = client.GetLeadScore(name=name)

    def asked(**fields: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(lambda: client.EvaluateLeadScore(**fields))
            eventually(lambda: evaluations.answer_due(settings, store, ANSWERS) or answer.done(), 10)
            return answer.result()

    same = asked(lead_score=name)
    for field in ("score_time", "age"):
        before.ClearField(field)
    assert same == before
    eager = asked(lead_score=name, has_phone=True, message_length=700)
    assert eager.probability.value > before.probability.value + 0.2
    assert {"has_phone", "message_length"} <= {reason.fact for reason in eager.reasons}
    assert any(reason.text.startswith("Phone number left is yes: raises") for reason in eager.reasons)
    facts = {"source": "SOURCE_WEB", "has_email": True, "message_length": 20, "region_code": "DE"}
    nobody = asked(**facts)
    assert (nobody.probability, list(nobody.reasons)) == (before.probability, list(before.reasons))
    assert (nobody.name, nobody.lead, nobody.basis, nobody.model) == ("", "", Basis.BASIS_UNSPECIFIED, before.model)
    after = client.GetLeadScore(name=name)
    after.ClearField("score_time")
    after.ClearField("age")
    assert after == before
    with client.context():
        assert Evaluation.rows().count({}) == 0


def test_what_if_refuses_by_field_and_waits_no_longer_than_it_says(client, channels, monkeypatch) -> None:
    wrong = {"employee_count": -1, "message_length": 5_001, "region_code": "XX"}
    reason, _, fields = client.refused("EvaluateLeadScore", **wrong)
    assert (reason, fields) == ("INVALID_FACTS", ["source", "employee_count", "message_length", "region_code"])
    assert client.refused("EvaluateLeadScore", lead_score=f"leads/{ids.uuid7()}/score")[0] == "LEAD_NOT_SCORED"
    other = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    reason, message, _ = other.refused("EvaluateLeadScore", source="SOURCE_WEB")
    assert (reason, "KIND_LEAD_CONVERSION" in message) == ("NO_RELEASED_MODEL", True)
    monkeypatch.setattr(evaluations, "WAIT_S", 0.1)
    assert client.refused("EvaluateLeadScore", source="SOURCE_WEB")[0] == "NO_RUNNER"
    with client.context():
        assert Evaluation.rows().count({}) == 0
        ends = clock.real_now() + timedelta(seconds=50)
        Evaluation.rows().insert_many({"question": {}, "expire_time": ends} for _ in range(8))
    assert client.refused("EvaluateLeadScore", source="SOURCE_WEB")[0] == "NO_RUNNER", "they were given up long ago"
    with client.context():
        Evaluation.rows().update_many({"question": {}}, {"$set": {"expire_time": ends + timedelta(minutes=1)}})
    assert client.refused("EvaluateLeadScore", source="SOURCE_WEB")[0] == "TOO_MANY_EVALUATIONS"
    with client.context():
        Evaluation.rows().delete_many({"question": {}})


def test_questions_that_nobody_answers_leave_threads_to_all_others(client, channels, monkeypatch) -> None:
    monkeypatch.setattr(evaluations, "WAIT_S", 2.0)
    with client.context():
        champion = Model.rows().find_one({"state": gates.CHAMPION, "kind": LEAD_CONVERSION})
    del champion["_id"], champion["tenant"]
    tenants = [client, *(Client(*channels, f"t{uuid.uuid4().hex[:12]}") for _ in range(3))]
    for tenant in tenants[1:]:
        with tenant.context():
            Model.rows().insert_one(dict(champion))
    with ThreadPoolExecutor(32) as pool:
        asked = [
            pool.submit(tenant.refused, "EvaluateLeadScore", source="SOURCE_WEB")
            for tenant in tenants
            for _ in range(8)
        ]
        eventually(lambda: waiting(tenants) >= 8, 10)
        start = time.monotonic()
        client.ListLeadScores(page_size=1)
        assert time.monotonic() - start < 1
    reasons = Counter(answer.result()[0] for answer in asked)
    assert reasons == {"NO_RUNNER": 8, "TOO_MANY_EVALUATIONS": 24}


def waiting(tenants: list[Client]) -> int:
    count = 0
    for tenant in tenants:
        with tenant.context():
            count += Evaluation.rows().count({})
    return count


def test_without_a_word_of_its_facts_a_lead_is_left_alone(client, hear, score) -> None:
    state = sales_events_pb2.LeadState(lead=f"leads/{ids.uuid7()}", state="STATE_OPEN")
    create(hear, state)
    assert score() == 0


def test_all_open_leads_are_scored_by_the_released_model_without_training(client, settings, store) -> None:
    (released,) = client.ListModels().models
    before = scores(client)
    name = client.CreateScoringJob(scoring_job={**LEADS, "task": "TASK_SCORE"}).name
    job = claimed(client)
    with client.context():
        carrying_out.finish(job, settings, store)
    assert client.GetScoringJob(name=name).message == f"{len(before)} open leads have new scores of {released.name}."
    after = scores(client)
    assert {lead: each.probability for lead, each in after.items()} == {
        lead: each.probability for lead, each in before.items()
    }
    assert min(each.score_time.ToDatetime() for each in after.values()) > max(
        each.score_time.ToDatetime() for each in before.values()
    )
    evaluated = train(client, settings, store, task="TASK_EVALUATE")
    assert evaluated.message.startswith(f"Too little has happened since {released.name} was made to hold it against.")


def test_leads_that_get_no_further_keep_no_other_tenant_s_job_waiting_and_may_be_given_up(
    client, channels, settings, store, monkeypatch
) -> None:
    monkeypatch.setattr(leased_jobs, "PATIENCE_S", 0.1)
    other = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    held = {"until": clock.real_now() + timedelta(minutes=1), "token": "of a runner that hangs"}
    with client.context():
        LeadScan.rows().update_one({"uid": SCAN}, {"$set": {"lease": held}})
    stopping = threading.Event()
    work = functools.partial(running.run_job, settings=settings, blobs=store, stopping=stopping)
    with ThreadPoolExecutor(1) as pool:
        first = client.CreateScoringJob(scoring_job={**LEADS, "task": "TASK_SCORE"}).name
        runner = pool.submit(batches.process, ScoringJob, work, stopping, parallel=1)
        try:
            waits = "Waits: open leads cannot be scored now; the log of role run says why."
            eventually(lambda: client.GetScoringJob(name=first).message == waits, 10)
            second = other.CreateScoringJob(scoring_job={"task": "TASK_SEGMENT"}).name
            assert other.ended(second, 10).state == JobState.STATE_SUCCEEDED
            client.CancelScoringJob(name=first)
            ended = client.ended(first, 10)
        finally:
            stopping.set()
        runner.result()
    assert (ended.state, ended.message) == (
        JobState.STATE_CANCELLED,
        "Cancelled; open leads are scored anew all the same, little by little.",
    )
    with client.context():
        assert ScoringJob.get(ended.uid).attempts == 1, "waiting is no attempt"
        LeadScan.rows().update_one({"uid": SCAN}, {"$unset": {"lease": ""}})
        assert lead_scoring.scan(settings, store)


def test_too_little_data_leaves_the_points_and_says_what_is_missing(channels, settings, store) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    history(client, 120)
    job = train(client, settings, store)
    assert "there are 120 leads older than 30 days, at least 200 are needed" in job.message
    assert "the points of leads stand" in job.message
    model = client.GetModel(name=job.model)
    assert ModelState.State.Name(model.state) == "STATE_REJECTED"
    comes(client)
    assert lead_scoring.score_waiting(settings, store) == 1
    assert scores(client) == {}


def test_who_objects_is_in_no_training(channels, settings, store) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    history(client, 250)
    people_ = [customer() for _ in range(20)]
    with client.context():
        rows = list(Lead.rows().find({}, {"uid": 1}, limit=40))
        for place, row in enumerate(rows):
            Lead.rows().update_one({"uid": row["uid"]}, {"$set": {"customer": people_[place % 20]}})
    for who in people_[:5]:
        client.objects(who)
    job = train(client, settings, store)
    model = client.GetModel(name=job.model)
    assert (job.refused_count, model.customer_count, model.consenting_share) == (10, 240, 240 / 250)


def test_a_model_promoted_by_hand_scores_all_open_leads_anew(client, hear, score, settings, store) -> None:
    lead = create(hear, lead_state(clock.now()))
    score()
    before = scores(client)[lead].model
    job = train(client, settings, store)
    (other,) = client.ListModels(filter="kind = KIND_LEAD_CONVERSION AND state = STATE_CHALLENGER").models
    assert "the champion goes on" in job.message
    assert job.model == before != other.name
    client.PromoteModel(name=other.name, reason="To see.")
    while score():
        continue
    now = scores(client)
    assert now[lead].model == other.name
    with client.context():
        still_open = {f"leads/{row['uid']}" for row in Lead.rows().find({"open": True}, {"uid": 1})}
    assert {now[name].model for name in now if name in still_open} == {other.name}
    assert client.RollBackModel(name=other.name, reason="Enough.").name == before
    while score():
        continue
    assert scores(client)[lead].model == before


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (LEADS | {"horizon_weeks": 4}, "horizon_weeks"),
        (LEADS | {"annual_discount_basis_points": 0}, "annual_discount_basis_points"),
    ],
)
def test_what_a_job_cannot_do_is_refused(client, terms, field) -> None:
    reason, _, fields = client.refused("CreateScoringJob", scoring_job=terms)
    assert (reason, fields) == ("INVALID_SCORING_JOB", [f"scoring_job.{field}"])


def test_every_query_has_its_index(client) -> None:
    with client.context():
        by_probability = [("score.probability", -1), ("_id", -1)]
        explain.assert_indexed(Lead, SCORED, by_probability, limit=3, max_keys=4)
        explain.assert_indexed(Lead, {"open": True}, [("_id", 1)], limit=3, max_keys=6)
        explain.assert_indexed(Lead, {"customer": {"$in": ["customers/a", "customers/b"]}}, max_keys=4)
        old = {"create_time": {"$lte": clock.now()}}
        explain.assert_indexed(Lead, old, [("create_time", -1), ("_id", -1)], limit=10, max_keys=12)


def test_a_damaged_model_of_one_tenant_keeps_no_other_ones_leads_waiting(client, channels, score, store) -> None:
    damaged = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    values = {"kind": LEAD_CONVERSION, "number": 1, "state": gates.CHAMPION, "as_of": clock.now(), "fallback": False}
    with damaged.context():
        model = Model.new(
            **values, customers=1, purchases=1, fingerprint="f" * 64, currency="USD", artefact_sha256="0" * 64
        ).insert()
        store.put(model.subject, ARTEFACT, b"not what was stored")
    before = len(scores(client))
    for each in (damaged, client):
        comes(each, has_phone=True)
    while score():
        continue
    assert (len(scores(client)), len(scores(damaged))) == (before + 1, 0)
    with damaged.context():
        Lead.rows().delete_many({})
