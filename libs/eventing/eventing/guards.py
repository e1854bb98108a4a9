"""Whether handlers still have events to handle: asked and noted in the handlers' own transaction.

FACT events leave a row per event id and handler. STATE events share one row per subject and state with the highest
sequence seen; it also names the handlers that have handled that very sequence, so that a service may have several
handlers of one type, and a retry runs only the unfinished ones.
"""

from collections.abc import Iterable, Mapping, Sequence

from pymongo import UpdateOne

import docstore
from chassis import clock
from chassis.consistency import Written
from docstore.connection import Row
from eventing.envelope import Envelope
from eventing.records import HandledEvent, StateGuard
from eventing.subscribe import Subscription

Asked = tuple[Subscription, Envelope]


def take(asked: Sequence[Asked]) -> list[int]:
    """Takes the guards inside the handlers' transaction; the places of what there is still to handle, ascending.

    Three round trips at most, however many are asked.
    """
    states = {place: each for place, each in enumerate(asked) if each[0].state_of and not each[0].history}
    others = {place: each for place, each in enumerate(asked) if place not in states}
    return sorted([*_newer(states), *_first(others)])


def _first(asked: Mapping[int, Asked]) -> list[int]:
    """Places of those whose row is not there yet; it is then."""
    now = clock.real_now()
    noted = docstore.collection(HandledEvent).bulk_write(
        (
            UpdateOne(
                {"uid": _key(subscription, event.id, event.subject, event.sequence[0])},
                {"$setOnInsert": {"handle_time": now}},
                upsert=True,
            )
            for subscription, event in asked.values()
        ),
        ordered=True,
    )
    places = list(asked)
    return [places[index] for index in noted.upserted_ids or {}] if noted else []


def _newer(asked: Mapping[int, Asked]) -> list[int]:
    """Places of those that are newer than what their handler has handled; their rows say so then."""
    keys = [_state_key(subscription, event.subject) for subscription, event in asked.values()]
    rows = docstore.collection(StateGuard).find({"uid": {"$in": list(dict.fromkeys(keys))}}) if keys else ()
    known = {row["uid"]: (tuple(row["sequence"]), row["handlers"]) for row in rows}
    newer, changed = [], {}
    for key, (place, (subscription, event)) in zip(keys, asked.items(), strict=True):
        highest, handlers = known.get(key, ((), []))
        if event.sequence > highest or (event.sequence == highest and subscription.method not in handlers):
            others = handlers if event.sequence == highest else []
            known[key] = changed[key] = (event.sequence, [*others, subscription.method])
            newer.append(place)
    docstore.collection(StateGuard).bulk_write(
        UpdateOne({"uid": key}, {"$set": {"sequence": list(sequence), "handlers": handlers}}, upsert=True)
        for key, (sequence, handlers) in changed.items()
    )
    return newer


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
