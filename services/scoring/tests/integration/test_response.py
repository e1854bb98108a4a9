"""Responses from messages and clicks to probabilities with reasons, in segments and events; gone when asked for."""

import random
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.scoring.v1 import condition_pb2, model_pb2
from rapport.scoring.v1.response_propensity_pb2 import ResponsePropensity

import docstore
from chassis import clock
from docstore import explain
from scoring.decisions import PURPOSE
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.domain.happenings import MESSAGE_CLICKED, MESSAGE_SENT, id_of
from scoring.jobs.reproduce import reproduce
from scoring.models.classifier import Table
from scoring.models.response import COLUMNS, told
from scoring.store import Evaluation, Model, ResponseScorer, Score, activity
from scoring.store.activity import StagedActivity, packed
from scoring.store.histories import CURRENT
from scoring.usecases import loaded_models

from . import carrying_out
from .conftest import NONE, Client, customer, plant, plant_earlier, purchase, score_row
from .seen_plots import seen_plots
from .test_roll_back import rolled_back, states, turned
from .test_scoring_erasing import erased, holding  # noqa: F401 - fixtures
from .what_if import asked, features_of

SERVICE = "scoring"
AS_OF = clock.real_now().replace(hour=0, minute=0, second=0, microsecond=0)
DAY_MS = 86_400_000
EACH = 120
PROGRAMS = 15
"""Customers whose mail programs follow every link, and who follow none themselves."""
Told = list[tuple[str, float]]
"""What happened, and how many days before AS_OF."""


def spells(chance: random.Random) -> Told:
    """Of a customer who comes by for twelve weeks, and follows links then, and stays away for as long."""
    found, phase = [], chance.uniform(0, 168)
    for week in range(19):
        ago = 7 * week + chance.uniform(0, 7)
        keen = (ago + phase) % 168 < 84
        found.append((MESSAGE_SENT, ago))
        if chance.random() < (0.5 if keen else 0.02):
            found.append((MESSAGE_CLICKED, ago - chance.uniform(0.01, min(1, ago))))
        if keen:
            found += [("Page Viewed", ago + 2), ("Page Viewed", max(ago - 1.5, 0.1))]
    return found


def shop() -> dict[str, Told]:
    chance = random.Random(5)

    def name() -> str:
        # The same each time: who is drawn into which part of a training depends on it.
        return f"customers/{uuid.UUID(int=chance.getrandbits(128), version=4)}"

    found = {name(): spells(chance) for _ in range(EACH)}
    for _ in range(PROGRAMS):
        sent = [7 * week + 3.0 for week in range(19)]
        soon = [(MESSAGE_CLICKED, ago - 5 / 86_400) for ago in sent]
        found[name()] = [*((MESSAGE_SENT, ago) for ago in sent), *soon]
    return found


def stage(client: Client, happened: dict[str, Told]) -> None:
    """As the worker stages events, but for segments, which would take them in for seconds."""
    at = round(AS_OF.timestamp() * 1000)
    rows = [
        {"c": name, "e": what, "t": at - round(ago * DAY_MS), "i": id_of("campaigns", f"{name}-{number}")}
        for name, each in happened.items()
        for number, (what, ago) in enumerate(each)
    ]
    with client.context():
        staged = [{"uid": uuid.uuid4().hex, **packed(rows[i : i + 2000], AS_OF)} for i in range(0, len(rows), 2000)]
        docstore.in_transaction(lambda: StagedActivity.rows().insert_many(staged))


carried_out = partial(carrying_out.carried_out, kind="KIND_RESPONSE", as_of=AS_OF)
"""A job of the tenant, whose program runs in this process."""


@pytest.fixture(scope="module")
def happened() -> dict[str, Told]:
    return shop()


@pytest.fixture(scope="module")
def programs(happened: dict[str, Told]) -> list[str]:
    return list(happened)[EACH:]


@pytest.fixture(scope="module")
def objector(happened: dict[str, Told]) -> str:
    return next(iter(happened))


@pytest.fixture(scope="module")
def buyer() -> str:
    """Bought and was sent nothing."""
    return customer()


@pytest.fixture(scope="module")
def made(channels, settings, store, happened, objector, buyer) -> tuple[Client, Any]:
    """A tenant with probabilities, and the job that made them, by a model that was trained fourteen days before and has
    been held since against what happened. Two customers had some of an earlier job.
    """
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    client.objects(objector)
    stage(client, happened)
    bought = purchase(buyer, 0)
    bought.event_time.FromDatetime(AS_OF - timedelta(days=20))
    client.stage([bought])
    plant_earlier(client, response={"probability": 0.5, "job": "old"})
    trained = carried_out(client, settings, store, as_of=AS_OF - timedelta(days=14), task="TASK_TRAIN")
    assert trained.message.startswith(
        f"{trained.model} passed its gates: responses are told by it from the next job on."
    ), trained.message
    with client.context():
        assert Score.rows().find_one({"response.model": {"$exists": True}}) is None, "a training scores nobody"
    carried_out(client, settings, store, task="TASK_EVALUATE")
    job = carried_out(client, settings, store, task="TASK_SCORE")
    client.keep()
    return client, job


