"""Role `run`: timers, erasures."""

import os
import threading
import time

from rapport.identity.v1.events_pb2 import SubjectErased

import docstore
from chassis.probe import Probe
from eventing import erasing, timers
from sample.handlers import note
from sample.store import Thing


@timers.on_timer("note")
def note_it(payload, timer):
    note("timer", timer.key)
    if payload.get("fail"):
        raise ValueError("no")


@timers.on_timer("slowly")
def note_slowly(payload, timer):
    note("timer", timer.key)
    time.sleep(payload["seconds"])


@timers.on_timer("held")
def note_held(payload, timer):
    note("timer", timer.key)
    while os.path.exists(payload["file"]):
        time.sleep(0.02)


@timers.on_timer("outside", external=True)
def outside(payload, timer):
    note("timer", timer.key)


def erase(customers):
    """Erases the things labelled with a customer's name."""
    return {"things": (Thing.rows().delete_many({"label": {"$in": customers}}).deleted_count, 0)}


def run(settings, stopping):
    erasing.QUIET_S, erasing.LEASE_S = 2.0, 2.0
    docstore.connect(settings)
    eraser = threading.Thread(target=erasing.loop, args=(settings, erase, SubjectErased, stopping))
    eraser.start()
    with Probe(settings) as probe:
        probe.ready()
        timers.loop(settings, stopping, lease_s=2.0)
    eraser.join()
