"""Bulk changes: a batch is stored durably, applied by idempotent bulk writes, and only then tells its events.

The use case inserts a batch (`@command(SomeBatch)`) and answers. Role `run` calls `process`: it leases batches, has the
service apply them, and marks each done in the same update that releases its events. A crash anywhere leaves a batch
that somebody leases again, so applying must be idempotent.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar, Protocol, TypeVar

import pymongo.errors
from google.protobuf.message import Message
from mongoengine import IntField, StringField

from chassis import clock, errors, tenancy
from docstore import leases
from docstore.aggregate import Aggregate
from docstore.changes import Changes
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.errors import Conflict
from docstore.scope import platform_scope
from docstore.tenanted import platform_collection
from docstore.tracing import continued, current_traceparent

logger = logging.getLogger(__name__)

PENDING, APPLYING, DONE, FAILED = "PENDING", "APPLYING", "DONE", "FAILED"

_SWEEP_S = 1.0
_EXPIRY_SWEEP_S = 60.0
_LONGEST_PAUSE_S = 300.0


class Batch(Aggregate):
    """A bulk change on its way. Subclasses add the payload, and results such as counts, as fields."""

    meta: ClassVar[dict[str, Any]] = {
        "abstract": True,
        "indexes": [
            {"fields": [("state", 1), ("lease.until", 1), ("create_time", 1)], "platform": True},
            {"fields": ["expire_time"], "platform": True},
        ],
    }

    payload_fields: ClassVar[tuple[str, ...]] = ("payload",)
    """Fields that are dropped once the batch is done."""

    kept_for: ClassVar[timedelta] = timedelta(hours=24)
    """How long a done batch answers for itself and for repeats of its request."""

    max_attempts: ClassVar[int] = 10

    state: Any = StringField(required=True, choices=(PENDING, APPLYING, DONE, FAILED), default=PENDING)
    attempts: Any = IntField(default=0)
    error: Any = StringField()
    """Why the last attempt failed: the reason of a RapportError or the type of another exception."""
    finish_time: Any = InstantField()
    expire_time: Any = InstantField()
    traceparent: Any = StringField()

    def __init__(self, *args: Any, **values: Any) -> None:
        self.lease: Row | None = values.pop("lease", None)
        super().__init__(*args, **values)
        if not self.version and not self.traceparent:
            self.traceparent = current_traceparent()

    def write_guard(self) -> Row:
        """A leased batch is written only as long as nobody else has leased it."""
        return {"lease.token": self.lease["token"]} if self.lease else {}

    def leased(self) -> Row:
        """What `docstore.leases` needs to know. Raises RuntimeError for a batch that was not claimed."""
        if self.lease is None:
            raise RuntimeError(f"{self.name} was not claimed")
        return {"_id": self.id, "tenant": self.tenant, "lease": self.lease}


B = TypeVar("B", bound=Batch)
Apply = Callable[[B], Iterable[Message]]


class Stopping(Protocol):
    """Says when a loop shall end (`chassis.lifecycle.Stopping`, or a threading.Event)."""

    def is_set(self) -> bool:
        """True from the moment the process shall end."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for that moment, at most `timeout` seconds."""


def claim(cls: type[B], limit: int = 1, *, lease_s: float = 60.0, owner: str = "") -> list[B]:
    """Lease up to `limit` waiting batches of any tenant, oldest first, for `lease_s` seconds."""
    with platform_scope():
        stored = platform_collection(cls)
        due = {"state": {"$in": [PENDING, APPLYING]}, **leases.free()}
        order = [("lease.until", 1), ("create_time", 1)]
        found = [row["_id"] for row in stored.find(due, {"_id": 1}, sort=order, limit=limit)]
        if not found:
            return []
        lease = leases.new_lease(lease_s, owner)
        stored.update_many(
            {"_id": {"$in": found}, **due}, {"$set": {"lease": lease, "state": APPLYING}, "$inc": {"attempts": 1}}
        )
        rows = stored.find({"_id": {"$in": found}, "lease.token": lease["token"]}, cls.projection())
        return [cls.from_row(row) for row in rows]


def finish(batch: Batch, events: Iterable[Message] = ()) -> None:
    """Mark a claimed batch done, store its result fields, drop its payload and release its events: one update.

    Events may also have been emitted on the batch (with datasubjects). Call it in the batch's tenant. Raises Conflict
    when the lease was lost: whoever holds it now finishes the batch.
    """
    for event in events:
        batch.emit(event)
    for field in batch.payload_fields:
        setattr(batch, field, None)
    batch.state = DONE
    batch.error = None
    batch.finish_time = clock.real_now()
    batch.expire_time = batch.finish_time + batch.kept_for
    batch.save()


