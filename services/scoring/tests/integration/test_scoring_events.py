"""Events of others through a real broker and the role `work`, shuffled and repeated; our own through `relay`."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pika
import pytest
from google.protobuf.message import Message
from rapport.consent.v1 import consent_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2

from chassis import ids
from contracts import descriptors
from docstore import aliases
from eventing import names, tombstones, topology
from eventing.envelope import Envelope
from localrun.ports import free_port
from scoring.decisions import PURPOSE
from scoring.store import Objection
from testkit import eventually

from .conftest import NONE, customer, plant, purchase, score_row

SERVICE = "scoring"


@pytest.fixture(scope="module")
def topology_file(amqp: str, tmp_path_factory: pytest.TempPathFactory):
    manifest = topology.manifest([SERVICE])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def broker(amqp: str, topology_file) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def tell(broker, client) -> Callable[..., Envelope]:
    """Publishes an event as its owner would; returns it, to be published again."""

    def publish(message: Message, subject: str = "", sequence: int = 1, again: Envelope | None = None) -> Envelope:
        event = again or Envelope(
            id=ids.uuid7(),
            type=message.DESCRIPTOR.full_name,
            source=f"//rapport/{message.DESCRIPTOR.full_name.split('.')[1]}",
            subject=subject or f"ingestionBatches/{ids.uuid7()}",
            tenant=client.tenant,
            time=datetime.now(UTC),
            sequence=(sequence, 0),
            body=message.SerializeToString(),
        )
        properties = pika.BasicProperties(**event.to_properties())
        broker.basic_publish(names.EVENTS_EXCHANGE, event.type, event.body, properties, mandatory=True)
        return event

    return publish


@pytest.fixture
def started(role, settings, amqp, topology_file):
    """Starts a role of the service on this module's database and broker."""

    def start(name: str):
        changes = {"role": name, "grpc_port": free_port(), "probe_port": free_port(), "topology_file": topology_file}
        return role(settings.model_copy(update=changes)).start().wait_ready()

    return start


def said(kind: type[Message], name: str, state: str, purpose: str = PURPOSE, channel: int = NONE) -> Message:
    told = consent_events_pb2.ConsentState(
        consent=f"consents/of-{name.rpartition('/')[2]}",
        customer=name,
        purpose=purpose,
        channel=channel,
        state=consent_pb2.Consent.State.Value(state),
    )
    told.decide_time.GetCurrentTime()
    return kind(consent=told)


def alias(kind: type[Message], name: str, canonical: str) -> Message:
    return kind(alias={"customer": name, "canonical_customer": canonical})


def test_purchases_count_once_however_shuffled_and_repeated(client, started, tell) -> None:
    chance = random.Random(2)
    people = [customer() for _ in range(10)]
    events = [purchase(chance.choice(people), chance.randrange(100), amount=100) for _ in range(120)]
    messages = [identity_events_pb2.EventsTracked(events=events[start : start + 10]) for start in range(0, 120, 10)]
    # The same purchase in two messages: identity's own repeat under another event id.
    messages += [identity_events_pb2.EventsTracked(events=chance.sample(events, 10)) for _ in range(5)]
    chance.shuffle(messages)
    sent = [tell(message) for message in messages]
    for event in chance.sample(sent, 8):
        tell(identity_events_pb2.EventsTracked(), again=event)
    started("work")

    def units() -> dict[str, int]:
        return {money.currency_code: money.units for money in client.SummarizePurchases().revenues}

    # Two batches are handled at once: the last message may be known before the ones ahead of it.
    for number in (1, 2):
        marker = purchase(people[0], number, amount=100, currency="EUR")
        tell(identity_events_pb2.EventsTracked(events=[marker]))
        eventually(lambda: units() == {"EUR": number, "USD": 120}, message="each purchase is known once")  # noqa: B023
    assert client.SummarizePurchases().purchase_count == 122


def test_the_erased_are_left_out_of_a_message_about_many(client, started, tell) -> None:
    gone, kept = customer(), customer()
    with client.context():
        tombstones.erase([gone])
    message = identity_events_pb2.EventsTracked(events=[purchase(gone, 1), purchase(kept, 1)])
    started("work")
    envelope = Envelope(
        id=ids.uuid7(),
        type=message.DESCRIPTOR.full_name,
        source="//rapport/identity",
        subject=f"ingestionBatches/{ids.uuid7()}",
        tenant=client.tenant,
        time=datetime.now(UTC),
        sequence=(1, 0),
        body=message.SerializeToString(),
        datasubjects=(gone, kept),
    )
    tell(message, again=envelope)
    eventually(lambda: client.SummarizePurchases().purchase_count == 1, message="the other's purchase is known")


