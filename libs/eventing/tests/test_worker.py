"""The worker as a process: what it settles, what it holds, what it gives up; killed, stopped, overtaken."""

import os
import subprocess
import sys

import pytest
from rapport.consent.v1 import events_pb2 as consent_events
from rapport.identity.v1 import events_pb2
from sample.publishing import customer, event, fact

import docstore
from chassis import ids
from testkit import eventually
from testkit.roles import environment_of

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


@pytest.fixture
def worker(role, bus, settings_for):
    process = role(settings_for("sample", role="work")).start().wait_ready()
    yield process
    process.stop()


def times(handler, what):
    row = docstore.collection("seen").find_one({"uid": f"{handler}/{what}"})
    return row["times"] if row else 0


def collected(envelopes):
    names = [f"collect/{item.id}" for item in envelopes]
    found = {row["uid"]: row["times"] for row in docstore.collection("seen").find({"uid": {"$in": names}})}
    return [found.get(name, 0) for name in names]


def test_events_are_handled_and_settled(worker, bus):
    envelopes = [fact() for _ in range(50)]
    bus.publish(*envelopes, *envelopes[:20])
    eventually(lambda: collected(envelopes) == [1] * 50)
    eventually(lambda: bus.count("sample") == 0)
    assert worker.stop() == 0
    # Repeats that were delivered and not begun may have gone back; nothing else may.
    assert bus.count("sample") <= 20
    assert bus.count("sample.dead") == 0
    assert collected(envelopes) == [1] * 50


def test_poison_is_a_dead_letter_with_its_reason_and_harms_no_neighbour(worker, bus):
    good = [fact() for _ in range(5)]
    refused = fact("refuse")
    bus.publish(*good[:2])
    bus.raw(b"\xff\xff", fact().to_properties())
    bus.raw(b"{}", {"content_type": "application/json", "message_id": "foreign"})
    bus.raw("größe".encode("latin-1"), {"content_type": "text/plain", "content_encoding": "latin-1"})
    bus.raw(b"x", {"content_type": "application/x-python-serialize", "content_encoding": "binary"})
    strange = fact().to_properties()
    strange["headers"]["ce-type"] = "rapport.identity.v1.Nothing"
    bus.raw(b"", strange)
    bus.publish(refused, *good[2:])
    eventually(lambda: bus.count("sample.dead") == 6)
    eventually(lambda: collected(good) == [1] * 5)
    found = {}
    for _ in range(6):
        _, properties, body = bus.take("sample.dead")
        found[properties.headers["rapport-dead-reason"]] = (properties, body)
    assert set(found) == {"UNDECODABLE_BODY", "UNDECODABLE_CONTENT_TYPE", "UNKNOWN_TYPE", "SAMPLE_REFUSED"}
    properties, body = found["SAMPLE_REFUSED"]
    assert body == refused.body
    assert {k: v for k, v in properties.headers.items() if k.startswith("ce-")} == refused.to_headers()
    assert properties.headers["rapport-dead-handler"] == "collect"
    assert properties.headers["rapport-attempt"] == 1
    assert properties.message_id == refused.id
    assert properties.delivery_mode == 2


def test_failures_climb_the_ladder_and_end_as_dead_letters(worker, bus):
    flaky, hopeless, neighbour = fact("flaky:1"), fact("fail"), fact()
    bus.publish(flaky, hopeless, neighbour)
    eventually(lambda: collected([flaky, neighbour]) == [1, 1])
    for attempt, delay in ((2, "10s"), (3, "60s")):
        eventually(lambda delay=delay: bus.count(f"sample.retry.{delay}") == 1)
        _, properties, body = bus.take(f"sample.retry.{delay}")
        assert properties.headers["rapport-attempt"] == attempt
        assert body == hopeless.body
        assert "x-death" not in properties.headers
        # What the broker does when the time is over; waiting for it would take 70 s.
        bus.raw(body, {name: getattr(properties, name) for name in ("content_type", "message_id", "headers")})
    eventually(lambda: bus.count("sample.dead") == 1)
    _, properties, body = bus.take("sample.dead")
    assert properties.headers["rapport-dead-reason"] == "ATTEMPTS_EXHAUSTED"
    assert properties.headers["rapport-dead-error"].startswith("ValueError at behave")
    assert properties.headers["rapport-attempt"] == 4
    assert "anna@example.com" not in str(properties.headers) + worker.log.read_text()
    assert collected([hopeless]) == [0]


def test_sigterm_under_load_loses_nothing_and_repeats_no_finished_event(role, bus, settings_for, tmp_path):
    worker = role(settings_for("sample", role="work")).start().wait_ready()
    held = tmp_path / "held"
    held.touch()
    labels = [""] * 15 + [f"hold:{held}"] * 10 + ["slow:0.1"] * 95
    envelopes = [fact(label) for label in labels]
    bus.publish(*envelopes[:15])
    eventually(lambda: collected(envelopes[:15]) == [1] * 15)
    bus.publish(*envelopes[15:])
    worker.process.terminate()
    eventually(lambda: not worker._http_ready(), message="it is stopping")
    held.unlink()
    assert worker.stop() == 0
    finished = sum(collected(envelopes))
    # Handled events are acknowledged: what is left is exactly what was not handled, and comes only once more.
    assert bus.count("sample") == 120 - finished
    assert 15 <= finished < 120
    worker.start().wait_ready()
    eventually(lambda: collected(envelopes) == [1] * 120)
    eventually(lambda: bus.count("sample") == 0)


def test_an_urgent_event_overtakes_a_backlog(worker, bus):
    bus.publish(*(fact("slow:0.1") for _ in range(3000)))
    withdrawal = event(consent_events.ConsentWithdrawn(), f"consents/{ids.uuid7()}")
    bus.publish(withdrawal)
    eventually(lambda: times("withdraw", withdrawal.subject) == 1)
    assert bus.count("sample") > 2000
    bus.purge()


def test_two_workers_share_the_work(role, bus, settings_for):
    workers = [role(settings_for("sample", role="work")).start() for _ in range(2)]
    for each in workers:
        each.wait_ready()
    subject = f"customers/{ids.uuid7()}"
    states = [customer(f"v{version}", subject, version) for version in range(1, 31)]
    bus.publish(*states, *states)
    eventually(lambda: bus.count("sample") == 0)
    eventually(lambda: docstore.collection("seen").find_one({"uid": f"project/{subject}", "label": "v30"}))
    assert [each.stop() for each in workers] == [0, 0]


def test_a_service_without_handlers_says_so(settings_for, amqp):
    code = (
        "import eventing.patched\nfrom eventing import work\nfrom chassis.settings import Settings, load\n"
        "work.run(load(Settings, service='eventing', role='work'), None)"
    )
    env = os.environ | environment_of(settings_for("sample", role="work"))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "eventing has no module handlers" in done.stderr


def test_subscribe_refuses_what_is_no_event():
    from eventing.subscribe import subscribe

    with pytest.raises(TypeError, match="no event"):
        subscribe(events_pb2.CustomerState)
    once = subscribe(events_pb2.CustomerCreated)(lambda self, event, envelope: None)
    with pytest.raises(TypeError, match="twice"):
        subscribe(events_pb2.CustomerCreated)(once)
