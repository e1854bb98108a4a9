"""What campaigns knows of customers, as identity tells it, and what each was sent of late."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne

from docstore import Row
from docstore.documents import InstantField
from docstore.records import Record

LEDGER_MAX = 200
"""The most sends remembered of one customer."""
LEDGER_DAYS = 31

FIELDS = ("email", "given_name", "display_name", "language_code", "region_code", "time_zone")


class Contact(Record):
    """One customer; its uid is the customer's. Of a profile only the customer that stands for it is told."""

    meta: ClassVar[dict[str, Any]] = {"collection": "contacts"}
    email: Any = me.StringField()
    given_name: Any = me.StringField()
    display_name: Any = me.StringField()
    language_code: Any = me.StringField()
    region_code: Any = me.StringField()
    time_zone: Any = me.StringField()
    delete_time: Any = InstantField()
    sent: Any = me.ListField(me.DictField())
    """`{message, time}` of what counts for the frequency cap."""
    send_time: Any = me.DictField()
    """As scoring tells it: change_time and, unless it was taken back, `ranking`: the hours of the week, a byte each,
    the best first, 0 being Monday 0:00 in `time_zone`."""


def learn(customer: str, values: Row, delete_time: datetime | None) -> None:
    """Takes over what identity tells; of a deleted customer nothing is kept."""
    known = {} if delete_time else {name: values[name] for name in FIELDS if values.get(name)}
    gone = {name: "" for name in (*FIELDS, *(["send_time"] if delete_time else [])) if name not in known}
    update: Row = {"$set": {**known, "delete_time": delete_time}}
    if gone:
        update["$unset"] = gone
    Contact.rows().gather([UpdateOne({"uid": uid(customer)}, update, upsert=True)])


def learn_send_times(told: Mapping[str, Row], change_time: datetime) -> None:
    """Takes over in which hours customers (resource names) are most active; of what is told of one the latest counts.

    told: ranking and time_zone of each, nothing of whom none are known any more. Whom identity has not told of yet has
    none before scoring tells it again: there is nobody to write to.
    """
    known = {"delete_time": None, "send_time.change_time": {"$not": {"$gte": change_time}}}
    Contact.rows().gather(
        UpdateOne({"uid": uid(name), **known}, {"$set": {"send_time": {**values, "change_time": change_time}}})
        for name, values in told.items()
    )


def contacts(customers: Collection[str]) -> dict[str, Row]:
    """What is known of customers (resource names), by name; one query."""
    of = {uid(customer): customer for customer in customers}
    return {of[row["uid"]]: row for row in Contact.rows().find({"uid": {"$in": list(of)}})}


def reserve(customer: str, others: Collection[str], message: str, now: datetime, cap: int, days: int) -> bool:
    """Counts a message against the cap of a person; False when it is past it (cap 0: there is none).

    `customer` stands for the profile, `others` are its other members. Repeating it counts once.
    """
    since = now - timedelta(days=days)
    elsewhere = (
        sum(
            1
            for row in Contact.rows().find({"uid": {"$in": [uid(other) for other in others]}}, {"sent": 1})
            for sent in row.get("sent", ())
            if sent["time"] > since
        )
        if others
        else 0
    )
    known: Row = {"$ifNull": ["$sent", []]}
    recent: Row = {"$filter": {"input": known, "cond": {"$gt": ["$$this.time", since]}}}
    kept: Row = {"$filter": {"input": known, "cond": {"$gt": ["$$this.time", now - timedelta(days=LEDGER_DAYS)]}}}
    room: Row = {"$lt": [{"$add": [{"$size": recent}, elsewhere]}, cap]} if cap else {"$literal": True}
    added: Row = {"$slice": [{"$concatArrays": [kept, [{"message": message, "time": now}]]}, -LEDGER_MAX]}
    counted: Row = {"$in": [message, {"$map": {"input": known, "in": "$$this.message"}}]}
    row = Contact.rows().find_one_and_update(
        {"uid": uid(customer)},
        [{"$set": {"sent": {"$cond": [{"$or": [counted, {"$not": [room]}]}, known, added]}}}],
        projection={"sent": 1},
    )
    return row is not None and any(sent["message"] == message for sent in row["sent"])


def release(customer: str, message: str) -> None:
    """A message counted was not sent after all."""
    Contact.rows().update_one({"uid": uid(customer)}, {"$pull": {"sent": {"message": message}}})


def uid(customer: str) -> str:
    """The id part of a customer's name."""
    return customer.rpartition("/")[2]
