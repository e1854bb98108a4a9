"""Durable timers: what is due later survives every crash, fires once, and can be cancelled.

    timers.schedule(f"sla/{ticket.uid}", due, "sla-warning", {"ticket": ticket.name})

    @timers.on_timer("sla-warning")
    def warn(payload: dict[str, Any], timer: Timer) -> None: ...

The business clock decides when a timer is due, the real clock how long a process may hold it. A handler changes state
in the same transaction that marks its timer fired: exactly once. A handler marked `external` acts outside the
platform: at least once, with `timer.key` as the stable key. Fired timers are remembered for 30 days.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pymongo.errors
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import docstore
from chassis import clock, metric_names, telemetry, tenancy
from chassis.errors import RapportError
from chassis.lifecycle import Stopping
from chassis.settings import Settings
from docstore import leases
from docstore.outbox import is_person
from eventing.records import TimerRecord
from eventing.subscribe import PermanentFailure
from eventing.verdicts import is_infrastructure

log = logging.getLogger(__name__)

Row = dict[str, Any]

MAX_ATTEMPTS = 10
"""Failures after which a timer is parked."""

_LONGEST_POLL_S = 1.0
_LONGEST_PAUSE_S = 300.0
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Timer:
    """The timer that fires. key: unique in the tenant and stable over repeats. attempt: failures before this one."""

    key: str
    kind: str
    due: datetime
    attempt: int


TimerFunction = Callable[[dict[str, Any], Timer], None]


@dataclass(frozen=True, slots=True)
class _Handler:
    function: TimerFunction
    external: bool


_handlers: dict[str, _Handler] = {}


def on_timer(kind: str, *, external: bool = False) -> Callable[[TimerFunction], TimerFunction]:
    """Makes a function `(payload, timer)` the handler of a kind. Raises ValueError when the kind has one already."""

    def register(function: TimerFunction) -> TimerFunction:
        if kind in _handlers and _handlers[kind].function is not function:
            raise ValueError(f"timers of kind {kind} have a handler already")
        _handlers[kind] = _Handler(function, external)
        return function

    return register


def schedule(key: str, due: datetime, kind: str, payload: dict[str, Any] | None = None) -> None:
    """Plans a timer of the current tenant; joins the running transaction.

    Repeating it changes nothing. A timer that is waiting (or parked) under the key gets the new plan; one that has
    fired stays fired: use a key with the version of what it is about. The payload is a BSON-able dict of ids and
    small values. Raises ValueError for a `due` without a time zone.
    """
    if due.tzinfo is None:
        raise ValueError("a timer's due time needs a time zone")
    rows = TimerRecord.rows()
    plan: Row = {"due": docstore.whole_milliseconds(due), "kind": kind, "payload": payload or {}}
    plan["datasubjects"] = sorted(set(_people(plan["payload"])))
    found = rows.find_one({"uid": key})
    if found is None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        new = {**plan, "state": "PENDING", "revision": 1, "attempts": 0, "traceparent": carrier.get("traceparent", "")}
        rows.update_one({"uid": key}, {"$setOnInsert": new}, upsert=True)
    elif any(found.get(name) != value for name, value in plan.items()):
        again = {"$set": {**plan, "state": "PENDING", "attempts": 0}, "$inc": {"revision": 1}}
        rows.update_one({"uid": key, "state": {"$ne": "FIRED"}}, again | {"$unset": {"end_time": "", "reason": ""}})


def _people(value: Any) -> Iterator[str]:
    """The customers that a payload names, however deep."""
    if isinstance(value, str) and is_person(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _people(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _people(item)


def cancel(key: str) -> bool:
    """Withdraws a timer of the current tenant; joins the running transaction. False when there is none to withdraw."""
    return TimerRecord.rows().delete_one({"uid": key, "state": {"$ne": "FIRED"}}).deleted_count == 1


def loop(settings: Settings, stopping: Stopping, *, threads: int = 4, lease_s: float = 30.0) -> None:
    """Fires due timers of all tenants until asked to stop, then ends after the running ones.

    Needs `docstore.connect` and imported handlers. Timers of kinds unknown here wait for a process that knows them.
    lease_s: how long the timers of a killed process wait for another; the leases of external handlers are renewed.
    """
    delay = [0.0]
    telemetry.gauge(metric_names.TIMER_DELAY, lambda: [(delay[0], {})])
    slots = threading.BoundedSemaphore(threads)
    running = _Running(lease_s)
    renewing = threading.Thread(target=running.renew_until, args=(stopping,), name="timer-leases", daemon=True)
    renewing.start()
    failures = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="timers") as pool:
        while not stopping.is_set():
            if not slots.acquire(timeout=1.0):
                continue
            try:
                row = _claim(lease_s, settings.instance)
                failures = 0
            except pymongo.errors.PyMongoError as error:
                slots.release()
                failures += 1
                log.warning("the database cannot be used (%s), trying again", type(error).__name__)
                stopping.wait(min(5.0, 0.2 * 2**failures))
                continue
            if row is None:
                slots.release()
                delay[0] = 0.0
                stopping.wait(_until_next())
                continue
            delay[0] = (clock.now() - row["due"]).total_seconds()
            if _handlers[row["kind"]].external:
                # A renewal would conflict with the end of a transaction, which must be shorter than a lease anyway.
                running.add(row)
            pool.submit(_fire_claimed, row, running, slots)


class _Running:
    """The timers that fire in this process; keeps their leases."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._rows: dict[str, Row] = {}
        self._lock = threading.Lock()

    def add(self, row: Row) -> None:
        """Keeps the lease of a claimed timer from now on."""
        with self._lock:
            self._rows[row["_id"]] = row

    def remove(self, row: Row) -> None:
        """Lets the lease go."""
        with self._lock:
            self._rows.pop(row["_id"], None)

    def renew_until(self, stopping: Stopping) -> None:
        """Prolongs the leases every third of their time, until told to stop and nothing fires any more."""
        while not stopping.wait(self._lease_s / 3) or self._rows:
            if stopping.is_set():
                time.sleep(self._lease_s / 3)
            with self._lock:
                rows = list(self._rows.values())
            for row in rows:
                try:
                    with docstore.platform_scope():
                        leases.renew(docstore.platform_collection(TimerRecord), row, self._lease_s)
                except pymongo.errors.PyMongoError as error:
                    log.warning("a timer's lease was not renewed (%s)", type(error).__name__)


