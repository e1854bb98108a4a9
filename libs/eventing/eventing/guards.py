"""Whether a handler still has an event to handle: asked and noted in one write, in the handler's own transaction.

FACT events leave a row per event id and handler. STATE events share one row per subject and state with the highest
sequence seen; it also names the handlers that have handled that very sequence, so that a service may have several
handlers of one type, and a retry runs only the unfinished ones.
"""

from collections.abc import Iterable

import docstore
from chassis import clock
from chassis.consistency import Written
from docstore.connection import Row
from eventing.envelope import Envelope
from eventing.records import HandledEvent, StateGuard
from eventing.subscribe import Subscription


def take(subscription: Subscription, envelope: Envelope) -> bool:
    """Takes the guard inside the handler's transaction; False when the handler has nothing to do."""
    if subscription.state_of and not subscription.history:
        return _advance_state(subscription, envelope)
    key = _key(subscription, envelope.id, envelope.subject, envelope.sequence[0])
    noted = docstore.collection(HandledEvent).update_one(
        {"uid": key}, {"$setOnInsert": {"handle_time": clock.real_now()}}, upsert=True
    )
    return noted.upserted_id is not None


def _advance_state(subscription: Subscription, envelope: Envelope) -> bool:
    mine, method = list(envelope.sequence), subscription.method
    newer = {"$gt": [mine, {"$ifNull": ["$sequence", []]}]}
    also = {"$cond": [{"$eq": [mine, "$sequence"]}, {"$setUnion": ["$handlers", [method]]}, "$handlers"]}
    before = docstore.collection(StateGuard).find_one_and_update(
        {"uid": _state_key(subscription, envelope.subject)},
        [
            {
                "$set": {
                    "sequence": {"$cond": [newer, mine, "$sequence"]},
                    "handlers": {"$cond": [newer, [method], also]},
                }
            }
        ],
        upsert=True,
        after=False,
    )
    if before is None:
        return True
    highest = tuple(before["sequence"])
    return envelope.sequence > highest or (envelope.sequence == highest and method not in before["handlers"])


def unhandled(events: Iterable[tuple[Subscription, Written]]) -> list[tuple[Subscription, Written]]:
    """Which of these the current tenant's handlers have not handled; two queries."""
    asked = list(events)
    states = [each for each in asked if each[0].state_of and not each[0].history]
    others = [each for each in asked if each not in states]
    waiting = []
    if states:
        keys = {_state_key(subscription, event.subject) for subscription, event in states}
        rows = {row["uid"]: row for row in docstore.collection(StateGuard).find({"uid": {"$in": list(keys)}})}
        waiting += [each for each in states if not _has_come(rows.get(_state_key(each[0], each[1].subject)), *each)]
    if others:
        keys = {_key_of(*each) for each in others}
        found = docstore.collection(HandledEvent).find({"uid": {"$in": list(keys)}}, {"uid": 1})
        handled = {row["uid"] for row in found}
        waiting += [
            each for each in others if _key(each[0], each[1].id, each[1].subject, each[1].version) not in handled
        ]
    return waiting


def _has_come(row: Row | None, subscription: Subscription, event: Written) -> bool:
    mine = [event.version, event.index]
    if row is None or row["sequence"] < mine:
        return False
    return row["sequence"] > mine or subscription.method in row["handlers"]


def _key_of(subscription: Subscription, event: Written) -> str:
    return _key(subscription, event.id, event.subject, event.version)


def _key(subscription: Subscription, event_id: str, subject: str, version: int) -> str:
    # A version that is republished has another event id: for a history the state's version is the identity.
    event = f"{subscription.state_of}/{subject}/{version}" if subscription.history else event_id
    return f"{event}/{subscription.method}"


def _state_key(subscription: Subscription, subject: str) -> str:
    return f"{subscription.state_of}/{subject}"
