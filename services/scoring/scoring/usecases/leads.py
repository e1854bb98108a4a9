"""Leads as sales tells of them: what a model may know is kept, and goes with the person, or when the person objects.

All of this runs in the transaction of an event handler, but for `erase`.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rapport.sales.v1 import events_pb2, lead_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

import docstore
from chassis import clock
from docstore import Row
from eventing import tombstones
from eventing.envelope import Envelope
from scoring.store import Lead
from scoring.store.leads import KEPT
from scoring.store.objections import objecting, profile_of
from scoring.store.scores import tell

_FACTS = (
    *("has_company", "employee_count", "has_budget", "region_code", "has_email"),
    *("has_phone", "message_length", "is_customer"),
)
_AT_ONCE = 200


def note(state: events_pb2.LeadState, envelope: Envelope, **ends: datetime) -> None:
    """Notes what an event tells of a lead; whichever of its events comes first makes the row.

    ends: `convert_time` or `disqualify_time`. Leads of before their facts were kept are left out, and so are those of
    people who object to profiling.
    """
    uid = _uid(state.lead)
    if not state.HasField("facts") or tombstones.erased([state.lead]):
        return
    if state.customer and objecting([profile_of(state.customer)[0]]):
        remove({"uid": uid})
        return
    row = Lead.rows().find_one({"uid": uid}, {"sequence": 1, "customer": 1, "open": 1})
    changes: dict[str, Any] = dict(ends)
    sequence = list(envelope.sequence)
    known = row["customer"] if row and row["sequence"] > sequence else state.customer or None
    if row is None:
        changes |= _first(state)
    if row is None or row["sequence"] < sequence:
        changes |= {"customer": known, "sequence": sequence}
    # What is being scored as something else is free to be claimed again.
    gone = {"lease": ""}
    if ends or (row is not None and not row.get("open")):
        gone |= {"open": "", "due": ""}
    elif row is None or row["customer"] != known:
        changes |= {"open": True, "due": clock.now()}
    update: Row = {"$set": changes, "$inc": {"changes": 1}, "$unset": gone}
    if not changes:
        del update["$set"]
    Lead.rows().update_one({"uid": uid}, update, upsert=True)


def erase_named(names: Sequence[str]) -> None:
    """Forgets leads that sales erased with a person, some of which name no customer; late events bring none back."""
    tombstones.erase(names)
    Lead.rows().delete_many({"uid": {"$in": [_uid(name) for name in names]}})


def remove_of(customers: Collection[str]) -> None:
    """Takes away the leads of people who object to profiling, scores and all, and tells which have none any more.

    Leads that have no score go too: whoever scores one meanwhile conflicts about its row, and finds none.
    """
    remove({"customer": {"$in": list(customers)}})


def look_again(customers: Collection[str]) -> None:
    """Has the open leads of people scored who may be profiled now."""
    asked = {"customer": {"$in": list(customers)}, "open": True}
    again: Row = {"$set": {"due": clock.now()}, "$unset": {"lease": ""}, "$inc": {"changes": 1}}
    Lead.rows().update_many(asked, again)


def erase(customers: Collection[str]) -> int:
    """Forgets the leads of erased customers; returns how many. Nothing is told: sales hears of the erasure itself."""
    return Lead.rows().delete_many({"customer": {"$in": list(customers)}}).deleted_count


def remove(which: Row) -> None:
    """Deletes rows, and tells whose scores went with them."""
    rows = list(Lead.rows().find(which, {"uid": 1, "customer": 1, "score.probability": 1}))
    if not rows:
        return
    Lead.rows().delete_many({"uid": {"$in": [row["uid"] for row in rows]}})
    scored = [row for row in rows if row.get("score")]
    for start in range(0, len(scored), _AT_ONCE):
        tell_removed(scored[start : start + _AT_ONCE])


def tell_removed(rows: Sequence[Row]) -> None:
    """Tells that these leads (uid, customer), 200 at most, have no score any more."""
    changed = Timestamp()
    changed.FromDatetime(docstore.whole_milliseconds(clock.now()))
    event = scoring_events_pb2.LeadsScored(removed_leads=[name_of(row["uid"]) for row in rows], change_time=changed)
    tell([(event, {row["customer"] for row in rows if row["customer"]})])


def name_of(uid: str) -> str:
    """The lead's resource name."""
    return f"leads/{uid}"


def _first(state: events_pb2.LeadState) -> dict[str, Any]:
    facts = state.facts
    return {
        "facts": {
            "source": lead_pb2.Lead.Source.Name(facts.source),
            **{name: getattr(facts, name) for name in _FACTS},
        },
        "points": state.initial_score,
        "create_time": facts.create_time.ToDatetime(UTC),
        "know_time": facts.know_time.ToDatetime(UTC),
        "expire_time": clock.real_now() + KEPT,
    }


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
