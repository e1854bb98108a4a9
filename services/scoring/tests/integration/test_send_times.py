"""Send times from events to answers: one job of a generated shop, asked for, told, taken away."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.dayofweek_pb2 import DayOfWeek
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1.model_pb2 import Model as ModelMessage

import docstore
from chassis import clock
from scoring.decisions import PURPOSE
from scoring.store import CustomerSendTime
from scoring.usecases import activity, customer_send_times, signals

from ..unit.test_send_time_job import AS_OF, CUSTOMERS, events, own_hour
from . import carrying_out
from .conftest import NONE, Client, claimed, customer
from .seen_plots import seen_plots
from .test_scoring_erasing import erased, holding  # noqa: F401 - fixtures

SERVICE = "scoring"


def tracked(name: str, time: Any) -> identity_events_pb2.TrackedEvent:
    event = identity_events_pb2.TrackedEvent(
        customer=name, event="Page Viewed", source="shop", message_id=uuid.uuid4().hex
    )
    event.event_time.FromDatetime(time)
    return event


class Shop:
    """A tenant whose customers are active as `events` says; `names` are theirs by number."""

    def __init__(self, client: Client, settings: Any, store: Any) -> None:
        self.client, self._settings, self._store = client, settings, store
        self.names = sorted(customer() for _ in range(CUSTOMERS))

    def stage(self) -> None:
        rows = [tracked(self.names[int(who[-2:])], time) for who, time, _ in events(0.8)]
        with self.client.context():
            docstore.in_transaction(lambda: activity.stage(rows, signals.note_events(rows)))

    def work(self, *, own_process: bool = False) -> Any:
        """A job from its start to its end; its program runs in this process, unless in one of its own."""
        name = self.client.CreateScoringJob(scoring_job={"kind": "KIND_SEND_TIME", "as_of": AS_OF}).name
        job = claimed(self.client)
        with self.client.context():
            if not own_process:
                carrying_out.compute(job, self._settings, self._store)
            carrying_out.finish(job, self._settings, self._store)
        return self.client.GetScoringJob(name=name)

    def told(self) -> list[Any]:
        return [event for event in self.client.told() if event.DESCRIPTOR.name == "SendTimesUpdated"]

    def refusal(self, name: str) -> str:
        return self.client.refused("GetCustomerSendTime", name=f"{name}/sendTime")[0]


@pytest.fixture(scope="module")
def shop(channels, settings, store) -> Shop:
    """Before the first job. Consent refuses the last customer."""
    found = Shop(Client(*channels, f"t{uuid.uuid4().hex[:12]}"), settings, store)
    found.client.profiling()
    found.client.objects(found.names[-1])
    found.stage()
    return found


@pytest.fixture(scope="module")
def client(shop) -> Client:
    """What fixtures that look into a tenant are to look into."""
    return shop.client


def test_everybody_has_the_hours_in_which_they_are_active(client, shop, hear) -> None:
    for name in shop.names:
        state = identity_events_pb2.CustomerState(customer=name, time_zone="Europe/Berlin", region_code="DE")
        hear(identity_events_pb2.CustomerUpdated(customer=state), name)
    client.keep()
    job = shop.work()
    what = f"{CUSTOMERS - 1} customers have new send times by {job.model}."
    assert job.message == f"{what} Computed in this process, 1 thread."
    assert job.refused_count == 1
    right = 0
    for number, name in enumerate(shop.names[:-1]):
        found = client.GetCustomerSendTime(name=f"{name}/sendTime")
        assert (found.name, found.customer, found.time_zone) == (f"{name}/sendTime", name, "Europe/Berlin")
        assert len(found.best_hours) == 10
        right += found.best_hours[0].hour == own_hour(number)
    assert right > 0.9 * CUSTOMERS
    best = found.best_hours[0]
    assert 1 / 168 < best.probability < 1
    assert (found.fallback, found.model, found.scoring_job) == (False, job.model, job.name)
    assert found.decision.startswith("decisions/")
    assert found.as_of.ToDatetime(AS_OF.tzinfo) == AS_OF
    assert 10 < found.active_hour_count <= 24
    assert found.reasons
    told = {each.customer: each for event in shop.told() for each in event.send_times}
    assert told.keys() == set(shop.names[:-1])
    state = told[found.customer]
    assert sorted(state.hours_of_week) == list(range(168))
    assert DayOfWeek.Name(best.day_of_week) == ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY",
                                                "SUNDAY")[state.hours_of_week[0] // 24]  # fmt: skip
    assert best.hour == state.hours_of_week[0] % 24
    assert (state.time_zone, state.decision) == (found.time_zone, found.decision)
    assert shop.refusal(shop.names[-1]) == "SEND_TIME_NOT_KNOWN"


def test_its_model_says_how_it_was_tested_and_is_not_promoted_by_hand(client, tmp_path) -> None:
    (model,) = client.ListModels(filter="kind = KIND_SEND_TIME").models
    assert (model.kind, model.state) == (ModelMessage.KIND_SEND_TIME, ModelMessage.STATE_CHAMPION)
    assert [gate.name for gate in model.gates] == ["minimum_data", "consenting_share", "baseline"]
    assert client.refused("RollBackModel", name=model.name)[0] == "MODEL_MADE_ANEW"
    for format in ("html", "markdown"):
        card = client.GetModelCard(name=model.name, format=format).data.decode()
        assert "Its log loss of the hours of the week is " in card
    hours = model.metrics["usual_hours"]
    assert {kind: pytest.approx(1.0) for kind in ("workday", "weekend")} == {kind: sum(hours[kind]) for kind in hours}
    assert f"| 8 | {hours['workday'][8]:.1%} | {hours['weekend'][8]:.1%} |" in card
    ((title, (width, marks)),) = seen_plots(client.GetModelCard(name=model.name).data.decode(), tmp_path).items()
    assert title == "When customers are active"
    assert width > 450
    assert marks >= 24


def test_a_followed_link_counts_as_activity_and_for_segments(client, shop, hear) -> None:
    name, when = shop.names[0], Timestamp()
    when.FromDatetime(AS_OF - timedelta(hours=5))
    before = client.GetCustomerSendTime(name=f"{name}/sendTime").active_hour_count
    reference = campaigns_events_pb2.MessageReference(message="messages/m", customer=name)
    hear(campaigns_events_pb2.MessageClicked(message=reference, click_time=when), name)
    assert client.segment('count("Message Clicked") >= 1', "clicked").member_count == 1
    assert client.members("clicked") == {name}
    shop.work()
    assert client.GetCustomerSendTime(name=f"{name}/sendTime").active_hour_count == before + 1


def test_who_objects_is_merged_or_erased_has_none_and_it_is_told(client, shop, hear, holding, erased) -> None:  # noqa: F811
    objects, member, stands, gone = shop.names[2:6]
    said = {"customer": objects, "purpose": PURPOSE, "channel": NONE, "consent": "consents/c"}
    hear(consent_events_pb2.ConsentWithdrawn(consent=said), objects)
    assert shop.refusal(objects) == "PROFILING_OBJECTED"
    hear(identity_events_pb2.CustomerMerged(alias={"customer": member, "canonical_customer": stands}), sequence=2)
    assert client.GetCustomerSendTime(name=f"{member}/sendTime").customer == stands
    assert [name for event in shop.told() for name in event.removed_customers] == [objects, member]
    assert all(event.HasField("change_time") for event in shop.told())
    assert "customer_send_times" in holding(gone)
    assert erased(gone)["customerSendTimes"] == (1, 0)
    assert holding(gone) == set()
    assert shop.refusal(gone) == "SEND_TIME_NOT_KNOWN"


def test_the_next_job_takes_away_who_is_no_longer_in_it(client, shop) -> None:
    refuses = shop.names[7]
    client.objects(refuses)
    job = shop.work(own_process=True)
    with client.context():
        rows = list(CustomerSendTime.rows().find({}))
        plan = CustomerSendTime.rows().find({"job": {"$gt": "", "$ne": job.uid}}).explain()
    assert {row["job"] for row in rows} == {job.uid}
    assert refuses not in {row["customer"] for row in rows}
    assert refuses in shop.told()[-1].removed_customers
    assert "tenant_1_job_1" in str(plan["queryPlanner"]["winningPlan"])
    champions = client.ListModels(filter="state = STATE_CHAMPION").models
    assert [model.uid for model in champions] == [job.uid]


def test_what_is_told_by_a_clock_that_is_behind_counts_as_later(client, shop) -> None:
    name, ahead = shop.names[8], clock.now() + timedelta(hours=1)
    with client.context():
        CustomerSendTime.rows().update_one({"customer": name}, {"$set": {"change_time": ahead}})
        before = CustomerSendTime.rows().find_one({"customer": name})["change_time"]
    shop.work()
    (replaced,) = [event for event in shop.told() if name in {each.customer for each in event.send_times}][-1:]
    with client.context():
        docstore.in_transaction(lambda: customer_send_times.remove([name]))
    removed = shop.told()[-1]
    assert list(removed.removed_customers) == [name]
    times = [event.change_time.ToDatetime(AS_OF.tzinfo) for event in (replaced, removed)]
    assert times == [before + timedelta(milliseconds=step) for step in (1, 2)]
