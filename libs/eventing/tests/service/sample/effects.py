"""Role `run`: timers."""

import os
import time

import docstore
from chassis.probe import Probe
from eventing import timers
from sample.handlers import note


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


def run(settings, stopping):
    docstore.connect(settings)
    with Probe(settings) as probe:
        probe.ready()
        timers.loop(settings, stopping, lease_s=2.0)
