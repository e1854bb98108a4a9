"""News for segments: noted by whoever hears of them, taken into profiles by whoever keeps the segments.

All of this is part of the transaction of its caller, and one insert.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from pymongo import InsertOne
from rapport.consent.v1 import consent_pb2, purpose_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2
from rapport.scoring.v1.events_pb2 import SegmentLeft

from chassis import money
from docstore import Row
from scoring.domain.conditions import GRANTED, NONE, REFUSED, TRAIT_PREFIX
from scoring.domain.happenings import id_of, name_of, order_of
from scoring.store import SegmentSignal

CONSENT, CUSTOMER = "consent", "customer"
SIGNAL_MAX = 500
"""Customers or events in one signal."""

_STATES = {
    consent_pb2.Consent.STATE_GRANTED: GRANTED,
    consent_pb2.Consent.STATE_REFUSED: REFUSED,
    consent_pb2.Consent.STATE_WITHDRAWN: REFUSED,
}
_URGENT, _USUAL, _BULK = 0, 1, 2
"""Ranks: what must not wait, what just happened, and what comes for everybody at once."""


def note_events(events: Iterable[events_pb2.TrackedEvent]) -> list[Row]:
    """Notes that things happened to customers; returns what it noted of each."""
    rows = [_happening(event) for event in events]
    _stage(SegmentLeft.CAUSE_CUSTOMER_CHANGED, events=rows)
    return rows


def note_customer(state: events_pb2.CustomerState, sequence: tuple[int, int]) -> None:
    """Notes what a customer now is: of addresses only whether there are any."""
    traits: dict[str, Any] = {
        "region_code": state.region_code,
        "language_code": state.language_code,
        "time_zone": state.time_zone,
        "has_email": bool(state.email),
        "has_phone": bool(state.phone),
    }
    own = MessageToDict(state.traits) if state.HasField("traits") else {}
    traits |= {f"{TRAIT_PREFIX}{name}": value for name, value in own.items()}
    deleted = state.HasField("delete_time")
    told = {
        "kind": CUSTOMER,
        "customer": state.customer,
        "sequence": list(sequence),
        # Whoever is brought back is told whole again.
        "traits": [[name, value] for name, value in sorted(traits.items()) if value not in ("", None) and not deleted],
        "deleted": deleted,
    }
    _stage(SegmentLeft.CAUSE_CUSTOMER_CHANGED, states=[told])


def note_consent(state: consent_events_pb2.ConsentState, sequence: tuple[int, int]) -> None:
    """Notes where a customer stands on a purpose."""
    told = {
        "kind": CONSENT,
        "customer": state.customer,
        "sequence": list(sequence),
        "consent": state.consent,
        "purpose": state.purpose,
        "channel": purpose_pb2.Channel.Name(state.channel).removeprefix("CHANNEL_"),
        "state": _STATES.get(state.state, NONE),
        "record": state.consent_record,
        "answered": list(state.answered_records),
    }
    _stage(SegmentLeft.CAUSE_CUSTOMER_CHANGED, states=[told])


def look_again(customers: Iterable[str], cause: SegmentLeft.Cause, *, urgent: bool = False) -> None:
    """Asks to look at these customers (resource names) anew: for segments that ask for scores, or for all."""
    rank = _URGENT if urgent else _BULK if cause == SegmentLeft.CAUSE_SCORES_CHANGED else _USUAL
    _stage(cause, customers=list(dict.fromkeys(customers)), rank=rank)


def forget(customers: Collection[str]) -> None:
    """Takes erased customers (resource names) out of what waits; there is little that does."""
    names = list(customers)
    about = {"$or": [{"events.c": {"$in": names}}, {"states.customer": {"$in": names}}, {"customers": {"$in": names}}]}
    gone = {"events": {"c": {"$in": names}}, "states": {"customer": {"$in": names}}, "customers": {"$in": names}}
    SegmentSignal.rows().update_many({"rank": {"$gte": _URGENT}, **about}, {"$pull": gone})


def _stage(
    cause: SegmentLeft.Cause,
    *,
    events: Sequence[Row] = (),
    states: Sequence[Row] = (),
    customers: Sequence[str] = (),
    rank: int = _USUAL,
) -> None:
    rows = []
    for field, items in (("events", events), ("states", states), ("customers", customers)):
        for start in range(0, len(items), SIGNAL_MAX):
            part = items[start : start + SIGNAL_MAX]
            rows.append({"rank": rank, "size": len(part), "cause": int(cause), field: part})
    SegmentSignal.rows().gather(InsertOne(row) for row in rows)


def _happening(event: events_pb2.TrackedEvent) -> Row:
    has_amount, time = event.HasField("amount"), event.event_time
    row = {
        "c": event.customer,
        "e": name_of(event.event),
        "s": name_of(event.source),
        "y": event.amount.currency_code if has_amount else "",
        # As its ToMilliseconds, which costs as much as the rest.
        "t": time.seconds * 1_000 + time.nanos // 1_000_000,
        "a": money.to_minor(event.amount) if has_amount else 0,
        "i": id_of(event.source, event.message_id),
    }
    if has_amount and event.order_id:
        row["o"] = order_of(event.order_id)
    return row
