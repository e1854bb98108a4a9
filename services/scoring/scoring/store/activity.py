"""Events that are no purchases on their way into files: refunds, and when anything else happened."""

import json
from array import array
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

import mongoengine as me

from docstore import Row
from docstore.documents import InstantField
from docstore.records import Record

EVENT_MAX = 64
"""Longer names of events are cut: files tell when something happened, and hardly what."""

NO_CONTRACT = -1
"""In the place of a subscription, of what only has the name of such an event, as a page may: it was not tracked."""


class Activity(NamedTuple):
    """One event. time: milliseconds since 1970, UTC. id: `domain.happenings.id_of`.

    Orders and refunds have an amount in minor units, its currency and their order_id; others have none. subscription:
    `domain.happenings.order_of` the id of the subscription it belongs to, or NO_CONTRACT.
    """

    customer: str
    event: str
    time: int
    id: int
    amount: int | None = None
    currency: str | None = None
    order_id: str = ""
    subscription: int = 0


class StagedActivity(Record):
    """Events that were told together, until they are in files; told again, they are there again, with the same ids.

    A line of text or a number of 8 bytes for each: one small row for a hundred events is what makes keeping them cheap.
    money: {place, amount, currency, order_id} of those that have any; place is theirs among the others, from 0.
    subscriptions: {place, subscription} in the same way.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "staged_activity", "indexes": [["tenant", "stage_time"]]}
    stage_time: Any = InstantField(required=True)
    size: Any = me.IntField(required=True)
    customers: Any = me.StringField(required=True)
    events: Any = me.StringField(required=True)
    """Their distinct names as a JSON list; `codes` are places in it, two bytes each."""
    codes: Any = me.BinaryField(required=True)
    times: Any = me.BinaryField(required=True)
    event_ids: Any = me.BinaryField(required=True)
    money: Any = me.ListField(me.DictField())
    subscriptions: Any = me.ListField(me.DictField())


def packed(
    events: Sequence[Row], stage_time: datetime, money: Sequence[Row] = (), subscriptions: Sequence[Row] = ()
) -> Row:
    """The values of a StagedActivity. events: {c: customer, e: name, t: time, i: id}, as in signals."""
    customers, names, times, identities = zip(*map(_COLUMNS, events), strict=True)
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return {
        "stage_time": stage_time,
        "size": len(events),
        # Names of resources have no line breaks.
        "customers": "\n".join(customers),
        "codes": array("H", map(codes.__getitem__, names)).tobytes(),
        "events": json.dumps([name[:EVENT_MAX] for name in codes]),
        "times": array("q", times).tobytes(),
        "event_ids": array("q", identities).tobytes(),
        "money": list(money),
        "subscriptions": list(subscriptions),
    }


_COLUMNS = itemgetter("c", "e", "t", "i")


def unpacked(row: Row) -> Iterator[Activity]:
    """The events of a row."""
    names = json.loads(row["events"])
    codes, times, identities = array("H"), array("q"), array("q")
    codes.frombytes(row["codes"])
    times.frombytes(row["times"])
    identities.frombytes(row["event_ids"])
    money = {each["place"]: (each["amount"], each["currency"], each["order_id"]) for each in row.get("money", ())}
    subscriptions = {each["place"]: each["subscription"] for each in row.get("subscriptions", ())}
    columns = zip(row["customers"].split("\n"), codes, times, identities, strict=True)
    for place, (customer, code, time, identity) in enumerate(columns):
        of_money = money.get(place, (None, None, ""))
        yield Activity(customer, names[code], time, identity, *of_money, subscriptions.get(place, 0))


def forget(customers: Collection[str]) -> int:
    """Takes erased customers (resource names) out of what waits, which is little; returns how many events went.

    Only for who writes the tenant's files: nobody else may have the rows in hand.
    """
    gone = set(customers)
    removed = 0
    for row in StagedActivity.rows().find({}):
        if gone.isdisjoint(row["customers"].split("\n")):
            continue
        kept = [each for each in unpacked(row) if each.customer not in gone]
        removed += row["size"] - len(kept)
        if kept:
            events = [{"c": each.customer, "e": each.event, "t": each.time, "i": each.id} for each in kept]
            money = [
                {"place": place, "amount": each.amount, "currency": each.currency, "order_id": each.order_id}
                for place, each in enumerate(kept)
                if each.amount is not None
            ]
            subscriptions = [
                {"place": place, "subscription": each.subscription}
                for place, each in enumerate(kept)
                if each.subscription
            ]
            values = packed(events, row["stage_time"], money, subscriptions)
            StagedActivity.rows().update_one({"uid": row["uid"]}, {"$set": values})
        else:
            StagedActivity.rows().delete_one({"uid": row["uid"]})
    return removed
