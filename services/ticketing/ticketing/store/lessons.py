"""Resolved tickets with an intent that somebody gave: what the intent model learns from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chassis.validation import email_key
from docstore import Row, aliases
from ticketing.store.messages import CUSTOMER, TicketMessage
from ticketing.store.tickets import Ticket

NOBODY_KNOWN = ""
"""Who wrote tickets of which nobody knows who did: all of them count as one person, since they may be."""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 1_000


@dataclass(frozen=True)
class Taught:
    """A lesson: what was asked first, what it was about, and who asked."""

    subject: str
    text: str
    intent: str
    author: str
    since: datetime


def count_since(since: datetime | None, most: int) -> int:
    """How many lessons came after an instant, or ever; at most `most`."""
    return Ticket.rows().count({"lesson": {"$gt": since or _EVER}}, limit=most)


def newest(most: int, text_max: int) -> list[Taught]:
    """The newest lessons, the oldest of them first; `text_max` characters of each one's first words."""
    asked: Row = {
        **dict.fromkeys(("uid", "subject", "intent", "customer", "requester_email", "lesson"), 1),
        "text": {"$substrCP": [{"$ifNull": ["$first.text", ""]}, 0, text_max]},
    }
    order = [("lesson", -1), ("_id", -1)]
    rows = list(Ticket.rows().find({"lesson": {"$gt": _EVER}}, asked, sort=order, limit=most))
    by_mail = _by_mail([row["uid"] for row in rows if not row["text"]], text_max)
    authors = _authors(rows)
    return [
        Taught(row["subject"], row["text"] or by_mail.get(row["uid"], ""), row["intent"], author, row["lesson"])
        for row, author in zip(reversed(rows), reversed(authors), strict=True)
    ]


def _by_mail(uids: list[str], text_max: int) -> dict[str, str]:
    """First words of tickets that came by mail: a message of its own, with the ticket's uid."""
    asked: Any = {"uid": 1, "text": {"$substrCP": ["$text", 0, text_max]}}
    return {
        row["uid"]: row["text"]
        for some in _batches(uids)
        for row in TicketMessage.rows().find({"uid": {"$in": some}, "author": CUSTOMER}, asked)
    }


def _authors(rows: list[Row]) -> list[str]:
    """Who wrote each ticket: a whole profile is one person, and so is an address."""
    canonical: dict[str, str] = {}
    for some in _batches(sorted({row["customer"] for row in rows if row.get("customer")})):
        canonical |= aliases.resolve(some)
    known = {
        email_key(row["requester_email"]): canonical[row["customer"]]
        for row in rows
        if row.get("customer") and row.get("requester_email")
    }
    return list(_named(rows, canonical, known))


def _named(rows: list[Row], canonical: dict[str, str], known: dict[str, str]) -> Iterator[str]:
    for row in rows:
        if row.get("customer"):
            yield canonical[row["customer"]]
        elif row.get("requester_email"):
            key = email_key(row["requester_email"])
            yield known.get(key, key)
        else:
            yield NOBODY_KNOWN


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[begin : begin + _BATCH] for begin in range(0, len(values), _BATCH))
