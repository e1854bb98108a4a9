"""What people said of tickets and of what customers wrote: text models learn from it."""

import heapq
from collections.abc import Callable, Iterable, Iterator
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
_ASKED = dict.fromkeys(("uid", "customer", "requester_email", "language_code"), 1)


@dataclass(frozen=True)
class Taught:
    """A lesson: what a customer wrote, what somebody said of it, who wrote it; and what was told of it before."""

    text: str
    label: str
    author: str
    since: datetime
    language_code: str = ""
    told: str = ""


def asked_text(subject: str, text: str) -> str:
    """What the intent model reads of a request."""
    return f"{subject}\n{text}"


def count_intents(since: datetime | None, most: int) -> int:
    """How many lessons about intents came after an instant, or ever; at most `most`."""
    return Ticket.rows().count({"lesson": {"$gt": since or _EVER}}, limit=most)


def count_moods(since: datetime | None, most: int) -> int:
    """How many lessons about moods came after an instant, or ever; at most `most`."""
    wanted = {"$gt": since or _EVER}
    count = TicketMessage.rows().count({"lesson": wanted}, limit=most)
    return min(most, count + Ticket.rows().count({"first.lesson": wanted}, limit=most))


def newest_intents(most: int, text_max: int, characters_most: int) -> list[Taught]:
    """Resolved tickets with an intent that somebody gave, the newest, the oldest of them first.

    text_max: characters of each one's first words. characters_most: of all subjects and texts together; no more are
    held in memory but those of one batch.
    """
    asked: Row = {
        **dict.fromkeys((*_ASKED, "subject", "lesson"), 1),
        "label": "$intent",
        "text": {"$substrCP": [{"$ifNull": ["$first.text", ""]}, 0, text_max]},
    }
    order = [("lesson", -1), ("_id", -1)]
    found = Ticket.rows().find({"lesson": {"$gt": _EVER}}, asked, sort=order, limit=most)

    def complete(rows: list[Row]) -> None:
        by_mail = _by_mail([row["uid"] for row in rows if not row["text"]], text_max)
        for row in rows:
            row["text"] = asked_text(row["subject"], row["text"] or by_mail.get(row["uid"], ""))

    return _taught(found, characters_most, complete)


def newest_moods(most: int, text_max: int, characters_most: int) -> list[Taught]:
    """What customers said where somebody said how it sounds, the newest, the oldest of them first; else as above."""
    said: Row = {
        "ticket": 1,
        "lesson": 1,
        "told": 1,
        "label": "$sentiment.label",
        "text": {"$substrCP": ["$text", 0, text_max]},
    }
    first: Row = {
        **_ASKED,
        "lesson": "$first.lesson",
        "told": "$first.told",
        "label": "$first.sentiment.label",
        "text": {"$substrCP": ["$first.text", 0, text_max]},
    }
    ever = {"$gt": _EVER}
    found = (
        TicketMessage.rows().find({"lesson": ever}, said, sort=[("lesson", -1), ("_id", -1)], limit=most),
        Ticket.rows().find({"first.lesson": ever}, first, sort=[("first.lesson", -1), ("_id", -1)], limit=most),
    )
    merged = heapq.merge(*found, key=lambda row: row["lesson"], reverse=True)

    def complete(rows: list[Row]) -> None:
        named = {row["ticket"] for row in rows if "ticket" in row}
        tickets = {each["uid"]: each for each in Ticket.rows().find({"uid": {"$in": sorted(named)}}, _ASKED)}
        for row in rows:
            if "ticket" in row:
                row.update(tickets[row["ticket"]])

    return _taught(islice(merged, most), characters_most, complete)


def _taught(found: Iterable[Row], characters_most: int, complete: Callable[[list[Row]], None]) -> list[Taught]:
    """Lessons of rows that come newest first. complete: adds to those of a batch what another collection holds."""
    coming, rows, room = iter(found), list[Row](), characters_most
    while room >= 0 and (some := list(islice(coming, _BATCH))):
        complete(some)
        for row in some:
            room -= len(row["text"])
            if room < 0:
                break
            rows.append(row)
    authors = _authors(rows)
    return [
        Taught(
            row["text"],
            row["label"],
            author,
            row["lesson"],
            row.get("language_code") or "",
            row.get("told") or "",
        )
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
