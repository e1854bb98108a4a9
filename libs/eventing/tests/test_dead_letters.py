"""The dead-letter tool and republishing, as an operator uses them."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta

import pytest
from rapport.consent.v1 import events_pb2 as consent_events
from rapport.identity.v1 import events_pb2
from sample.publishing import event, fact
from sample.store import Thing

import docstore
from chassis import ids
from eventing import dead, dead_letters, republish
from eventing.envelope import Envelope
from testkit import eventually

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


def program(amqp, *arguments):
    """Runs the tool as an operator does."""
    env = os.environ | {"RAPPORT_AMQP_URI": amqp}
    return subprocess.run(
        [sys.executable, "-m", "eventing.dead", *arguments], env=env, check=False, capture_output=True, text=True
    )


def tool(amqp, *arguments):
    """Runs it in this process: a program of its own takes most of a second to start."""
    with (
        pytest.MonkeyPatch.context() as environment,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        environment.setenv("RAPPORT_AMQP_URI", amqp)
        try:
            code = dead.main(list(arguments))
        except SystemExit as misuse:
            code = misuse.code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def bury(bus, envelope, reason, handler="collect"):
    properties = envelope.to_properties()
    properties["headers"] |= {
        "rapport-attempt": 4, "rapport-dead-reason": reason, "rapport-dead-handler": handler,
        "rapport-dead-time": "2026-01-31T10:00:00+00:00", "x-death": [],
    }  # fmt: skip
    bus.raw(envelope.body, properties, key="sample.dead")
    return envelope


def test_listing_shows_everything_but_payload_and_people_and_keeps_all(amqp, bus):
    secret = events_pb2.EventsTracked(events=[events_pb2.TrackedEvent(event="anna@example.com")])
    first = bury(bus, event(secret, "imports/1", datasubjects=("customers/7",)), "ATTEMPTS_EXHAUSTED")
    second = bury(bus, fact(), "SAMPLE_REFUSED")
    bus.raw(b"\xff", {"content_type": "text/plain"}, key="sample.dead")
    table = program(amqp, "list", "--service", "sample").stdout
    assert [line.split()[0] for line in table.splitlines()][:3] == ["ID", first.id, second.id]
    assert "ATTEMPTS_EXHAUSTED" in table
    assert "body:" in table
    listed = json.loads(tool(amqp, "list", "--service", "sample", "--json").stdout)
    assert [(item["id"], item["tenant"], item["attempts"]) for item in listed[:2]] == [
        (first.id, "acme", 4), (second.id, "acme", 4),
    ]  # fmt: skip
    one = tool(amqp, "show", "--service", "sample", "--id", first.id).stdout
    assert "2026-01-31T10:00:00+00:00" in one
    for text in (table, json.dumps(listed), one):
        assert "anna" not in text
        assert "customers/7" not in text
    filtered = json.loads(tool(amqp, "list", "--service", "sample", "--json", "--reason", "SAMPLE_REFUSED").stdout)
    assert [item["id"] for item in filtered] == [second.id]
    assert len(json.loads(tool(amqp, "list", "--service", "sample", "--json", "--limit", "2").stdout)) == 2
    eventually(lambda: bus.count("sample.dead") == 3)


def test_a_command_finds_what_the_one_before_only_looked_at(amqp, bus):
    kept = [bury(bus, fact(), "KEPT") for _ in range(5)]
    for _ in range(5):
        replayed, dropped = bury(bus, fact(), "REPLAYED"), bury(bus, fact(), "DROPPED")
        eventually(lambda: bus.count("sample.dead") == 7)
        listed = json.loads(tool(amqp, "list", "--service", "sample", "--json").stdout)
        assert bus.count("sample.dead") == 7
        assert {letter["id"] for letter in listed} == {each.id for each in [*kept, replayed, dropped]}
        assert tool(amqp, "drop", "--service", "sample", "--id", dropped.id, "--yes").stdout == "dropped 1\n"
        assert bus.count("sample.dead") == 6
        assert tool(amqp, "replay", "--service", "sample", "--id", replayed.id).stdout == "replayed 1\n"
        assert bus.count("sample.dead") == 5


def test_replaying_resets_the_attempts_and_takes_the_letter_away(amqp, bus):
    chosen, other = bury(bus, fact(), "A"), bury(bus, fact(), "B")
    urgent = bury(bus, event(consent_events.ConsentWithdrawn(), "consents/1"), "C")
    assert tool(amqp, "replay", "--service", "sample", "--id", chosen.id).stdout == "replayed 1\n"
    eventually(lambda: bus.count("sample") == 1)
    _, properties, body = bus.take("sample")
    assert Envelope.from_amqp(properties.headers, {"content_type": properties.content_type}, body) == chosen
    assert not [name for name in properties.headers if name.startswith("rapport-")]
    eventually(lambda: bus.count("sample.dead") == 2)
    assert tool(amqp, "replay", "--service", "sample", "--reason", "C").stdout == "replayed 1\n"
    eventually(lambda: bus.count("sample.urgent") == 1)
    assert tool(amqp, "drop", "--service", "sample", "--id", urgent.id, "--yes").stdout == "dropped 0\n"
    assert tool(amqp, "drop", "--service", "sample", "--id", other.id, "--yes").stdout == "dropped 1\n"
    assert dead_letters.letters(amqp, "sample", lambda _: True) == []


def test_a_replayed_letter_is_handled_and_finished_handlers_do_not_run_again(amqp, bus, role, settings_for):
    worker = role(settings_for("sample", role="work")).start().wait_ready()
    handled = fact()
    bus.publish(handled)
    eventually(lambda: docstore.collection("seen").find_one({"uid": f"collect/{handled.id}"}))
    fresh = bury(bus, fact(), "X")
    bury(bus, handled, "X")
    assert tool(amqp, "replay", "--service", "sample", "--all").stdout == "replayed 2\n"
    eventually(lambda: docstore.collection("seen").find_one({"uid": f"collect/{fresh.id}"}))
    assert worker.stop() == 0
    assert bus.count("sample") == 0
    assert docstore.collection("seen").find_one({"uid": f"collect/{handled.id}"})["times"] == 1


def test_misuse_is_explained(amqp):
    assert "list them" in tool(amqp, "--help").stdout
    assert program(amqp, "replay", "--service", "sample").returncode == 2
    assert "add --yes" in tool(amqp, "drop", "--service", "sample", "--all").stderr
    nobody = tool(amqp, "list", "--service", "nobody")
    assert nobody.returncode == 1
    assert "no dead-letter queue" in nobody.stderr
    assert tool("", "list", "--service", "sample").returncode == 2
    missing = tool(amqp, "show", "--service", "sample", "--id", "x")
    assert missing.returncode == 1
    away = tool("amqp://127.0.0.1:1/", "list", "--service", "sample")
    assert "does not answer" in away.stderr


@pytest.fixture
def owned(database):
    docstore.collection("things").delete_many({})
    docstore.collection("fact_log").delete_many({})
    things = []
    for number in range(12):
        thing = Thing.new(label=f"v{number}").insert()
        things.append(thing)
    rows = [
        {
            "uid": ids.uuid7(), "type": "rapport.identity.v1.EventsTracked", "subject": "imports/1",
            "time": datetime.now(UTC), "sequence": [1, 0], "body": b"", "datasubjects": ["customers/1"],
            "publish_time": datetime.now(UTC) - timedelta(days=number),
        }
        for number in range(4)
    ]  # fmt: skip
    docstore.collection("fact_log").insert_many(rows)
    return things, rows


def taken(bus):
    found = []
    while (message := bus.take("sample"))[0] is not None:
        found.append(message[1])
    return found


def test_republishing_sends_states_and_facts_once_per_version(database, settings_for, bus, owned):
    things, rows = owned
    settings = settings_for("sample", role="republish")
    assert republish.republish(settings, "sample") == 16
    first = taken(bus)
    states = {p.headers["ce-subject"]: p for p in first if p.headers["ce-type"].endswith("CustomerUpdated")}
    assert set(states) == {thing.name for thing in things}
    assert {p.message_id for p in first if p.headers["ce-type"].endswith("EventsTracked")} == {r["uid"] for r in rows}
    assert {p.headers["ce-sequence"] for p in states.values()} == {f"{1:012}.0000"}
    assert republish.republish(settings, "sample", kinds=[republish.STATE]) == 12
    assert {p.message_id for p in taken(bus)} == {p.message_id for p in states.values()}
    since = datetime.now(UTC) - timedelta(days=1, hours=12)
    assert republish.republish(settings, "sample", since, [republish.FACT]) == 2


def test_an_interrupted_republish_goes_on_where_it_was(settings_for, bus, owned, monkeypatch):
    settings = settings_for("sample", role="republish")
    monkeypatch.setattr(republish, "_PAGE", 5)
    sent = republish._Run._send
    pages = []

    def breaks(self, envelopes):
        if len(pages) == 2:
            pages.append(None)
            raise republish.NotConfirmed("the broker is gone")
        pages.append(sent(self, envelopes))
        return pages[-1]

    monkeypatch.setattr(republish._Run, "_send", breaks)
    with pytest.raises(republish.NotConfirmed):
        republish.republish(settings, "sample")
    assert republish.republish(settings, "sample") == 6
    assert len({p.message_id for p in taken(bus)}) == 16


def test_a_queue_that_is_not_there_is_told(settings_for, bus, owned):
    with pytest.raises(republish.NotConfirmed, match="no queue nowhere"):
        republish.republish(settings_for("sample", role="republish"), "nowhere")


def test_a_consumer_rebuilds_its_projection_from_a_republish(settings_for, bus, owned, role):
    things, _ = owned
    worker = role(settings_for("sample", role="work")).start().wait_ready()
    settings = settings_for("sample", role="republish")
    for _ in range(2):
        republish.republish(settings, "sample", kinds=[republish.STATE])
    rows = docstore.collection("seen")
    eventually(lambda: rows.count({"uid": {"$in": [f"project/{thing.name}" for thing in things]}, "times": 1}) == 12)
    assert worker.stop() == 0
