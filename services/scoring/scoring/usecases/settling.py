"""Takes news into profiles and moves memberships after them: always to what a look at everything would give.

Everything here is part of a transaction its caller opened, which also proves that it is the tenant's keeper.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, cast

from google.protobuf.message import Message
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock, ids
from docstore import Row
from scoring import snapshots
from scoring.domain import happenings
from scoring.domain.consents import Statement
from scoring.domain.happenings import Happening, Series
from scoring.rulebook import Rulebook, rulebook
from scoring.store import Profile, Segment, SegmentChange
from scoring.store.scores import tell
from scoring.store.segments import SEGMENTS_MAX, count_members
from scoring.usecases.persons import Persons
from scoring.usecases.signals import CUSTOMER

Cause = events_pb2.SegmentLeft
CONSENTS_MAX = 200
"""Statements of one customer; past it the oldest are forgotten."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCORES = (Cause.CAUSE_SCORES_CHANGED, Cause.CAUSE_SCORES_REMOVED)


@dataclass
class News:
    """What has become known of one customer. keys: what it can change (`domain.membership.keys_of`), None for all."""

    events: list[Happening] = field(default_factory=list)
    states: list[Row] = field(default_factory=list)
    causes: set[int] = field(default_factory=set)
    keys: set[str] | None = field(default_factory=set)


@dataclass(frozen=True)
class Asked:
    """The tenant's segments. expressions: of those that live. changed: uids of those whose members are being found
    after a change.
    """

    expressions: Mapping[str, str]
    versions: Mapping[str, int]
    deleted: frozenset[str]
    changed: frozenset[str]

    @classmethod
    def read(cls) -> "Asked":
        """The segments as they are now."""
        names = ("uid", "version", "expression", "delete_time", "evaluation_due")
        rows = list(Segment.rows().find({"purged": None}, dict.fromkeys(names, 1), limit=2 * SEGMENTS_MAX))
        living = [row for row in rows if row.get("delete_time") is None]
        return cls(
            {row["uid"]: row["expression"] for row in living},
            {row["uid"]: row["version"] for row in rows},
            frozenset(row["uid"] for row in rows if row.get("delete_time") is not None),
            frozenset(row["uid"] for row in living if row.get("evaluation_due")),
        )

    @cached_property
    def book(self) -> Rulebook:
        """What they ask."""
        return rulebook(frozenset(self.expressions.items()))

    @property
    def following(self) -> frozenset[str]:
        """Segments whose members are about to change by themselves: the changed, the deleted, and who asks for them."""
        moving = self.changed | self.deleted
        return moving | {*self.book.with_those_asking(moving)}


@dataclass(frozen=True)
class _Move:
    customer: str
    entered: bool
    cause: int


class Moves:
    """Who enters and leaves which segment."""

    def __init__(self) -> None:
        self._by_segment: dict[str, list[_Move]] = defaultdict(list)

    def note(self, segment: str, customer: str, *, entered: bool, cause: int) -> None:
        """One customer moves."""
        self._by_segment[segment].append(_Move(customer, entered, cause))

    @property
    def count(self) -> int:
        """How many moves there are."""
        return sum(map(len, self._by_segment.values()))

    def carry_out(self, scores: Mapping[str, Row], versions: Mapping[str, int] | None = None) -> None:
        """Counts, notes and tells the moves. scores: those there are, by customer. Raises Conflict.

        versions: as in `count_members`.
        """
        if not self._by_segment:
            return
        now = docstore.whole_milliseconds(clock.now())
        record_time = clock.real_now()
        events: list[tuple[Message, list[str]]] = []
        for segment, moves in self._by_segment.items():
            for (entered, cause), names in sorted(_grouped(moves).items(), reverse=True):
                rows = [scores.get(name) or {"customer": name} for name in names]
                if entered:
                    events.append((snapshots.entered(segment, rows), names))
                else:
                    events.append((snapshots.left(segment, rows, cast(Any, cause)), names))
        SegmentChange.rows().insert_many(
            {
                "uid": ids.uuid7(),
                "segment": segment,
                "customer": move.customer,
                "entered": move.entered,
                "cause": move.cause,
                "time": now,
                "record_time": record_time,
            }
            for segment, moves in self._by_segment.items()
            for move in moves
        )
        tell(events)
        # Last, for everybody who moves members writes these few documents.
        moved = self._by_segment.items()
        count_members({uid: sum(1 if move.entered else -1 for move in moves) for uid, moves in moved}, versions)


def _grouped(moves: Iterable[_Move]) -> dict[tuple[bool, int], list[str]]:
    """Names by whether they enter and, of those who leave, why."""
    found: dict[tuple[bool, int], list[str]] = defaultdict(list)
    for move in moves:
        found[move.entered, 0 if move.entered else move.cause].append(move.customer)
    return found


def settle(news: Mapping[str, News], asked: Asked, instant: datetime | None = None) -> int:
    """Takes the news in and brings the memberships of these customers in line; returns how many moves that made.

    instant: that memberships are of, now unless given. Raises Conflict when a segment is changed meanwhile.
    """
    now = milliseconds(instant or clock.now())
    persons = Persons.load(news)
    if gone := news.keys() - persons.canonicals.keys():
        # Nobody looks at the erased again while their erasure is on its way.
        uids = [customer.rpartition("/")[2] for customer in gone]
        Profile.rows().update_many({"uid": {"$in": uids}}, {"$unset": {"due": ""}})
    changes, moves = bring_in_line(persons, news, asked, now)
    _write({name: changed for name, changed in changes.items() if changed or "spread" not in persons.rows[name]})
    moves.carry_out(persons.scores, asked.versions)
    return moves.count


