"""Resolved tickets with an intent that somebody gave: what the intent model learns from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
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


def newest(most: int, text_max: int, characters_most: int) -> list[Taught]:
    """The newest lessons, the oldest of them first; `text_max` characters of each one's first words.

    characters_most: of all subjects and texts together; no more are held in memory but those of one batch.
    """
    asked: Row = {
        **dict.fromkeys(("uid", "subject", "intent", "customer", "requester_email", "lesson"), 1),
        "text": {"$substrCP": [{"$ifNull": ["$first.text", ""]}, 0, text_max]},
    }
    order = [("lesson", -1), ("_id", -1)]
    found = iter(Ticket.rows().find({"lesson": {"$gt": _EVER}}, asked, sort=order, limit=most))
    rows: list[Row] = []
    room = characters_most
    while room >= 0 and (some := list(islice(found, _BATCH))):
        by_mail = _by_mail([row["uid"] for row in some if not row["text"]], text_max)
        for row in some:
            row["text"] = row["text"] or by_mail.get(row["uid"], "")
            room -= len(row["subject"]) + len(row["text"])
            if room < 0:
                break
            rows.append(row)
    authors = _authors(rows)
    return [
        Taught(row["subject"], row["text"], row["intent"], author, row["lesson"])
        for row, author in zip(reversed(rows), reversed(authors), strict=True)
    ]


def _by_mail(uids: list[str], text_max: int) -> dict[str, str]:
    """First words of tickets that came by mail: a message of its own, with the ticket's uid."""
    asked: Any = {"uid": 1, "text": {"$substrCP": ["$text", 0, text_max]}}
    found = TicketMessage.rows().find({"uid": {"$in": uids}, "author": CUSTOMER}, asked)
    return {row["uid"]: row["text"] for row in found}


def _authors(rows: list[Row]) -> list[str]:
    """Who wrote each ticket: a whole profile is one person, and so is an address."""
    canonical: dict[str, str] = {}
    customers = sorted({row["customer"] for row in rows if row.get("customer")})
    for begin in range(0, len(customers), _BATCH):
        canonical |= aliases.resolve(customers[begin : begin + _BATCH])
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
