"""Erasing a person everywhere (GDPR article 17): a service's part of the erasure saga.

Consent asks with `ErasureRequested`, every service answers with its own `SubjectErased`:

    # handlers.py: tombstones and the task, in the handler's transaction
    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event, envelope):
        erasing.note(event, envelope)

    # runner.py: a thread of its own, or `step` from a loop that is there already
    erasing.loop(settings, usecases.erasing.erase, events_pb2.SubjectErased, stopping)

    # use cases that take a customer's name from a caller, before they write
    erasing.require_not_erased(customer)

`erase(customers)` runs in the tenant, outside transactions, and deletes or anonymizes everything the service holds of
the customers (resource names) by idempotent bulk operations, payloads of batches included; it returns the counts by
kind, `{"orders": (removed, anonymized)}`. A service that learns that the person has more customers than asked about
returns `Erased(items, customers)`: they are erased as well, and the answer names them, so that everybody erases them.

What eventing keeps of the people is swept here and need not be touched: the fact log, unsent events, dead letters,
timers. Each request is swept twice: the second sweep begins once handlers and calls that were under way before the
tombstones have ended; work of the role `run` that may take longer looks at the tombstones itself before it writes. Then
the answer is released in the update that ends the task: exactly one for each round, whatever dies when. A sweep's
counts are stored with its end; the answer says so when one was cut short and they are minima.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pymongo.errors
from google.protobuf.message import Message
from rapport.consent.v1 import erasure_answer_pb2, events_pb2

import docstore
from chassis import clock, errors, tenancy
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError, Settings
from docstore import due, leases
from docstore.tracing import continued
from eventing import sweeping, tombstones
from eventing.delivery import HANDLER_LIMIT_S
from eventing.envelope import Envelope
from eventing.records import ErasureTask

log = logging.getLogger(__name__)

Items = Mapping[str, tuple[int, int]]
"""Kind in the plural, such as `timelineEntries` -> (removed, anonymized)."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What a service's `erase` did. customers: further customers of the same person that it found."""

    items: Items
    customers: frozenset[str] = field(default_factory=frozenset)


Erase = Callable[[list[str]], Erased | Items]

CALL_LIMIT_S = 30.0
"""The longest deadline of a call (`chassis.interceptors.DEADLINE_MAX_S`; workers must not import gRPC)."""

QUIET_S = max(HANDLER_LIMIT_S, CALL_LIMIT_S) + 5.0
"""From the first sweep to the second: whatever read the tombstones before they were there has ended by then."""

LEASE_S = 60.0
"""How long a task waits for another process when one was killed while sweeping. Two that sweep do no harm."""

_INTERVAL_S = 2.0
_AT_ONCE = 10
_LONGEST_PAUSE_S = 300.0
_SWEEPS = 2


def require_not_erased(*customers: str) -> None:
    """Raises FailedPrecondition CUSTOMER_ERASED when one of the customers (resource names) has been erased."""
    found = sorted(tombstones.erased(customers))
    if found:
        raise errors.FailedPrecondition(
            "CUSTOMER_ERASED",
            f"{found[0]} has been erased on request; nothing can be kept about this customer any more.",
            metadata={"resource": found[0]},
            preconditions=[("NOT_ERASED", found[0], "The customer has not been erased.")],
        )


def note(event: events_pb2.ErasureRequested, envelope: Envelope) -> None:
    """Closes the door behind the person and leaves the task to the role `run`; call it in the handler.

    From the commit on late events are dropped. A request that comes again, with more customers or not, is carried
    out again. Raises ValueError for an event that names no request or nobody.
    """
    if not event.erasure_request or not event.customers:
        raise ValueError("an erasure names its request and its customers")
    tombstones.erase(event.customers)
    uid = event.erasure_request.rpartition("/")[2]
    if ErasureTask.rows().find_one({"uid": uid}, {"_id": 1}) is None:
        ErasureTask.new(
            uid=uid,
            erasure_request=event.erasure_request,
            customers=list(dict.fromkeys(event.customers)),
            round=1,
            traceparent=envelope.traceparent,
            due=clock.now(),
        ).insert()
    else:
        # Not `save`: whoever is sweeping for the round before counts into the same document.
        ErasureTask.rows().update_one({"uid": uid}, _next_round(event.customers))


def loop(settings: Settings, erase: Erase, answer_class: type[Message], stopping: Stopping) -> None:
    """Carries out the service's erasures until asked to stop; for a thread of role `run`."""
    failures = 0
    while not stopping.wait(min(_INTERVAL_S * 2**failures, 5.0)):
        try:
            step(settings, erase, answer_class)
            failures = 0
        except pymongo.errors.PyMongoError as error:
            failures += 1
            log.warning("erasures wait: the database cannot be used (%s)", type(error).__name__)