@pytest.fixture(scope="module")
def client(made: tuple[Client, Any]) -> Client:
    """What fixtures that look into a tenant are to look into."""
    return made[0]


def keen(told: Told) -> bool:
    """Whether somebody came by in the last ten days."""
    return any(what == "Page Viewed" and ago < 10 for what, ago in told)


def labels(happened: dict[str, Told]) -> list[bool]:
    """Of each row that is learned from whether it is a response, as planted."""
    oldest = max(ago for each in happened.values() for _, ago in each)
    found = []
    for begin in range(28, 28 + 8 * 14, 14):
        for each in happened.values() if begin <= oldest - 14 else ():
            sent, clicked = (
                [ago for what, ago in each if what == name and begin - 14 < ago <= begin]
                for name in (MESSAGE_SENT, MESSAGE_CLICKED)
            )
            if sent:
                found.append(any(ago <= max(sent) for ago in clicked))
    return found


def test_planted_responders_are_found_and_the_model_passes_its_gates(made, happened, objector, programs, buyer) -> None:
    client, job = made
    told = f"{EACH + PROGRAMS} customers have new probabilities of a response by {job.model}."
    assert job.message.startswith(told), job.message
    assert job.refused_count == 1
    model = client.GetModel(name=job.model)
    assert (model.kind, model.state) == (model_pb2.Model.KIND_RESPONSE, model_pb2.Model.STATE_CHAMPION)
    gates = {gate.name: gate for gate in model.gates}
    assert gates.keys() == {"minimum_data", "consenting_share", "baseline", "click_share", "calibration"}
    assert gates["click_share"].value > 0.05, "better than the own share"
    assert model.metrics["test_responses"] > 20
    found = {name: scores.response.probability for name, scores in client.scored().items()}
    of = {True: [], False: []}
    for name, each in list(happened.items())[1:EACH]:
        of[keen(each)].append(found[name])
    assert min(map(len, of.values())) > 20
    assert sum(of[True]) / len(of[True]) > 0.35 > 0.25 > sum(of[False]) / len(of[False])
    happened = {name: [] if name == objector else each for name, each in happened.items()}
    people = {name: each for name, each in happened.items() if name not in programs}
    told = model.customer_count, model.purchase_count
    assert told == (len(labels(happened)), sum(labels(people))), "what mail programs follow is no response"
    assert buyer in found
    assert objector not in found


def test_a_customer_is_told_the_probability_why_and_on_what_ground(made, happened, objector) -> None:
    client, job = made
    name = next(name for name, each in happened.items() if keen(each) and name != objector)
    found = client.GetCustomerScores(name=f"{name}/scores").response
    assert 0 <= found.low <= found.probability <= found.high <= 1
    assert 50 < found.percentile <= 100
    assert (found.model, found.scoring_job, found.horizon_days) == (job.model, job.name, 14)
    assert found.decision.startswith("decisions/")
    assert "the probability of a response by" in found.reasons[0].text
    assert found.as_of.ToDatetime(AS_OF.tzinfo) == AS_OF
    assert found.next_refresh_time.ToSeconds() - found.as_of.ToSeconds() == 7 * 86_400
    assert found.HasField("age")


