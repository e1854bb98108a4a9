"""Promises: made, changed, kept, taken back, and overdue when their time runs out."""

import logging

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import events_pb2, promise_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import Conflict, Row, due, masks
from sales import answers, inputs
from sales.store import Promise
from sales.store.promises import CANCELLED, KEPT, OPEN, OVERDUE
from sales.usecases import people

logger = logging.getLogger(__name__)

TEXT_MAX = 2000
LEASE_S = 30.0
_AT_ONCE = 100


@docstore.command(Promise)
def create(message: promise_pb2.Promise) -> Promise:
    """Notes a promise. Raises InvalidArgument, FailedPrecondition CUSTOMER_ERASED."""
    promise = Promise.new(customer=people.customer(message.customer, "promise.customer"))
    _assign(promise, message)
    promise.due_time = inputs.future(message.due_time, "promise.due_time")
    promise.owner = promise.owner or inputs.caller() or None
    promise.create_time = clock.now()
    promise.move(OPEN)
    promise.tell(events_pb2.PromiseMade)
    return promise.insert()


@docstore.command(Promise)
def update(message: promise_pb2.Promise, mask: FieldMask) -> Promise:
    """Changes what the mask names. Raises NotFound, Aborted, InvalidArgument, FailedPrecondition PROMISE_CLOSED."""
    promise = Promise.get(fields.uid(message.name))
    wanted = answers.promise(promise)
    if changed := masks.apply(mask, message, wanted):
        _require_unsettled(promise)
        _assign(promise, wanted)
        if "due_time" in changed:
            promise.due_time = inputs.future(wanted.due_time, "promise.due_time")
            promise.move(OPEN)
        promise.tell(events_pb2.PromiseUpdated)
    return promise.save(message.etag or None)


def keep(uid: str, etag: str) -> Promise:
    """It was kept. Raises NotFound, Aborted, FailedPrecondition PROMISE_CLOSED for one that was taken back."""
    return _end(uid, KEPT, etag)


def cancel(uid: str, etag: str) -> Promise:
    """It is taken back. Raises NotFound, Aborted, FailedPrecondition PROMISE_CLOSED for one that was kept."""
    return _end(uid, CANCELLED, etag)


@docstore.command(Promise)
def _end(uid: str, state: str, etag: str) -> Promise:
    promise = Promise.get(uid)
    if promise.state != state:
        _require_unsettled(promise)
        promise.move(state)
        promise.end_time = clock.now()
        promise.tell(events_pb2.PromiseUpdated)
    return promise.save(etag or None)


def miss_due(owner: str) -> int:
    """Notes that promises of all tenants were not kept in time; returns how many it looked at."""
    return due.work(Promise, _AT_ONCE, LEASE_S, owner, "missPromises", _miss)


def _miss(row: Row) -> None:
    promise = Promise.from_row(row)
    promise.move(OVERDUE)
    promise.tell(events_pb2.PromiseOverdue)
    try:
        promise.save()
    except Conflict:
        logger.info("a promise was changed just as its time ran out; looked at again if it is still due")


def _require_unsettled(promise: Promise) -> None:
    if promise.state in (KEPT, CANCELLED):
        raise FailedPrecondition(
            "PROMISE_CLOSED",
            f"{promise.name} was {'kept' if promise.state == KEPT else 'taken back'}.",
            metadata={"resource": promise.name, "state": promise.state},
        )


def _assign(promise: Promise, message: promise_pb2.Promise) -> None:
    promise.subject = inputs.subject(message.subject, "promise.subject") or None
    promise.text = inputs.text(message.text, "promise.text", TEXT_MAX, required=True)
    promise.owner = inputs.principal(message.owner, "promise.owner") or None
