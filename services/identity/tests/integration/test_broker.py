"""What identity hears from other services, and tells them, through real roles and a real broker."""

from datetime import UTC, datetime

from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2

from testkit import eventually
from testkit.telling import decoded

from .conftest import identify, track

SERVICE = "identity"


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


def test_consent_decisions_show_in_the_timeline_each_once(client, started, publish):
    customer = client.create(email="ada@example.com").name
    withdrawn = consent_events_pb2.ConsentWithdrawn(consent=consent(customer, "STATE_WITHDRAWN", 2))
    granted = consent_events_pb2.ConsentGranted(consent=consent(customer, "STATE_GRANTED", 1))
    publish(withdrawn, subject="consents/c1", sequence=2)
    publish(granted, subject="consents/c1")
    publish(withdrawn, subject="consents/c1", sequence=2)
    started("work")
    marker = client.create().name
    publish(consent_events_pb2.ConsentGranted(consent=consent(marker, "STATE_GRANTED", 3)), subject="consents/c2")
    withdrawn = consent_events_pb2.ConsentWithdrawn(consent=consent(marker, "STATE_WITHDRAWN", 3))
    publish(withdrawn, subject="consents/c2", sequence=2)
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


def test_the_tenants_region_and_currency_are_followed(client, started, publish, applier):
    settings = {"time_zone": "Europe/Berlin", "currency_code": "EUR", "region_code": "DE"}
    tenant = {"name": f"tenants/{client.tenant}", "uid": client.tenant, "settings": settings}
    started("work")
    publish(
        access_events_pb2.TenantUpdated(tenant=tenant),
        subject=f"tenants/{client.tenant}",
        sequence=3,
        tenant="platform",
    )

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


def test_merges_and_events_are_told_in_order(client, started, captured, applier):
    kinds = ("CustomerCreated", "CustomerMerged", "CustomerUnmerged", "CustomerUpdated", "EventsTracked")
    so_far = captured(*(f"rapport.identity.v1.{kind}" for kind in kinds))
    started("relay")
    client.apply(identify("i1", "u1", {"email": "ada@example.com"}), track("t1", "u1", properties={"revenue": 5}))
    client.apply(identify("i2", "u9", {"email": "ada@example.com"}), source="app")
    (merge,) = client.ListMerges().merges
    client.UndoMerge(name=merge.name)

    def all_heard():
        heard = [(event.type.rpartition(".")[2], event) for event in so_far()]
        return sum(kind == "CustomerUnmerged" for kind, _ in heard) == 1 and len(heard) >= 7 and heard

    heard = eventually(all_heard)
    app = client.lookup("KIND_USER_ID", "u9", "app").name
    of_app = [(kind, event.sequence) for kind, event in heard if event.subject == app]
    assert [sequence for _, sequence in of_app] == sorted(sequence for _, sequence in of_app)
    assert [kind for kind, _ in of_app if "erged" in kind] == ["CustomerMerged", "CustomerUnmerged"]
    told = [decoded(event) for kind, event in heard if kind == "EventsTracked"]
    assert sorted(event.message_id for one in told for event in one.events) == ["i1", "i2", "t1"]
    bought = next(event for one in told for event in one.events if event.message_id == "t1")
    assert (bought.event, bought.kind, bought.amount.units) == ("Order Completed", "KIND_TRACK", 5)
    (alias,) = [decoded(event).alias for kind, event in heard if kind == "CustomerMerged"]
    assert (alias.customer, alias.merge) == (app, merge.name)
    for kind, event in heard:
        assert event.datasubjects, kind


def test_messages_and_what_became_of_them_show_in_the_timeline_each_once(client, started, publish):
    customer = client.create(email="grace@example.com").name
    about = {"message": "messages/m1", "customer": customer, "journey": "journeys/j", "template": "templates/t"}
    sent = campaigns_events_pb2.MessageSent(message=about, decision="decisions/d1")
    clicked = campaigns_events_pb2.MessageClicked(message=about, target_url="https://shop.example/")
    for message in (sent, clicked):
        publish(message, subject="messages/m1")
    worker = started("work")

    def entries():
        found = client.ListTimelineEntries(parent=customer).timeline_entries
        return {entry.event.rpartition(".")[2]: dict(entry.details) for entry in found}

    eventually(lambda: len(entries()) == 2, 30, "both entries")
    assert entries()["MessageSent"]["decision"] == "decisions/d1"
    assert entries()["MessageClicked"]["target_url"] == "https://shop.example/"
    assert worker.stop() == 0