def step(settings: Settings, erase: Erase, answer_class: type[Message]) -> int:
    """Takes up what is due, of all tenants; returns how many tasks. Processes share the work.

    answer_class: the service's `SubjectErased`. A task that fails is tried again after a growing pause, the others go
    on. Raises ConfigurationError without a broker's address and pymongo's errors when nothing could be claimed.
    """
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: an erasure reaches the dead letters too")
    count = 0
    for tenant, rows in due.claim(ErasureTask, _AT_ONCE, LEASE_S, settings.instance):
        with tenancy.service_context(tenant, f"services/{settings.service}", method="erasing"):
            for row in rows:
                count += 1
                _attempt(settings, row, erase, answer_class)
    return count


def _attempt(settings: Settings, row: docstore.Row, erase: Erase, answer_class: type[Message]) -> None:
    try:
        with continued(row.get("traceparent"), "erase"):
            pause_s = _advance(settings, ErasureTask.from_row(row), erase, answer_class)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks go on and this one is tried again
        attempts = row.get("attempts", 0) + 1
        # Never the text: it may quote what was to be erased.
        log.warning("%s failed at attempt %d: %s", row["erasure_request"], attempts, _place(error))
        pause_s = min(2.0**attempts, _LONGEST_PAUSE_S)
        ErasureTask.rows().update_one(leases.held(row), {"$set": {"attempts": attempts}})
    leases.release(ErasureTask.rows(), row, pause_s=pause_s)


def _advance(settings: Settings, task: ErasureTask, erase: Erase, answer_class: type[Message]) -> float:
    """Does what can be done of a claimed task now; returns after how many seconds to go on."""
    while task.sweeps < _SWEEPS:
        # On the real clock: nobody can move it, and handlers and calls run on it.
        if task.quiet_from is not None:
            wait_s = QUIET_S - (clock.real_now() - task.quiet_from).total_seconds()
            if wait_s > 0:
                return float(wait_s)
        _sweep(settings, task, erase)
        found = ErasureTask.rows().find_one(leases.held(_leased(task)), ErasureTask.projection())
        if found is None:
            return 0.0  # Somebody else goes on.
        task = ErasureTask.from_row(found)
    _answer(task, answer_class)
    return 0.0


def _sweep(settings: Settings, task: ErasureTask, erase: Erase) -> None:
    """One sweep, stored with its counts in one update. Cut short, it is done again, and the answer says so."""
    began, customers = clock.real_now(), list(task.customers)
    rows = ErasureTask.rows()
    again = {"interrupted": True} if task.sweeping else {}
    rows.update_one({"uid": task.uid}, {"$set": {"sweeping": True, **again}})
    outcome = erase(customers)
    mine = outcome if isinstance(outcome, Erased) else Erased(outcome)
    counted = {
        f"items.{kind}.{name}": number
        for items in (mine.items, sweeping.sweep(settings, frozenset(customers)))
        for kind, counts in items.items()
        for name, number in zip(("removed", "anonymized"), counts, strict=True)
    }
    further = mine.customers - set(customers)
    if further:
        tombstones.erase(further)
        update = _next_round(further)
    else:
        first = {"quiet_from": began} if task.sweeps == 0 else {}
        update = {"$set": {"sweeps": task.sweeps + 1, "attempts": 0, **first}, "$inc": {"version": 1}}
    update["$set"]["sweeping"] = False
    update["$inc"] |= counted
    this = {"uid": task.uid, "round": task.round, "sweeps": task.sweeps}
    if not rows.update_one(this, update).matched_count:
        # Asked again meanwhile, or swept by another process too: what was removed here still counts.
        rows.update_one({"uid": task.uid}, {"$inc": {"version": 1, **counted}})


def _next_round(customers: Iterable[str]) -> dict[str, Any]:
    """The update that starts the sweeps anew for more customers; the counts go on."""
    return {
        "$addToSet": {"customers": {"$each": sorted(customers)}},
        "$set": {"sweeps": 0, "attempts": 0, "due": clock.now()},
        "$unset": {"quiet_from": ""},
        "$inc": {"round": 1, "version": 1},
    }


def _answer(task: ErasureTask, answer_class: type[Message]) -> None:
    """Tells consent, and is done with the task: one update. Raises docstore.Conflict when asked again meanwhile.

    The counts are those of all rounds, so that the answer with the highest sequence holds, whichever comes last.
    """
    answer = erasure_answer_pb2.ErasureAnswer(erasure_request=task.erasure_request, customers=sorted(task.customers))
    answer.erase_time.FromDatetime(clock.now())
    answer.interrupted = bool(task.interrupted)
    for kind, counts in sorted(task.items.items()):
        if any(counts.values()):
            answer.items.add(kind=kind, removed=counts["removed"], anonymized=counts["anonymized"])
    task.emit(answer_class(answer=answer), task.customers)
    task.due = None
    task.save()


def _leased(task: ErasureTask) -> docstore.Row:
    return {"_id": task.id, "tenant": task.tenant, "lease": task.lease}


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__qualname__ + (f" at {frames[-1].name}:{frames[-1].lineno}" if frames else "")
