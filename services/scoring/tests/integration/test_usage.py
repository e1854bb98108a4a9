"""Usage from events to drops and surges: told once of each episode, in segments, gone when asked for."""

import json
import threading
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from rapport.identity.v1.events_pb2 import TrackedEvent
from rapport.scoring.v1 import model_pb2
from rapport.scoring.v1.customer_usage_pb2 import CustomerUsage

import docstore
from chassis import clock
from docstore import explain
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from docstore.records import Record
from scoring import parquet
from scoring.jobs.files import Folder
from scoring.jobs.reproduce import reproduce
from scoring.store import Score, ScoringJob
from scoring.store.scores import PARTS, VALUES
from scoring.usecases import activity, people, preparing, results, running, storing
from scoring.usecases.leased_jobs import RunnerStops

from . import carrying_out
from .conftest import Client, claimed, customer, plant, score_row
from .seen_plots import seen_plots
from .test_scoring_erasing import erased, holding  # noqa: F401 - fixtures

SERVICE = "scoring"
AS_OF = docstore.whole_milliseconds(clock.real_now()) - timedelta(days=2)
WEEKS, LEVEL = 22, 12
DROP, SURGE, USUAL = CustomerUsage.STATE_DROP, CustomerUsage.STATE_SURGE, CustomerUsage.STATE_USUAL


class Stops(threading.Event):
    """Asks the runner to stop once, after its first chunk."""

    asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return self.asked == 2


class Shop:
    """A tenant of 60 customers who use about as much each week. `stopped` and `surged` do not, `new` came late."""

    def __init__(self, client: Client, settings: Any, store: BlobStore) -> None:
        self.client, self._settings, self._store = client, settings, store
        self.names = sorted(customer() for _ in range(60))
        self.stopped, self.surged, self.new, self.objector = self.names[:4]
        self._ids = iter(range(1, 1_000_000))

    def stage(self) -> None:
        counts = np.random.default_rng(3).poisson(LEVEL, (len(self.names), WEEKS))
        counts[0, -1] = 0
        counts[1, -1] = 6 * LEVEL
        counts[2, :-3] = 0
        for name, row in zip(self.names, counts.tolist(), strict=True):
            self.uses(name, row)

    def uses(self, name: str, counts: list[int], event: str = "Report Opened") -> None:
        """What the worker keeps of that many events in the last weeks."""
        begin = AS_OF - timedelta(weeks=len(counts)) + timedelta(hours=3)
        times = [begin + timedelta(weeks=week, minutes=n) for week, count in enumerate(counts) for n in range(count)]
        rows = [{"c": name, "e": event, "t": int(t.timestamp() * 1000), "i": next(self._ids), "y": ""} for t in times]
        with self.client.context():
            docstore.in_transaction(lambda: activity.stage([TrackedEvent()] * len(rows), rows))

    def work(self, *, killed: bool = False, **terms: Any) -> Any:
        """A job from its start to its end, whose program runs in this process. killed: it is gone on with once."""
        name = self.client.CreateScoringJob(scoring_job={"kind": "KIND_USAGE", "as_of": AS_OF} | terms).name
        job = claimed(self.client)
        with self.client.context():
            carrying_out.compute(job, self._settings, self._store)
            if killed:
                with pytest.raises(RunnerStops):
                    running.run_job(job, self._settings, self._store, Stops())
                assert job.stored > 0
            carrying_out.finish(job, self._settings, self._store)
        self.client.keep()
        return self.client.GetScoringJob(name=name)

    def told(self, event: str) -> list[Any]:
        return [each for each in self.client.told() if each.DESCRIPTOR.name == event]

    def anomalies(self) -> list[tuple[str, int]]:
        return [(each.customer, each.state) for told in self.told("UsageAnomaliesDetected") for each in told.anomalies]

    def usage(self, name: str) -> Any:
        return self.client.GetCustomerScores(name=f"{name}/scores").usage


@pytest.fixture(scope="module")
def shop(channels: Any, settings: Any, store: BlobStore) -> Shop:
    """A tenant of whose customers one objects; one other was told something by an earlier job, and has a score."""
    found = Shop(Client(*channels, f"t{uuid.uuid4().hex[:12]}"), settings, store)
    found.client.profiling()
    found.client.objects(found.objector)
    found.stage()
    plant(found.client, [score_row(customer(), usage={"state": "DROP", "job": "old"})])
    found.client.segment('usage = "DROP"', "dropped")
    return found