def test_an_objection_takes_scores_and_memberships_away_at_once(client, started, tell) -> None:
    anna, old, bert = customer(), customer(), customer()
    plant(client, [score_row(name) for name in (anna, bert)])
    client.segment("frequency >= 2")
    work = started("work")
    tell(alias(identity_events_pb2.CustomerMerged, old, anna), old, 2)
    with client.context():
        eventually(lambda: aliases.resolve([old])[old] == anna, message="the merge is known")
    # Of another purpose or channel: nothing to us.
    withdrawn = consent_events_pb2.ConsentWithdrawn
    tell(said(withdrawn, bert, "STATE_WITHDRAWN", purpose="purposes/news"), "consents/1")
    tell(said(withdrawn, bert, "STATE_WITHDRAWN", channel=1), "consents/2")
    # A member of the profile objects, and so the whole person.
    objection = said(withdrawn, old, "STATE_WITHDRAWN")
    event = tell(objection, "consents/3", 2)
    tell(objection, again=event)
    eventually(lambda: client.scored().keys() == {bert}, message="the scores are gone")
    segment = client.GetSegment(name="segments/some")
    assert (segment.member_count, client.members()) == (1, {bert})
    assert client.moves()[-1] == ("left", anna)
    assert sum(move == ("left", anna) for move in client.moves()) == 1
    left, updated = client.told()[-2:]
    assert left.cause == events_pb2.SegmentLeft.CAUSE_SCORES_REMOVED
    assert list(updated.removed_customers) == [anna]
    # An older word does not undo it, a newer one does.
    granted = consent_events_pb2.ConsentGranted
    tell(said(granted, old, "STATE_GRANTED"), "consents/3", 1)
    tell(said(granted, bert, "STATE_GRANTED"), "consents/4", 1)
    with client.context():
        assert Objection.rows().count({}) == 1
        tell(said(granted, old, "STATE_GRANTED"), "consents/3", 3)
        eventually(lambda: Objection.rows().count({}) == 0, message="the agreement is known")
    assert work.stop() == 0


def test_a_merged_customers_scores_go_and_so_do_the_profiles_if_one_objected(client, started, tell) -> None:
    anna, old, bert, objector = (customer() for _ in range(4))
    plant(client, [score_row(name) for name in (anna, old, bert)])
    client.segment("frequency >= 2")
    started("work")
    tell(alias(identity_events_pb2.CustomerMerged, old, anna), old, 2)
    eventually(lambda: client.scored().keys() == {anna, bert}, message="the merged one's scores are gone")
    assert client.told()[-2].cause == events_pb2.SegmentLeft.CAUSE_MERGED
    assert client.GetCustomerScores(name=f"{old}/scores").customer == anna
    tell(said(consent_events_pb2.ConsentWithdrawn, objector, "STATE_WITHDRAWN"), "consents/1")
    with client.context():
        eventually(lambda: Objection.rows().count({}) == 1, message="the objection is known")
    tell(alias(identity_events_pb2.CustomerMerged, objector, bert), objector, 2)
    eventually(lambda: client.scored().keys() == {anna}, message="the objector's profile has no scores")
    tell(alias(identity_events_pb2.CustomerUnmerged, old, old), old, 3)
    with client.context():
        eventually(lambda: aliases.resolve([old])[old] == old, message="the unmerge is known")
    assert client.refused("GetCustomerScores", name=f"{old}/scores")[0] == "NOT_FOUND"
    assert client.GetSegment(name="segments/some").member_count == 1


def test_what_changes_is_told_with_the_people_it_is_about(client, broker, started) -> None:
    queue = broker.queue_declare("", exclusive=True).method.queue
    broker.queue_bind(queue, names.EVENTS_EXCHANGE, "rapport.scoring.v1.#")
    anna = customer()
    plant(client, [score_row(anna)])
    client.segment("frequency >= 2")
    started("relay")
    told: list[Envelope] = []

    def arrived() -> bool:
        method, properties, body = broker.basic_get(queue, auto_ack=True)
        if method:
            event = Envelope.from_amqp(properties.headers, {"content_type": properties.content_type}, body)
            if event.tenant == client.tenant:
                told.append(event)
        return bool(told)

    eventually(arrived, 30, "the event")
    (event,) = told
    assert (event.type, event.source, event.datasubjects) == (
        "rapport.scoring.v1.SegmentEntered",
        "//rapport/scoring",
        (anna,),
    )
    body = descriptors.message_class(event.type).FromString(event.body)
    assert (body.segment, body.customers[0].customer) == ("segments/some", anna)