def bring_in_line(persons: Persons, news: Mapping[str, News], asked: Asked, now: int) -> tuple[dict[str, Row], Moves]:
    """What the news change in the profiles of those who are there, by customer (None: gone), and who moves by it.

    now: milliseconds since 1970.
    """
    changes: dict[str, Row] = defaultdict(dict)
    for customer in persons.canonicals:
        _take_in(persons, customer, news[customer], now, changes)
    moves = Moves()
    by_profile: dict[str, list[News]] = defaultdict(list)
    for customer, canonical in persons.canonicals.items():
        by_profile[canonical].append(news[customer])
    astray = (name for name, row in persons.rows.items() if row.get("segments"))
    for customer in sorted({*by_profile, *persons.canonicals, *astray}):
        row = persons.rows.setdefault(customer, {"customer": customer})
        told = by_profile.get(customer, [])
        before = set(row.get("segments", ()))
        after = _segments_of(persons, customer, told, asked, now, changes[customer])
        if after == before:
            continue
        changes[customer]["segments"] = sorted(after)
        for segment in sorted(after ^ before):
            cause = _cause(persons, customer, segment, told, asked)
            moves.note(segment, customer, entered=segment in after, cause=cause)
    return changes, moves


def _take_in(persons: Persons, customer: str, news: News, now: int, changes: dict[str, Row]) -> None:
    """Changes the customer's row by the news, and notes what is changed."""
    row = persons.rows.setdefault(customer, {"customer": customer})
    changed: Row = {}
    if news.events:
        known = cast(list[Series], row.get("series", []))
        changed["series"] = happenings.add(known, news.events, now)
    for state in news.states:
        if state["kind"] == CUSTOMER:
            if state["sequence"] > changed.get("traits_sequence", row.get("traits_sequence", [])):
                changed |= {
                    "traits": state["traits"],
                    "traits_sequence": state["sequence"],
                    "deleted": state["deleted"],
                }
        else:
            consents = cast(list[Statement], changed.get("consents", row.get("consents", [])))
            changed["consents"] = _with_statement(consents, state)
    changed = {name: value for name, value in changed.items() if row.get(name) != value}
    changes[customer] |= changed
    row |= changed


def _with_statement(known: list[Statement], state: Row) -> list[Statement]:
    new = cast(Statement, {name: state[name] for name in Statement.__annotations__})
    others = [each for each in known if each["consent"] != new["consent"]]
    mine = [each for each in known if each["consent"] == new["consent"]]
    if mine and mine[0]["sequence"] >= new["sequence"]:
        return known
    return sorted([*others, new], key=lambda each: (each["sequence"], each["consent"]))[-CONSENTS_MAX:]


def _segments_of(
    persons: Persons, customer: str, told: Iterable[News], asked: Asked, now: int, changed: Row
) -> set[str]:
    """The segments a customer is in after the news; notes when that can change, and what members are listed by."""
    row = persons.rows[customer]
    scores = persons.scores.get(customer)
    value = scores.get("lifetime_value_minor") if scores else None
    if value != row.get("value"):
        changed["value"] = value
    if not persons.belongs(customer):
        changed.update({name: None for name in ("due", "known") if row.get(name) is not None})
        return set()
    keys: set[str] | None = set() if row.get("known") else None
    for news in told:
        keys = None if keys is None or news.keys is None else keys | news.keys
    due: datetime | None = row.get("due")
    if keys is None:
        person = persons.person(customer, now)
        asked.book.judge(person, asked.book.rules)
        due = None
        if not row.get("known"):
            changed["known"] = True
    else:
        # What was in a segment stays there unless something of what the segment asks for is new.
        person = persons.person(customer, now, row.get("segments", ()))
        direct = {key.removeprefix("changed:") for key in keys if key.startswith("changed:")}
        asked.book.judge(person, asked.book.affected(frozenset(keys)))
        if direct:
            asked.book.judge(person, asked.book.with_those_asking(direct & asked.book.rules.keys()))
    if person.due is not None:
        instant = _EPOCH + timedelta(milliseconds=person.due)
        due = instant if due is None else min(due, instant)
    if due != row.get("due"):
        changed["due"] = due
    return person.inside


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _cause(persons: Persons, customer: str, segment: str, told: Iterable[News], asked: Asked) -> int:
    if segment in asked.deleted:
        return Cause.CAUSE_SEGMENT_DELETED
    if not persons.stands(customer):
        return Cause.CAUSE_MERGED
    if customer in persons.objecting:
        return Cause.CAUSE_SCORES_REMOVED
    causes = set[int]().union(*(news.causes for news in told))
    if segment in asked.changed or Cause.CAUSE_SEGMENT_CHANGED in causes:
        return Cause.CAUSE_SEGMENT_CHANGED
    if causes.intersection(_SCORES):
        return Cause.CAUSE_SCORES_CHANGED if customer in persons.scores else Cause.CAUSE_SCORES_REMOVED
    return Cause.CAUSE_TIME_PASSED if causes == {Cause.CAUSE_TIME_PASSED} else Cause.CAUSE_CUSTOMER_CHANGED


def _write(changes: Mapping[str, Row]) -> None:
    operations = []
    for customer, changed in changes.items():
        update: dict[str, Any] = {}
        kept = {name: value for name, value in changed.items() if value is not None}
        gone = {name: "" for name, value in changed.items() if value is None}
        if kept:
            update["$set"] = kept
        if gone:
            update["$unset"] = gone
        update["$setOnInsert"] = {"customer": customer, "spread": zlib.crc32(customer.encode())}
        operations.append(UpdateOne({"uid": customer.rpartition("/")[2]}, update, upsert=True))
    Profile.rows().bulk_write(operations)
