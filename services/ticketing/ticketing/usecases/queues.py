"""Queues: written, changed, deleted; tickets that wait follow within a moment."""

import functools
from datetime import datetime, timedelta

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.ticketing.v1 import events_pb2, queue_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import AlreadyExists, FailedPrecondition
from docstore import masks, whole_milliseconds
from ticketing import answers, inputs
from ticketing.store import Queue, Ticket
from ticketing.store.queues import DEFAULT, QUEUES_MAX
from ticketing.store.tickets import NEW
from ticketing.usecases import lifecycle, routing

FOLLOWED_FOR = timedelta(seconds=2 * routing.KEPT_S)
"""How long after a change of a queue tickets may still be put by the rules before it."""
_BATCH = 200


@docstore.command(Queue)
def create(uid: str, message: queue_pb2.Queue) -> Queue:
    """Creates a queue. Raises AlreadyExists for a taken id, InvalidArgument, FailedPrecondition TOO_MANY_QUEUES."""
    if uid == DEFAULT:
        raise AlreadyExists(
            "ALREADY_EXISTS", "queues/default is there by itself.", metadata={"resource": "queues/default"}
        )
    if Queue.rows().count({"delete_time": None}, limit=QUEUES_MAX) >= QUEUES_MAX:
        raise FailedPrecondition("TOO_MANY_QUEUES", f"There are {QUEUES_MAX} queues; delete one first.")
    queue = Queue.new(uid=uid)
    _assign(queue, message)
    created = queue.insert()
    routing.rules.forget()
    return created


@docstore.command(Queue)
def update(message: queue_pb2.Queue, mask: FieldMask) -> Queue:
    """Changes what the mask names, under its etag if it has one. Raises NotFound, Aborted, InvalidArgument."""
    queue = Queue.named(fields.uid(message.name))
    wanted = answers.queue(queue)
    if masks.apply(mask, message, wanted):
        _assign(queue, wanted)
    saved = queue.save(message.etag or None) if queue.version else queue.insert()
    routing.rules.forget()
    return saved


def delete(uid: str, etag: str) -> Empty:
    """Deletes a queue; it is gone for good when its tickets wait elsewhere. Raises NotFound, Aborted,
    FailedPrecondition DEFAULT_QUEUE.
    """
    if uid == DEFAULT:
        raise FailedPrecondition(
            "DEFAULT_QUEUE", "The default queue takes what fits no other one.", metadata={"resource": "queues/default"}
        )
    done = _delete(uid, etag)
    routing.rules.forget()
    return done


@docstore.command(None, replay=Empty.FromString)
def _delete(uid: str, etag: str) -> Empty:
    queue = Queue.get(uid)
    queue.due = clock.now()
    queue.soft_delete(etag or None)
    return Empty()


def reroute() -> None:
    """Puts all waiting tickets of the current tenant into queues anew."""
    routing.rules.forget()
    last: str | None = ""
    while last is not None:
        last = docstore.in_transaction(functools.partial(_reroute_batch, last))


def purge_deleted(uid: str) -> None:
    """Removes a deleted queue for good; its tickets wait elsewhere by now."""
    found = Queue.get_many([uid], deleted=True).get(uid)
    if found is not None and found.delete_time is not None:
        found.purge()


def _reroute_batch(after: str) -> str | None:
    """Moves up to _BATCH waiting tickets; returns the uid of the last one looked at, None when there are no more."""
    rows = list(
        Ticket.rows().find(
            {"state": NEW, "_id": {"$gt": Ticket.key(after)}}, {"uid": 1}, sort=[("_id", 1)], limit=_BATCH
        )
    )
    now = whole_milliseconds(clock.now())
    found = Ticket.get_many(row["uid"] for row in rows)
    Ticket.save_many(ticket for ticket in found.values() if _moves(ticket, now))
    return rows[-1]["uid"] if len(rows) == _BATCH else None


def _moves(ticket: Ticket, now: datetime) -> bool:
    before = (ticket.queue, ticket.need)
    routing.rules.get().route(ticket)
    if (ticket.queue, ticket.need) == before:
        return False
    lifecycle.conclude(ticket, now, events_pb2.TicketUpdated())
    return True


def _assign(queue: Queue, message: queue_pb2.Queue) -> None:
    queue.display_name = fields.display_name(message.display_name, "queue.display_name")
    queue.skills = inputs.skills(message.required_skills, inputs.TICKET_SKILLS_MAX, "queue.required_skills")
    if queue.uid != DEFAULT:
        queue.filter = inputs.filter(message.filter, "queue.filter") or None
        queue.order = inputs.order(message.order, "queue.order")
    queue.due = clock.now()
