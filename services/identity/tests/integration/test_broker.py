"""What identity hears from other services, and tells them, through real roles and a real broker."""

import json
from datetime import UTC, datetime

import pika
import pytest
from pydantic import SecretStr
from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2

from chassis import ids
from eventing import names, topology
from eventing.envelope import Envelope
from localrun.ports import free_port
from testkit import eventually

from .conftest import identify, track

SERVICE = "identity"


@pytest.fixture(scope="module")
def topology_file(amqp, tmp_path_factory):
    manifest = topology.manifest([SERVICE])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def broker(amqp, topology_file):
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def started(role, database, amqp, topology_file):
    """Starts a role of the service on this module's database and broker."""

    def start(name):
        changes = {"role": name, "probe_port": free_port(), "topology_file": topology_file, "amqp_uri": SecretStr(amqp)}
        return role(database.model_copy(update=changes)).start().wait_ready()

    return start


@pytest.fixture
def tell(broker, client):
    """Publishes an event as its owner would; returns its envelope."""

    def publish(message, source, subject, version, tenant=None):
        event = Envelope(
            id=ids.uuid7(),
            type=message.DESCRIPTOR.full_name,
            source=f"//rapport/{source}",
            subject=subject,
            tenant=tenant or client.tenant,
            time=datetime.now(UTC),
            sequence=(version, 0),
            body=message.SerializeToString(),
        )
        properties = pika.BasicProperties(**event.to_properties())
        broker.basic_publish(names.EVENTS_EXCHANGE, event.type, event.body, properties, mandatory=True)
        return event

    return publish


def consent(customer, state, day):
    return {
        "consent": "consents/c1",
        "customer": customer,
        "purpose": "purposes/news",
        "channel": "CHANNEL_EMAIL",
        "state": state,
        "notice_version": 2,
        "consent_record": "consentRecords/r1",
        "decide_time": datetime(2026, 3, day, tzinfo=UTC),
    }


def test_consent_decisions_show_in_the_timeline_each_once(client, started, tell):
    customer = client.create(email="ada@example.com").name
    withdrawn = consent_events_pb2.ConsentWithdrawn(consent=consent(customer, "STATE_WITHDRAWN", 2))
    granted = consent_events_pb2.ConsentGranted(consent=consent(customer, "STATE_GRANTED", 1))
    tell(withdrawn, "consent", "consents/c1", 2)
    tell(granted, "consent", "consents/c1", 1)
    tell(withdrawn, "consent", "consents/c1", 2)
    started("work")
    marker = client.create().name
    tell(consent_events_pb2.ConsentGranted(consent=consent(marker, "STATE_GRANTED", 3)), "consent", "consents/c2", 1)
    tell(
        consent_events_pb2.ConsentWithdrawn(consent=consent(marker, "STATE_WITHDRAWN", 3)), "consent", "consents/c2", 2
    )
    eventually(lambda: len(client.ListTimelineEntries(parent=marker).timeline_entries) == 2)
    entries = client.ListTimelineEntries(parent=customer).timeline_entries
    assert [entry.event for entry in entries] == [
        "rapport.consent.v1.ConsentWithdrawn",
        "rapport.consent.v1.ConsentGranted",
    ]
    assert {entry.source for entry in entries} == {"services/consent"}
    assert entries[0].details["purpose"] == "purposes/news"
    assert entries[0].details["state"] == "STATE_WITHDRAWN"
    assert entries[0].event_time.ToDatetime() == datetime(2026, 3, 2)  # noqa: DTZ001 - ToDatetime is naive UTC


def test_the_tenants_region_and_currency_are_followed(client, started, tell, applier):
    settings = {"time_zone": "Europe/Berlin", "currency_code": "EUR", "region_code": "DE"}
    tenant = {"name": f"tenants/{client.tenant}", "uid": client.tenant, "settings": settings}
    started("work")
    tell(access_events_pb2.TenantUpdated(tenant=tenant), "access", f"tenants/{client.tenant}", 3, tenant="platform")

    def read_in_germany():
        refused = None
        try:
            found = client.create(phone="030 901820").phone
        except Exception as error:  # noqa: BLE001 - in the default region, the US, it is no number
            refused = error
        return refused is None and found

    assert eventually(read_in_germany) == "+4930901820"
    client.apply(track("m1", "u1", properties={"revenue": 5}))
    (amount,) = client.SummarizeTimeline(event="Order Completed").amounts
    assert (amount.currency_code, amount.units) == ("EUR", 5)


def test_merges_and_events_are_told_in_order(client, started, broker, applier):
    queue = broker.queue_declare("", exclusive=True).method.queue
    for kind in ("CustomerCreated", "CustomerMerged", "CustomerUnmerged", "CustomerUpdated", "EventsTracked"):
        broker.queue_bind(queue, names.EVENTS_EXCHANGE, f"rapport.identity.v1.{kind}")
    started("relay")
    client.apply(identify("i1", "u1", {"email": "ada@example.com"}), track("t1", "u1", properties={"revenue": 5}))
    client.apply(identify("i2", "u9", {"email": "ada@example.com"}), source="app")
    (merge,) = client.ListMerges().merges
    client.UndoMerge(name=merge.name)
    heard = []

    def all_heard():
        while (got := broker.basic_get(queue, auto_ack=True))[0] is not None:
            method, properties, body = got
            if properties.headers["ce-tenant"] == client.tenant:
                heard.append((method.routing_key.rpartition(".")[2], properties.headers, body))
        return sum(kind == "CustomerUnmerged" for kind, _, _ in heard) == 1 and len(heard) >= 7

    eventually(all_heard)
    app = client.lookup("KIND_USER_ID", "u9", "app").name
    of_app = [(kind, headers["ce-sequence"]) for kind, headers, _ in heard if headers["ce-subject"] == app]
    assert [sequence for _, sequence in of_app] == sorted(sequence for _, sequence in of_app)
    assert [kind for kind, _ in of_app if "erged" in kind] == ["CustomerMerged", "CustomerUnmerged"]
    told = [events_pb2.EventsTracked.FromString(body) for kind, _, body in heard if kind == "EventsTracked"]
    assert sorted(event.message_id for one in told for event in one.events) == ["i1", "i2", "t1"]
    bought = next(event for one in told for event in one.events if event.message_id == "t1")
    assert (bought.event, bought.kind, bought.amount.units) == ("Order Completed", "KIND_TRACK", 5)
    (alias,) = [events_pb2.CustomerMerged.FromString(body).alias for kind, _, body in heard if kind == "CustomerMerged"]
    assert (alias.customer, alias.merge) == (app, merge.name)
    for kind, headers, _ in heard:
        assert headers["ce-datasubjects"], kind


def test_messages_and_what_became_of_them_show_in_the_timeline_each_once(client, started, tell):
    customer = client.create(email="grace@example.com").name
    about = {"message": "messages/m1", "customer": customer, "journey": "journeys/j", "template": "templates/t"}
    sent = campaigns_events_pb2.MessageSent(message=about, decision="decisions/d1")
    clicked = campaigns_events_pb2.MessageClicked(message=about, target_url="https://shop.example/")
    for message in (sent, clicked):
        tell(message, "campaigns", "messages/m1", 1)
    worker = started("work")

    def entries():
        found = client.ListTimelineEntries(parent=customer).timeline_entries
        return {entry.event.rpartition(".")[2]: dict(entry.details) for entry in found}

    eventually(lambda: len(entries()) == 2, 30, "both entries")
    assert entries()["MessageSent"]["decision"] == "decisions/d1"
    assert entries()["MessageClicked"]["target_url"] == "https://shop.example/"
    assert worker.stop() == 0