def test_it_is_told_and_makes_segments(made) -> None:
    client, _ = made
    told = [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated"]
    states = {state.customer: state for event in told for state in event.responses}
    found = {name: each.response for name, each in client.scored().items() if each.HasField("response")}
    assert {name: state.probability for name, state in states.items()} == {
        name: each.probability for name, each in found.items()
    }
    assert sum(len(event.removed_response_customers) for event in told) == 1, "who has other scores keeps them"
    assert sum(len(event.removed_customers) for event in told) == 1
    likely = {name for name, each in found.items() if each.probability > 0.3}
    client.segment("response_probability > 0.3", "likely")
    assert client.members("likely") == likely
    condition = condition_pb2.Condition(
        score={"score": "response_probability", "operator": "OPERATOR_LESS_OR_EQUAL", "value": {"number": 0.3}}
    )
    client.CreateSegment(segment={"display_name": "Others", "condition": condition}, segment_id="others")
    assert client.evaluated("others").expression == "response_probability <= 0.3"
    assert client.members("others") == found.keys() - likely


def test_it_is_made_again_from_what_the_job_kept_and_its_card_shows_how_it_was_tested(
    made, happened, settings, tmp_path
) -> None:
    client, job = made
    name = list(happened)[3]
    kept = carrying_out.kept_of(client, settings, job.name)
    found = reproduce(kept, name)
    assert found is not None
    assert found.equal, (found.recorded, found.computed)
    assert found.computed["response_probability"] == client.scored()[name].response.probability
    card = client.GetModelCard(name=job.model, format="markdown").data.decode()
    assert "their own share of messages with a followed link" in card
    seen = seen_plots(client.GetModelCard(name=job.model).data.decode(), tmp_path)
    assert {"Calibration by tenths of the customers", "Cumulative gain", "Drift"} <= seen.keys()
    assert min(marks for _, marks in seen.values()) >= 2


def test_the_model_is_held_against_what_happened_since(made, happened) -> None:
    client, job = made
    (outcome,) = client.GetModel(name=job.model).outcomes
    assert (outcome.weeks, outcome.customer_count) == (2, EACH + PROGRAMS - 1), "of days it has not learned from"
    assert not outcome.degraded
    assert outcome.actual == pytest.approx(outcome.expected, rel=0.4)
    drifts = {drift.feature for drift in client.GetModel(name=job.model).drifts}
    assert drifts >= {"probability", "messages_sent_90d", "days_since_last_click", "active_days_30d"}


evaluated = partial(asked, method="EvaluateResponsePropensity")


def test_what_if_tells_the_probability_of_changed_features_and_stores_nothing(made, settings, store) -> None:
    client, job = made
    found = {name: each.response for name, each in client.scored().items() if each.HasField("response")}
    name, stored = min(found.items(), key=lambda item: item[1].probability)
    row = features_of(client, store, job.name, name, COLUMNS)
    before, same = ResponsePropensity(), evaluated(client, settings, store, customer_scores=f"{name}/scores")
    before.CopyFrom(stored)
    assert same.decision, "consent was asked now"
    for field in ("score_time", "age", "next_refresh_time", "decision"):
        before.ClearField(field)
    same.ClearField("decision")
    assert same == before, "model, job, percentile and reasons, too"
    seen = {"message_clicks_90d": 6, "days_since_last_click": 1.5, "events_30d": 9, "active_days_30d": 8}
    seen |= {"events_90d": 20, "active_days_90d": 17}
    more = evaluated(client, settings, store, customer_scores=f"{name}/scores", features=seen)
    follow = {"activity_rate_ratio": 1.64, "clicks_per_message_90d": round(6 / row["messages_sent_90d"], 2)}
    with client.context():
        model = loaded_models.load(Model.get(job.model.removeprefix("models/")), store)
    table = Table.of(COLUMNS, {each.name: np.array([(row | seen | follow)[each.name]]) for each in COLUMNS})
    assert more.probability == told(model, table)[RESPONSE_PROBABILITY][0] > before.probability + 0.2
    assert more.percentile > before.percentile
    raising = {reason.feature for reason in more.reasons if reason.points > 0}
    assert raising & (seen.keys() | follow.keys())
    assert ": raises the probability of a response by " in "; ".join(reason.text for reason in more.reasons)
    nobody = evaluated(client, settings, store, features=row)
    assert (nobody.probability, list(nobody.reasons)) == (before.probability, list(before.reasons))
    assert (nobody.decision, nobody.model, nobody.horizon_days) == ("", job.model, 14)
    with client.context():
        assert Evaluation.rows().count({}) == 0
    assert client.GetCustomerScores(name=f"{name}/scores").response.score_time == stored.score_time


def test_what_if_refuses_features_by_field_and_people_by_consent(made, channels, objector, settings, store) -> None:
    client, job = made
    wrong = {"salary": 1.0, "messages_sent_90d": 1.5, "days_since_last_click": 181}
    reason, message, fields = client.refused("EvaluateResponsePropensity", features=wrong)
    assert reason == "INVALID_FEATURES"
    assert {f"features.{name}" for name in (*wrong, "events_30d", "purchases_365d")} <= set(fields)
    assert f"features.salary: No feature of response: give {', '.join(each.name for each in COLUMNS)}." in message
    name = next(name for name, each in client.scored().items() if each.HasField("response"))
    scores, refused = f"{name}/scores", partial(evaluated, client, settings, store, refused=True)
    reason, message, fields = refused(customer_scores=scores, features={"active_days_90d": 91, "events_90d": 90})
    assert (reason, fields) == ("INVALID_FEATURES", ["features.active_days_90d"])
    assert "active_days_90d is 1 to what events_90d is, 90." in message
    nobody = f"{customer()}/scores"
    assert client.refused("EvaluateResponsePropensity", customer_scores=nobody)[0] == "RESPONSE_NOT_KNOWN"
    # Of an earlier job, whose files are gone; and one who objected, of whom a score is still there.
    given = features_of(client, store, job.name, name, COLUMNS)
    for refusing, why in ((customer(), "FEATURES_NOT_KEPT"), (objector, "PROFILING_OBJECTED")):
        plant(client, [score_row(refusing, response={"job": uuid.uuid4().hex})])
        assert refused(customer_scores=f"{refusing}/scores")[0] == why
        with client.context():
            Score.rows().delete_one({"customer": refusing})
    with client.context():
        left = ResponseScorer.current()
        ResponseScorer.rows().delete_one({"uid": CURRENT})
        assert client.refused("EvaluateResponsePropensity", features=given)[0] == "NO_SCORES_YET"
        ResponseScorer.rows().insert_one(left)
        kept = Model.get(left["model"]).artefact_sha256
        # So are models that ended long ago, whose files are gone.
        Model.rows().update_one({"uid": left["model"]}, {"$set": {"artefact_sha256": ""}})
    assert refused(features=given)[0] == "NO_RELEASED_MODEL"
    with client.context():
        Model.rows().update_one({"uid": left["model"]}, {"$set": {"artefact_sha256": kept}})
    other = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    assert other.refused("EvaluateResponsePropensity", features=given)[0] == "NO_RELEASED_MODEL"


def test_messages_and_clicks_are_kept_once_for_segments_and_files(client, hear) -> None:
    name, when = customer(), Timestamp()
    when.FromDatetime(AS_OF - timedelta(hours=5))
    reference = campaigns_events_pb2.MessageReference(message="messages/m", customer=name)
    for _ in range(2):
        hear(campaigns_events_pb2.MessageSent(message=reference, decision="decisions/d", send_time=when), name)
    assert client.segment('count("Message Sent") = 1', "sent").member_count == 1
    assert client.members("sent") == {name}
    with client.context():
        kept = [each for row in StagedActivity.rows().find({}) for each in activity.unpacked(row)]
    ids = {(each.event, each.time, each.id) for each in kept if each.customer == name}
    assert ids == {("Message Sent", when.ToMilliseconds(), id_of("campaigns", "messages/m"))}


def test_an_objection_and_an_erasure_take_it_away(client, happened, hear, holding, erased) -> None:  # noqa: F811
    left, gone = list(happened)[1:3]
    said = {"customer": left, "purpose": PURPOSE, "channel": NONE, "consent": "consents/c"}
    hear(consent_events_pb2.ConsentWithdrawn(consent=said), left)
    assert holding(gone) >= {"scores", "features", "scoringJobs"}
    erased(gone)
    assert holding(gone) == set()
    assert not {left, gone} & client.scored().keys()


def test_with_too_little_data_nobody_has_one_and_the_job_says_what_is_missing(channels, settings, store) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    stage(client, {customer(): [(MESSAGE_SENT, 40), (MESSAGE_SENT, 9), (MESSAGE_CLICKED, 8.5)] for _ in range(3)})
    job = carried_out(client, settings, store)
    assert "nobody has a probability of a response by it" in job.message
    assert "3 customers, each as of an instant, to whom a message was sent in the 14 days after it, at least " in (
        job.message
    )
    assert client.scored() == {}
    reason, message, _ = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_RESPONSE", "task": "TASK_SCORE"})
    assert reason == "NO_RELEASED_MODEL"
    assert "No model of KIND_RESPONSE is released yet" in message
    for field, value in (("horizon_weeks", 2), ("annual_discount_basis_points", 100)):
        reason, _, names = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_RESPONSE", field: value})
        assert (reason, names) == ("INVALID_SCORING_JOB", [f"scoring_job.{field}"])


def test_a_champion_that_takes_responders_for_others_goes_and_the_model_before_it_scores(made, settings, store) -> None:
    client, made_by = made
    first = made_by.model
    champion = turned(client, store, first)
    assert states(client) == {first: "RETIRED", champion: "CHAMPION"}
    job = carried_out(client, settings, store, task="TASK_EVALUATE")
    assert job.message.startswith(f"{champion} was taken back, {first} is released again: its error since is ")
    event = rolled_back(client)
    assert (event.model, event.restored_model, event.scoring_job) == (champion, first, job.name)
    assert states(client) == {first: "CHAMPION", champion: "ROLLED_BACK"}
    (fallen,) = client.GetModel(name=champion).outcomes
    assert (fallen.degraded, fallen.weeks) == (True, 2)
    assert fallen.error > 1 > client.GetModel(name=first).outcomes[0].error


def test_its_queries_have_their_index(client) -> None:
    with client.context():
        explain.assert_indexed(Score, {"response.job": {"$gt": "", "$ne": "new"}}, limit=500, max_keys=600)
