"""Handlers whose behaviour is ordered by the event: `label` is the customer's display name or a tracked event's name.

fail / flaky:<n> / refuse / slow:<seconds> / hold:<file>, until that is gone / away:<file>, as long as that is there /
crash
"""

import os
import signal
import time
from pathlib import Path

from rapport.access.v1 import events_pb2 as access_events
from rapport.consent.v1 import events_pb2 as consent_events
from rapport.identity.v1 import events_pb2

from chassis import clock, errors
from eventing import erasing
from eventing.subscribe import PermanentFailure, subscribe
from sample.store import Seen


def note(handler, what, **fields):
    Seen.rows().update_one(
        {"uid": f"{handler}/{what}"}, {"$inc": {"times": 1}, "$set": {"at": clock.real_now(), **fields}}, upsert=True
    )


def behave(order, envelope):
    name, _, value = order.partition(":")
    if name == "fail":
        raise ValueError("anna@example.com cannot be handled")
    if name == "refuse":
        raise PermanentFailure("SAMPLE_REFUSED")
    if name == "notfound":
        raise errors.NotFound("NOT_FOUND", "things/1 does not exist.")
    if name == "flaky" and envelope.attempt < int(value):
        raise ValueError("not yet")
    if name == "slow":
        time.sleep(float(value))
    if name == "away" and os.path.exists(value):
        raise errors.Unavailable("OUTBOX_FULL", "later")
    if name == "hold":
        Path(f"{value}.begun").touch()
        while os.path.exists(value):
            time.sleep(0.02)
    if name == "crash":
        os.kill(os.getpid(), signal.SIGKILL)


class Handlers:
    @subscribe(events_pb2.CustomerCreated)
    @subscribe(events_pb2.CustomerUpdated)
    @subscribe(events_pb2.CustomerDeleted)
    def project(self, event, envelope):
        note("project", envelope.subject, label=event.customer.display_name, sequence=list(envelope.sequence))
        behave(event.customer.display_name, envelope)

    @subscribe(events_pb2.CustomerUpdated)
    def also_updated(self, event, envelope):
        note("also_updated", envelope.subject, label=event.customer.display_name, sequence=list(envelope.sequence))
        behave(event.customer.given_name, envelope)

    @subscribe(events_pb2.EventsTracked)
    def collect(self, event, envelope):
        note("collect", envelope.id)
        behave(event.events[0].event if event.events else "", envelope)

    @subscribe(consent_events.ConsentWithdrawn)
    def withdraw(self, event, envelope):
        note("withdraw", envelope.subject)

    @subscribe(consent_events.ConsentGranted, some_erased=True)
    def grant(self, event, envelope):
        note("grant", envelope.subject, label=",".join(sorted(envelope.erased)))

    @subscribe(consent_events.ErasureRequested, erased_too=True)
    def erase(self, event, envelope):
        erasing.note(event, envelope)

    @subscribe(access_events.TenantUpdated, history=True)
    def remember(self, event, envelope):
        note("remember", f"{envelope.subject}/{envelope.sequence[0]}")
