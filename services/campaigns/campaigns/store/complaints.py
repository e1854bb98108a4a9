"""Complaints that wait for an answer, as ticketing tells them: nobody is marketed to while theirs is open."""

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

import mongoengine as me

from docstore.records import Record


class Complaint(Record):
    """An open complaint; its uid is the ticket's. One that is closed, or is none after all, has no row."""

    meta: ClassVar[dict[str, Any]] = {"collection": "complaints", "indexes": [["tenant", "customer"]]}
    customer: Any = me.StringField(required=True)


def open_complaint(ticket: str, customer: str) -> None:
    """A ticket (uid) is a complaint of this customer (resource name), of nobody else."""
    Complaint.rows().update_one({"uid": ticket}, {"$set": {"customer": customer}}, upsert=True)


def close_complaint(ticket: str) -> None:
    """A ticket (uid) is no open complaint any more."""
    Complaint.rows().delete_one({"uid": ticket})


def complaining(customers: Iterable[str]) -> Collection[str]:
    """Those of the customers (resource names) who have an open complaint; one query."""
    return frozenset(Complaint.rows().distinct("customer", {"customer": {"$in": list(customers)}}))