@pytest.fixture(scope="module")
def made(shop: Shop) -> Any:
    """The first job; its runner stopped between two chunks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(results.parquet, "chunks", _in_small_chunks(results.parquet.chunks))
        return shop.work(killed=True)


def _in_small_chunks(chunks: Any) -> Any:
    return lambda file, _size: chunks(file, 40)


@pytest.fixture(scope="module")
def client(shop: Shop) -> Client:
    """What fixtures that look into a tenant are to look into."""
    return shop.client


def test_drops_and_surges_are_told_with_what_is_usual_and_on_what_ground(shop, made) -> None:
    client = shop.client
    assert made.message.startswith(
        "The usage of 59 customers is told: 1 use far less than usual, 1 far more, of 1 too little is known; by models/"
    ), made.message
    assert (made.scored_count, made.refused_count) == (59, 1)
    assert shop.objector not in client.scored()
    found = shop.usage(shop.stopped)
    assert found.state == DROP
    assert found.begin_time.ToDatetime() == found.as_of.ToDatetime() == AS_OF.replace(tzinfo=None)
    assert (found.window_weeks, found.used_count) == (1, 0)
    assert 0 < found.low_count <= LEVEL <= found.high_count
    assert found.expected_count == pytest.approx(LEVEL, abs=3)
    assert 0 <= found.probability < 0.005
    assert found.others_share == pytest.approx(1, abs=0.25)
    assert found.drop_tellable
    assert found.reasons[0].startswith("0 in the last week, while 1")
    assert (found.model, found.scoring_job, found.fallback) == (made.model, made.name, False)
    assert found.decision.startswith("decisions/")
    assert found.next_refresh_time.ToSeconds() - found.as_of.ToSeconds() == 7 * 86_400
    assert shop.usage(shop.surged).state == SURGE
    lines = map(json.loads, client.ExportCustomerScores().data.splitlines())
    (exported,) = [line["usage"] for line in lines if line["customer"] == shop.stopped]
    assert (exported["state"], exported["windowWeeks"]) == ("STATE_DROP", 1)
    new = shop.usage(shop.new)
    assert (new.state, new.HasField("expected_count")) == (CustomerUsage.STATE_NOT_JUDGED, False)
    assert "too little history" in new.reasons[0]
    assert not client.GetCustomerScores(name=f"{shop.new}/scores").HasField("p_alive")


def test_each_episode_is_told_once_though_the_runner_stopped_in_the_middle(shop, made) -> None:
    assert sorted(shop.anomalies()) == sorted([(shop.stopped, DROP), (shop.surged, SURGE)])
    (first, *_) = shop.told("UsageAnomaliesDetected")
    assert first.scoring_job == made.name
    updated = [event for event in shop.told("ScoresUpdated") if event.usages]
    assert sum(len(event.usages) for event in updated) == 59
    assert len(updated) == 2, "two chunks"
    removed = [name for event in shop.told("ScoresUpdated") for name in event.removed_usage_customers]
    assert len(removed) == 1, "of whom an earlier job told something"


def test_a_drop_makes_a_segment_and_other_words_are_refused(shop, made) -> None:
    client = shop.client
    assert client.members("dropped") == {shop.stopped}
    assert ("entered", shop.stopped) in client.moves("dropped")
    assert client.PreviewSegment(expression='usage != "USUAL" AND usage:*').member_count == 3
    for expression, problem in (
        ('usage = "GONE"', "expected one of USUAL, DROP, SURGE, NOT_JUDGED"),
        ('usage > "DROP"', "usage has no order"),
        ("usage = 3", "expected one of"),
    ):
        reason, message, _ = client.refused("PreviewSegment", expression=expression)
        assert (reason, problem in message) == ("INVALID_EXPRESSION", True), (reason, message)


def test_the_model_and_its_card_state_the_rate_and_what_past_weeks_alarmed(shop, made, tmp_path) -> None:
    model = shop.client.GetModel(name=made.model)
    assert (model.kind, model.state) == (model_pb2.Model.KIND_USAGE, model_pb2.Model.STATE_CHAMPION)
    assert [gate.name for gate in model.gates] == ["minimum_data", "consenting_share", "stated_rate"]
    told = model.parameters["usage"]
    assert told["rate"] == 0.005
    assert told["calibrated_on"] == sum(week["judged"] for week in model.metrics["weeks"]) >= 500
    assert (model.metrics["drop"], model.metrics["surge"], model.metrics["not_judged"]) == (1, 1, 1)
    card = shop.client.GetModelCard(name=made.model, format="markdown").data.decode()
    assert "It told of 1 customers that they use far less than usual, of 1 far more; of 1 too little is known" in card
    assert "| Weeks ago | Drops | Surges |" in card
    page = shop.client.GetModelCard(name=made.model).data.decode()
    ((title, (width, marks)),) = seen_plots(page, tmp_path).items()
    assert title == "Alarms in past weeks"
    assert width > 450
    assert marks >= 3


def test_what_is_told_of_usage_is_made_again_from_what_the_job_kept(shop, made, settings) -> None:
    with shop.client.context():
        kept = Folder(preparing.url(settings, ScoringJob.get(made.uid).result_subject))
    for name, state in ((shop.stopped, "DROP"), (shop.surged, "SURGE"), (shop.new, "NOT_JUDGED")):
        found = reproduce(kept, name)
        assert found is not None
        assert found.equal, (found.recorded, found.computed)
        assert found.computed["usage"] == state
    assert reproduce(kept, shop.objector) is None


def test_an_episode_lasts_over_jobs_and_ends_when_events_show_that_usage_was_usual(shop, made) -> None:
    before = len(shop.anomalies())
    later = shop.work(as_of=AS_OF + timedelta(hours=1))
    found = shop.usage(shop.stopped)
    assert (found.state, found.scoring_job) == (DROP, later.name)
    assert found.begin_time.ToDatetime() == AS_OF.replace(tzinfo=None)
    assert len(shop.anomalies()) == before, "the same episode"
    shop.uses(shop.stopped, [LEVEL])
    last = shop.work(as_of=AS_OF + timedelta(hours=2))
    found = shop.usage(shop.stopped)
    assert (found.state, found.scoring_job) == (USUAL, last.name)
    assert found.begin_time == found.as_of
    assert shop.client.members("dropped") == set()
    assert ("left", shop.stopped) in shop.client.moves("dropped")
    assert len(shop.anomalies()) == before


def test_whom_no_job_of_lifetime_value_scores_keeps_usage_unless_consent_refuses(client_of_values, store) -> None:
    client, job = client_of_values
    keeps, refuses, only = (customer() for _ in range(3))
    usage = {"state": "DROP", "job": "u", "as_of": AS_OF, "begin_time": AS_OF}
    plant(client, [score_row(keeps, usage=usage), score_row(refuses, usage=usage), score_row(only)])
    client.segment("purchases > 0", "buyers")
    with client.context():
        store.put(job.subject, preparing.EXCLUDE, parquet.strings({"customer": [refuses]}))
        refused = preparing.refused_by(job, store)
        remove = partial(storing.remove_unless_newer, job, refused)
        results.remove_earlier(job, threading.Event(), Score, "job", remove)
        (left,) = Score.rows().find({})
        assert (left["customer"], left["usage"]) == (keeps, usage)
        assert left.keys().isdisjoint(VALUES)
        assert set(Score._fields) - set(Record._fields) == {"customer", *VALUES, *PARTS}, "one of them would stay"
    client.keep()
    assert client.members("buyers") == set()
    told = [each for each in client.told() if each.DESCRIPTOR.name == "ScoresUpdated"]
    assert [name for each in told for name in each.removed_value_customers] == [keeps]
    assert {name for each in told for name in each.removed_customers} == {refuses, only}
    plant(client, [score_row(customer(), usage=usage)])
    with client.context():
        store.delete(job.subject, preparing.EXCLUDE)
        assert preparing.refused_by(job, store) is None
        remove = partial(storing.remove_unless_newer, job, None)
        results.remove_earlier(job, threading.Event(), Score, "job", remove)
        assert Score.rows().count({}) == 1, "where nobody knows who that is, all goes"


@pytest.fixture
def client_of_values(channels: Any) -> tuple[Client, ScoringJob]:
    """A tenant, and its job of lifetime value that a runner holds."""
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.CreateScoringJob(scoring_job={})
    return client, claimed(client)


def test_a_job_counts_only_the_events_it_names_and_says_when_that_is_too_little(shop, made) -> None:
    client = shop.client
    shop.uses(shop.new, [2] * 5, "Played")
    refuses = shop.names[20]
    assert shop.usage(refuses)
    client.objects(refuses)
    job = shop.work(as_of=AS_OF + timedelta(hours=3), usage_events=["Played", "Paused"])
    assert list(job.usage_events) == ["Played", "Paused"]
    assert job.message.startswith("Nobody's usage is judged: usage of 0 customers can be judged")
    assert shop.usage(shop.stopped).state == USUAL, "what was told stays"
    assert refuses not in client.scored(), "but of whom consent refuses meanwhile"
    for terms, problem in (
        ({"kind": "KIND_CHURN", "usage_events": ["Played"]}, "Only KIND_USAGE counts events"),
        ({"task": "TASK_SEGMENT", "usage_events": ["Played"]}, "Only KIND_USAGE counts events"),
        ({"kind": "KIND_USAGE", "usage_events": [f"E{n}" for n in range(21)]}, "Name up to 20 events"),
    ):
        reason, message, names = client.refused("CreateScoringJob", scoring_job=terms)
        assert (reason, names) == ("INVALID_SCORING_JOB", ["scoring_job.usage_events"])
        assert problem in message
    for field, value in (("horizon_weeks", 13), ("annual_discount_basis_points", 100), ("task", "TASK_TRAIN")):
        reason, _, names = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_USAGE", field: value})
        assert (reason, names) == ("INVALID_SCORING_JOB", [f"scoring_job.{'kind' if field == 'task' else field}"])


def test_a_schedule_names_events_as_a_job_does(shop) -> None:
    weekly = {"display_name": "Weekly", "interval_hours": 168, "usage_events": ["Played"]}
    schedule = shop.client.CreateJobSchedule(job_schedule=weekly | {"kind": "KIND_USAGE"}, job_schedule_id="usage")
    assert list(schedule.usage_events) == ["Played"]
    refused = shop.client.refused("CreateJobSchedule", job_schedule=weekly, job_schedule_id="value")
    assert refused[0] == "INVALID_JOB_SCHEDULE"
    assert refused[2] == ["job_schedule.usage_events"]
    shop.client.DeleteJobSchedule(name=schedule.name)


def test_an_objection_a_merge_and_an_erasure_take_it_away(shop, made, holding, erased) -> None:  # noqa: F811
    left, member, gone, canonical = shop.names[10:14]
    with shop.client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(left, "consents/c", AS_OF))
        change = AliasChange(member, canonical, (1, 0))
        docstore.in_transaction(lambda: people.follow_alias(change))
    assert holding(gone.partition("/")[2]) >= {"scores", "scoringJobs"}
    erased(gone)
    assert holding(gone.partition("/")[2]) == set()
    scored = shop.client.scored()
    assert not {left, member, gone} & scored.keys()
    assert scored[canonical].HasField("usage")


def test_few_customers_are_told_on_cautious_thresholds_and_the_job_says_so(channels, settings, store) -> None:
    shop = Shop(Client(*channels, f"t{uuid.uuid4().hex[:12]}"), settings, store)
    shop.client.profiling()
    for name in shop.names[:5]:
        shop.uses(name, [LEVEL] * WEEKS)
    shop.uses(shop.names[5], [4 * LEVEL] * (WEEKS - 1) + [0])
    only_bought = customer()
    shop.client.buys(only_bought, 1)
    shop.client.objects(only_bought)
    job = shop.work()
    assert (job.scored_count, job.refused_count) == (6, 0), "consent is asked of who used something"
    assert "on cautious thresholds, because usage of 6 customers can be judged" in job.message
    assert (shop.usage(shop.names[5]).state, shop.usage(shop.names[5]).fallback) == (DROP, True)
    model = shop.client.GetModel(name=job.model)
    assert (model.fallback, model.state) == (True, model_pb2.Model.STATE_CHAMPION)
    assert "500 are needed to verify the rate" in model.message


def test_its_queries_have_their_index(shop, made) -> None:
    with shop.client.context():
        explain.assert_indexed(Score, {"usage.job": {"$gt": "", "$ne": "new"}}, limit=500, max_keys=600)
