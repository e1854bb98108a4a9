"""Erasing people from what eventing keeps in a service: fact log, unsent events, dead letters, timers.

Everything is idempotent and leaves other people's data as it is; the events that tell of erasures stay.

The relay cannot bring anything back. An event it read before the sweep may be published after it, which the
consumers' tombstones are for; and it may be logged after it, for which `relay.outbox` looks at the tombstones again
*after* it has logged: either the sweep finds the row, or the row was logged after the tombstones were there.
"""

from itertools import islice
from typing import Any

from pymongo import DeleteOne, UpdateOne

import docstore
from chassis.settings import Settings
from docstore.outbox import PURGED_AND_SENT
from eventing import dead_letters
from eventing.pruning import erasure_types, pruned
from eventing.records import Fact, TimerRecord

Row = dict[str, Any]
Counts = tuple[int, int]
"""(removed, anonymized)"""

_BULK = 500


def sweep(settings: Settings, erased: frozenset[str]) -> dict[str, Counts]:
    """Erases people (resource names) of the current tenant; returns the counts by kind.

    Raises pika's AMQPError without the broker, and pymongo's errors.
    """
    assert settings.amqp_uri is not None, "checked by eventing.erasing.step"
    return {
        "publishedEvents": facts(erased),
        "unsentEvents": _unsent(erased),
        "timers": _timers(erased),
        "deadLetters": dead_letters.erase(settings.amqp_uri.get_secret_value(), settings.service, erased),
    }


def facts(erased: frozenset[str]) -> Counts:
    """Erases people from the fact log: rows about them alone are removed, rows about others too are rewritten."""
    rows = Fact.rows()
    found = rows.find({"datasubjects": {"$in": sorted(erased)}, "type": {"$nin": sorted(erasure_types())}})
    removed = anonymized = 0
    while changes := [_without(row, erased) for row in islice(found, _BULK)]:
        written = rows.bulk_write(changes)
        if written is not None:
            removed, anonymized = removed + written.deleted_count, anonymized + written.modified_count
    return removed, anonymized


def _without(row: Row, erased: frozenset[str]) -> DeleteOne | UpdateOne:
    rest = pruned(row["type"], bytes(row["body"]), row["datasubjects"], erased)
    if rest is None:
        return DeleteOne({"uid": row["uid"]})
    return UpdateOne({"uid": row["uid"]}, {"$set": {"body": rest.body, "datasubjects": list(rest.datasubjects)}})


def _unsent(erased: frozenset[str]) -> Counts:
    """Erases people from the outboxes by event id, as the relay removes what it sent: neither disturbs the other."""
    removed = anonymized = 0
    for cls in docstore.aggregates():
        rows = docstore.collection(cls)
        # The relay's index: what waits there is little, whatever the size of the collection.
        waiting = {"outbox.0": {"$exists": True}, "outbox.datasubjects": {"$in": sorted(erased)}}
        found = rows.find(waiting, {"uid": 1, "purged": 1, "outbox": 1}, hint="outbox.time_1")
        for row in list(found):
            for entry in row["outbox"]:
                if entry["type"] in erasure_types() or not erased.intersection(entry.get("datasubjects") or ()):
                    continue
                rest = pruned(entry["type"], bytes(entry["body"]), entry["datasubjects"], erased)
                mine = {"uid": row["uid"], "outbox.id": entry["id"]}
                if rest is None:
                    gone = rows.update_one(mine, {"$pull": {"outbox": {"id": entry["id"]}}})
                    removed += gone.modified_count
                else:
                    left = {"outbox.$.body": rest.body, "outbox.$.datasubjects": list(rest.datasubjects)}
                    anonymized += rows.update_one(mine, {"$set": left}).modified_count
            if row.get("purged"):
                rows.delete_one({"uid": row["uid"], **PURGED_AND_SENT})
    return removed, anonymized


def _timers(erased: frozenset[str]) -> Counts:
    """Withdraws timers whose payload names the people; of those that have fired the mark stays, without payload."""
    named = {"datasubjects.0": {"$exists": True}, "datasubjects": {"$in": sorted(erased)}}
    rows = TimerRecord.rows()
    removed = rows.delete_many({**named, "state": {"$ne": "FIRED"}}).deleted_count
    emptied = rows.update_many(named, {"$set": {"payload": {}, "datasubjects": []}}).modified_count
    return removed, emptied
