"""Who entered journeys that hold people out, as campaigns tells it: kept to measure what the journeys bring.

`note` runs in the transaction of an event handler. Measuring is profiling, on the ground of the
legitimate interest in knowing whether messages help (GDPR article 6(1)(f)): whoever objects (article 21) is in no
comparison, from the next one on, and rows about them go at once.
"""

from collections.abc import Collection
from datetime import UTC
from typing import Any

from pymongo import UpdateOne
from rapport.campaigns.v1 import events_pb2, journey_pb2

import docstore
from chassis import clock
from docstore import Row, aliases
from scoring.domain.journey_outcomes import snapshot_of
from scoring.store import JourneyEffect, JourneyEntrant, Score
from scoring.store.journeys import KEPT
from scoring.store.objections import objecting


def note(event: events_pb2.JourneyEntered, left_out: Collection[str] = ()) -> None:
    """Keeps who entered, each by the first of their entries, whatever order these are told in.

    A journey that holds nobody out then cannot be measured by them. left_out: customers (resource names) to ignore.
    """
    entrants = [each for each in event.entrants if each.customer not in left_out]
    if not event.holdout_percent or not entrants:
        return
    journey = _uid(event.journey)
    when = docstore.whole_milliseconds(event.entry_time.ToDatetime(UTC))
    uids = {each.customer: JourneyEntrant.uid_of(journey, each.customer) for each in entrants}
    known = JourneyEntrant.rows().find({"uid": {"$in": list(uids.values())}}, {"uid": 1, "entry_time": 1})
    since = {row["uid"]: row["entry_time"] for row in known}
    first = [each for each in entrants if (uid := uids[each.customer]) not in since or when < since[uid]]
    if not first:
        return
    canonicals = aliases.resolve(each.customer for each in first)
    refused = objecting(set(canonicals.values()))
    asked = {"uid": {"$in": sorted({_uid(name) for name in canonicals.values()})}}
    scores = {row["customer"]: row for row in Score.rows().find(asked)}
    expires = clock.real_now() + KEPT

    def changes(each: events_pb2.JourneyEntrant) -> Row:
        score = scores.get(canonicals[each.customer])
        # A score made after the entry may know what came of it.
        told = score is not None and "score_time" in score and score["score_time"] <= when
        values: dict[str, Any] = {
            "journey": journey,
            "customer": each.customer,
            "held_out": each.group == journey_pb2.JourneyEntry.GROUP_HELD_OUT,
            "percent": event.holdout_percent,
            "entry_time": when,
            "snapshot": snapshot_of(score) if score is not None and told else {},
            "expire_time": expires,
        }
        return values

    JourneyEntrant.rows().bulk_write(
        UpdateOne({"uid": uids[each.customer]}, {"$set": changes(each)}, upsert=True)
        for each in first
        if canonicals[each.customer] not in refused
    )
    due = {"$setOnInsert": {"due": clock.now()}}
    JourneyEffect.rows().gather([UpdateOne({"uid": journey}, due, upsert=True)])


def forget(customers: Collection[str]) -> int:
    """Forgets the entries of customers (resource names); returns how many."""
    return JourneyEntrant.rows().delete_many({"customer": {"$in": list(customers)}}).deleted_count


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