def _due() -> Row:
    return {"state": "PENDING", "kind": {"$in": list(_handlers)}, "due": {"$lte": clock.now()}}


def _claim(lease_s: float, owner: str) -> Row | None:
    with docstore.platform_scope():
        return leases.claim(docstore.platform_collection(TimerRecord), _due(), lease_s, owner, sort=[("due", 1)])


def _until_next() -> float:
    """Seconds to sleep; short, for another process may schedule or the business clock may move."""
    waiting = {"state": "PENDING", "due": {"$gt": clock.now()}}
    try:
        with docstore.platform_scope():
            row = docstore.platform_collection(TimerRecord).find_one(waiting, {"due": 1}, sort=[("due", 1)])
    except pymongo.errors.PyMongoError:
        return _LONGEST_POLL_S
    wait = (row["due"] - clock.now()).total_seconds() if row else _LONGEST_POLL_S
    return min(_LONGEST_POLL_S, max(0.0, wait))


def _fire_claimed(row: Row, running: _Running, slots: threading.BoundedSemaphore) -> None:
    try:
        outcome = _fire(row)
        labels = {"rapport.timer.kind": row["kind"], "rapport.timer.outcome": outcome}
        telemetry.counter(metric_names.TIMERS_FIRED).add(1, labels)
    except pymongo.errors.PyMongoError as error:
        log.warning("a timer's end was not written (%s): it fires again", type(error).__name__)
    finally:
        running.remove(row)
        slots.release()


def _fire(row: Row) -> str:
    handler = _handlers[row["kind"]]
    timer = Timer(row["uid"], row["kind"], row["due"], row["attempts"])

    def finish() -> None:
        fired = {"$set": {"state": "FIRED", "end_time": clock.real_now()}, "$unset": {"lease": ""}}
        leases.change(TimerRecord.rows(), row, fired, state="PENDING", revision=row["revision"])

    def once() -> None:
        handler.function(dict(row["payload"]), timer)
        # Last, so that the timer is locked only for the end of the transaction.
        finish()

    parent = _propagator.extract({"traceparent": row.get("traceparent") or ""})
    with (
        tenancy.service_context(row["tenant"], method=f"timers/{row['kind']}"),
        telemetry.tracer().start_as_current_span(
            f"timer {row['kind']}",
            context=parent,
            kind=SpanKind.INTERNAL,
            attributes={"rapport.tenant": row["tenant"]},
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
    ):
        try:
            if handler.external:
                handler.function(dict(row["payload"]), timer)
                finish()
            else:
                docstore.in_transaction(once)
        except leases.LeaseLost:
            log.info("a timer of kind %s was withdrawn or planned anew while it fired", row["kind"])
            return "withdrawn"
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt
            span.set_status(StatusCode.ERROR, type(error).__name__)
            return _failed(row, error)
    return "fired"


def _failed(row: Row, error: Exception) -> str:
    """Plans the next attempt, or parks the timer."""
    held = {**leases.held(row), "revision": row["revision"]}
    if is_infrastructure(error):
        log.warning("a timer of kind %s waits: the database cannot be used (%s)", row["kind"], type(error).__name__)
        leases.release(TimerRecord.rows(), row, pause_s=2.0)
        return "held"
    attempts = row["attempts"] + 1
    reason = error.reason if isinstance(error, PermanentFailure | RapportError) else type(error).__name__
    log.warning("a timer of kind %s failed (attempt %d)", row["kind"], attempts, exc_info=error)
    if isinstance(error, PermanentFailure) or attempts >= MAX_ATTEMPTS:
        parked = {"state": "PARKED", "attempts": attempts, "reason": reason, "end_time": clock.real_now()}
        TimerRecord.rows().update_one(held, {"$set": parked, "$unset": {"lease": ""}})
        log.error("a timer of kind %s is parked: %s", row["kind"], reason)
        return "parked"
    TimerRecord.rows().update_one(held, {"$set": {"attempts": attempts, "reason": reason}})
    leases.release(TimerRecord.rows(), row, pause_s=min(_LONGEST_PAUSE_S, 1.0 * 2**attempts))
    return "failed"
