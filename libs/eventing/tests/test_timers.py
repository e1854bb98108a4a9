"""Durable timers against a real database; two loops compete."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sample.effects  # noqa: F401 - registers the handlers

import docstore
from chassis import clock
from chassis.lifecycle import Stopping
from eventing import timers
from testkit import eventually

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


@pytest.fixture
def loops(database):
    """Two loops, as two processes would run them; yields what ends them, after the timers that are firing."""
    stopping = Stopping()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(timers.loop, database, stopping, lease_s=2.0) for _ in range(2)]

        def end():
            stopping.set()
            for each in running:
                each.result()

        yield end
        end()


@pytest.fixture
def travel(database, tmp_path):
    """Moves the business clock."""
    offset = tmp_path / "clock.json"

    def ahead(**delta):
        (tmp_path / "new").write_text(json.dumps({"offset_seconds": timedelta(**delta).total_seconds()}))
        os.replace(tmp_path / "new", offset)
        clock.configure(database.model_copy(update={"clock_file": offset}))

    yield ahead
    clock.configure(database)


def row(key):
    return docstore.collection("timers").find_one({"uid": key})


def fired(key):
    found = docstore.collection("seen").find_one({"uid": f"timer/{key}"})
    return found["times"] if found else 0


def test_competing_loops_fire_each_timer_once(loops):
    keys = [f"many/{number}" for number in range(150)]
    for key in keys:
        timers.schedule(key, clock.now(), "note")
        timers.schedule(key, row(key)["due"], "note")
    eventually(lambda: [fired(key) for key in keys] == [1] * 150)
    eventually(lambda: all(row(key)["state"] == "FIRED" for key in keys))
    timers.schedule(keys[0], clock.now(), "note")
    assert row(keys[0])["state"] == "FIRED"


def test_a_timer_waits_for_the_business_clock(loops, travel):
    timers.schedule("later", clock.now() + timedelta(days=3), "note")
    timers.schedule("now", clock.now(), "note")
    eventually(lambda: fired("now") == 1)
    assert fired("later") == 0
    travel(days=3, minutes=1)
    eventually(lambda: fired("later") == 1)


def test_a_cancelled_or_replanned_timer_does_not_fire_as_it_was_planned(loops, travel):
    soon = clock.now() + timedelta(hours=1)
    timers.schedule("cancelled", soon, "note")
    timers.schedule("moved", soon, "note")
    timers.schedule("moved", soon + timedelta(days=1), "note")
    timers.schedule("kept", soon, "note")
    assert timers.cancel("cancelled")
    assert not timers.cancel("cancelled")
    travel(hours=2)
    eventually(lambda: fired("kept") == 1)
    loops()
    assert (fired("cancelled"), fired("moved")) == (0, 0)
    assert not timers.cancel("kept")


def test_planning_anew_while_it_fires_undoes_the_firing(loops, tmp_path):
    held = tmp_path / "held"
    held.touch()
    timers.schedule("raced", clock.now(), "held", {"file": str(held)})
    eventually(lambda: (row("raced").get("lease") or {}).get("token"))
    timers.schedule("raced", clock.now() + timedelta(days=1), "note")
    assert row("raced")["revision"] == 2
    held.unlink()
    loops()
    assert (row("raced")["state"], fired("raced")) == ("PENDING", 0)


def test_a_timer_in_a_transaction_that_fails_is_not_planned():
    def fail():
        timers.schedule("never", clock.now(), "note")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        docstore.in_transaction(fail)
    assert row("never") is None


def test_failures_are_counted_and_parked(loops, monkeypatch):
    monkeypatch.setattr(timers, "MAX_ATTEMPTS", 2)
    timers.schedule("bad", clock.now(), "note", {"fail": True})
    eventually(lambda: row("bad")["state"] == "PARKED")
    assert (row("bad")["attempts"], row("bad")["reason"]) == (2, "ValueError")
    assert fired("bad") == 0
    timers.schedule("bad", clock.now(), "note", {})
    eventually(lambda: fired("bad") == 1)


def test_kinds_nobody_here_knows_wait(loops):
    timers.schedule("strange", clock.now(), "unknown-kind")
    timers.schedule("after", clock.now(), "note")
    eventually(lambda: fired("after") == 1)
    assert row("strange")["state"] == "PENDING"