def process(
    cls: type[B], apply: Apply[B], stopping: Stopping, *, parallel: int = 4, lease_s: float = 60.0, owner: str = ""
) -> None:
    """Apply batches until `stopping`; the loop of role `run`. Returns when the batches in work are settled.

    `apply(batch)` runs in the batch's tenant and trace, in one of `parallel` threads, and returns the events to
    release; it may set result fields. When it raises, the batch is tried again after a growing pause, and parked as
    FAILED after `max_attempts`; trouble with the infrastructure does not count. Leases are renewed while it runs.
    """
    wake = threading.Event()
    watcher = threading.Thread(target=_watch, args=(cls, wake, stopping), name=f"{cls.resource}-watch", daemon=True)
    watcher.start()
    running: dict[Future[None], B] = {}
    renewed = swept = time.monotonic()
    with ThreadPoolExecutor(parallel, thread_name_prefix=cls.resource) as pool:
        while not stopping.is_set():
            wake.clear()
            running = {future: batch for future, batch in running.items() if not future.done()}
            try:
                for batch in (
                    claim(cls, parallel - len(running), lease_s=lease_s, owner=owner) if len(running) < parallel else ()
                ):
                    future = pool.submit(_attempt, batch, apply)
                    running[future] = batch
                    future.add_done_callback(lambda _: wake.set())
                if time.monotonic() - renewed > lease_s / 3:
                    renewed = time.monotonic()
                    _renew(cls, running.values(), lease_s)
                if time.monotonic() - swept > _EXPIRY_SWEEP_S:
                    swept = time.monotonic()
                    delete_expired(cls)
            except pymongo.errors.PyMongoError as error:
                logger.warning("batches of %s wait: %s", cls.resource, type(error).__name__)
                stopping.wait(_SWEEP_S)
            wake.wait(min(_SWEEP_S, lease_s / 3))
        while running := {future: batch for future, batch in running.items() if not future.done()}:
            wake.clear()
            _renew(cls, running.values(), lease_s)
            wake.wait(lease_s / 3)
    watcher.join()


def delete_expired(cls: type[Batch]) -> int:
    """Delete done batches whose time is over and whose events are out; returns how many."""
    over = {"state": DONE, "expire_time": {"$lte": clock.real_now()}, "outbox.0": {"$exists": False}}
    with platform_scope():
        return platform_collection(cls).delete_many(over).deleted_count


def retry(cls: type[Batch], uid: str) -> None:
    """Give a FAILED batch of the current tenant a new series of attempts. Raises NotFound."""
    batch = cls.get(uid)
    if batch.state == FAILED:
        batch.state, batch.attempts = PENDING, 0
        batch.save()


def _attempt(batch: Batch, apply: Apply[Any]) -> None:
    with (
        tenancy.service_context(batch.tenant, method=f"batches/{batch.resource}"),
        continued(batch.traceparent, f"apply {batch.resource}"),
    ):
        try:
            if batch.attempts > batch.max_attempts:
                raise errors.Internal("BATCH_CRASHES", "Every attempt ended with the death of its process.")
            finish(batch, apply(batch))
        except Conflict:
            logger.warning("lost the lease of %s: its work took longer than renewals came", batch.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch must be settled
            _settle(batch, error)


def _settle(batch: Batch, error: Exception) -> None:
    """Give the batch back, or park it; when even that fails its lease simply ends."""
    if isinstance(error, pymongo.errors.ConnectionFailure | errors.Unavailable):
        change: Row = {"$set": {"lease.until": clock.real_now() + timedelta(seconds=1)}, "$inc": {"attempts": -1}}
    else:
        reason = error.reason if isinstance(error, errors.RapportError) else type(error).__name__
        if batch.attempts >= batch.max_attempts:
            change = {"$set": {"state": FAILED, "error": reason, "lease.until": clock.real_now()}}
            logger.error("%s is parked after %d attempts: %s", batch.name, batch.attempts, reason, exc_info=error)
        else:
            pause = timedelta(seconds=min(2.0**batch.attempts, _LONGEST_PAUSE_S))
            change = {"$set": {"state": PENDING, "error": reason, "lease.until": clock.real_now() + pause}}
            logger.warning("%s failed at attempt %d: %s", batch.name, batch.attempts, reason, exc_info=error)
    try:
        batch.rows().update_one(leases.held(batch.leased()), change)
    except pymongo.errors.PyMongoError as failure:
        logger.warning("%s could not be given back: %s", batch.name, type(failure).__name__)


def _renew(cls: type[Batch], running: Iterable[Batch], lease_s: float) -> None:
    with platform_scope():
        for batch in running:
            leases.renew(platform_collection(cls), batch.leased(), lease_s)


def _watch(cls: type[Batch], wake: threading.Event, stopping: Stopping) -> None:
    """Wake the loop at every insert. Missed ones do not matter: the loop looks by itself once a second."""
    inserts: list[Row] = [{"$match": {"operationType": "insert"}}, {"$project": {"_id": 1}}]
    with platform_scope():
        changes = Changes(lambda: platform_collection(cls), inserts, stopping.wait)
        while not stopping.is_set():
            try:
                with changes:
                    while not stopping.is_set():
                        if changes.next() is not None:
                            wake.set()
            except pymongo.errors.PyMongoError as error:
                logger.warning("watching %s failed: %s", cls.resource, type(error).__name__)
                stopping.wait(_SWEEP_S)
