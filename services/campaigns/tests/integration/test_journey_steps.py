"""Ways through journeys: who enters, where waits and branches lead, and what a pause stops."""

from datetime import UTC, datetime

from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2

from chassis import clock

SERVICE = "campaigns"

DAY_S = 86_400


def test_waits_and_branches_lead_where_they_say(client, work, inbox, travel) -> None:
    client.purpose()
    client.template("calm")
    client.template("urgent")
    condition = "score.p_alive < 0.3 AND customer.region_code = DE"
    client.journey(
        "win-back",
        {"id": "wait", "wait": {"duration": {"seconds": 2 * DAY_S}}},
        {"id": "which", "branch": {"condition": condition, "otherwise": "calm"}},
        client.mail("urgent", "templates/urgent") | {"next": "end"},
        client.mail("calm", "templates/calm"),
        {"id": "end", "end": {}},
    )
    low, high = client.customer(), client.customer()
    client.know(low, high, region_code="DE")
    client.grant(low, high)
    client.enter(low, p_alive=0.1)
    client.enter(high, p_alive=0.9)
    work()
    assert client.messages() == []
    travel(days=2, seconds=1)
    work()
    assert {message.customer: message.template for message in client.messages()} == {
        low: "templates/urgent",
        high: "templates/calm",
    }
    assert client.states() == {"SENT": 2}


def test_who_is_inside_keeps_the_steps_they_entered_with(ready, work, travel) -> None:
    wait = {"id": "wait", "wait": {"duration": {"seconds": DAY_S}}}
    ready.journey("slow", wait, ready.mail("old"), {"id": "end", "end": {}})
    first, second = ready.customer(), ready.customer()
    ready.know(first, second)
    ready.enter(first)
    work()
    ready.UpdateJourney(journey={"name": "journeys/slow", "steps": [wait, ready.mail("new"), {"id": "end", "end": {}}]})
    ready.enter(second)
    travel(days=2)
    work()
    steps = {message.customer: message.step for message in ready.messages(journey="journeys/slow")}
    travel(days=2)
    work()
    steps |= {message.customer: message.step for message in ready.messages(journey="journeys/slow")}
    assert steps == {first: "old", second: "new"}
    assert {entry.customer: entry.journey_revision for entry in ready.entries("slow")} == {first: 1, second: 2}


def test_a_paused_journey_lets_nobody_in_and_nothing_out(ready, work, inbox, travel) -> None:
    inside, outside = ready.customer(), ready.customer()
    ready.know(inside, outside)
    ready.grant(inside, outside)
    ready.enter(inside)
    ready.PauseJourney(name="journeys/win-back")
    ready.enter(outside)
    work()
    travel(days=1)
    work()
    assert ready.messages() == []
    ready.ActivateJourney(name="journeys/win-back")
    work()
    assert [message.customer for message in ready.messages()] == [inside]
    assert ready.states() == {"SENT": 1}


def test_tracked_events_and_consents_let_people_enter_but_imports_do_not(client, work) -> None:
    client.purpose()
    client.template(
        variables=[{"name": "order_id", "fallback": "?"}],
        contents=[{"language_code": "en", "subject": "s", "text": "Order {{ order_id }}"}],
    )
    client.journey("thanks", trigger={"event": "Order Completed"})
    client.journey("welcome", trigger={"event": "rapport.consent.v1.ConsentGranted"})
    person = client.customer()
    now, long_ago = clock.now(), datetime(1998, 1, 1, tzinfo=UTC)
    tracked = [
        {"customer": person, "event": "Order Completed", "source": "shop", "message_id": name, "order_id": name}
        for name in ("m1", "m2", "m3")
    ]
    event = identity_events_pb2.EventsTracked(events=tracked)
    for each, when in zip(event.events, (now, long_ago, now), strict=True):
        each.event_time.FromDatetime(when)
    event.events[2].event = "Page Viewed"
    client.tell(event)
    client.tell(event)  # another batch with the same events: message ids make them the same occasions
    consent = {"consent": "consents/1", "customer": person, "purpose": "purposes/news", "channel": 1,
               "consent_record": "consentRecords/1"}  # fmt: skip
    client.tell(consent_events_pb2.ConsentGranted(consent=consent), "consents/1")
    assert [dict(entry.snapshot) for entry in client.entries("thanks")] == [
        {"event": "Order Completed", "order_id": "m1"}
    ]
    assert len(client.entries("welcome")) == 1
