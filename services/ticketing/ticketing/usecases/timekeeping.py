"""What the role `run` does: tickets that are due get agents, and tell of their clocks; changed queues are followed.

A claim only keeps several processes from doing the same; whoever loses it has changed nothing twice, because every
write is a transaction guarded by the ticket's version. A claim left by a dead process ends by itself.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import pymongo.errors
from pymongo import UpdateMany

import docstore
from chassis import clock
from docstore import Row, due, whole_milliseconds
from docstore.aggregate import Aggregate
from ticketing.settings import TicketingSettings
from ticketing.store import Agent, Queue, Ticket
from ticketing.store.tickets import NEW
from ticketing.usecases import agents, assigning, lifecycle, queues

BATCH = 200
LEASE_S = 5.0

Work = Callable[[list[Row]], None]

logger = logging.getLogger(__name__)


def keep_time(settings: TicketingSettings) -> int:
    """Looks at due queues, agents and tickets of all tenants; returns at how many.

    A tenant whose work fails is tried again when the claim ends; the others go on. Raises pymongo's errors.
    """
    kinds: tuple[tuple[type[Aggregate], Work], ...] = ((Queue, _follow), (Agent, _make_use), (Ticket, _look_at))
    return sum(
        due.work_by_tenant(
            cls, BATCH, LEASE_S, settings.instance, f"keep time of {cls.resource}", partial(_attempt, work)
        )
        for cls, work in kinds
    )


def _attempt(work: Work, rows: list[Row]) -> None:
    try:
        work(rows)
    except pymongo.errors.PyMongoError:
        raise
    except Exception:
        logger.exception("the work of one tenant failed; it is tried again when its claim ends")


def _follow(rows: list[Row]) -> None:
    """Puts waiting tickets where changed queues want them; once more when nobody goes by older rules any more."""
    queues.reroute()
    now = clock.now()
    again = {row["uid"]: end for row in rows if (end := row["update_time"] + queues.FOLLOWED_FOR) > now}
    for row in rows:
        if row.get("delete_time") and row["uid"] not in again:
            queues.purge_deleted(row["uid"])
    _settle(Queue, rows, again)


def _make_use(rows: list[Row]) -> None:
    """Gives tickets to agents who may be able to take more than before, those of deleted agents among them."""
    for row in rows:
        if row.get("delete_time"):
            agents.take_back(row["uid"])
    assigning.assign_waiting()
    _settle(Agent, rows, {})


def _look_at(rows: list[Row]) -> None:
    """Does what is due for tickets."""
    now = whole_milliseconds(clock.now())
    nexts = {row["uid"]: (row["state"], lifecycle.next_tick(Ticket.from_row(row))) for row in rows}
    told = {uid for uid, (_, instant) in nexts.items() if instant is not None and instant <= now}
    # Due without anything to tell: it waits for an agent, or has made room for another one.
    if any(state == NEW or uid not in told for uid, (state, _) in nexts.items()):
        assigning.assign_waiting()
    if told:
        docstore.in_transaction(lambda: _tell(told, now))
    _settle(Ticket, rows, {uid: instant for uid, (_, instant) in nexts.items() if uid not in told})


def _tell(uids: Iterable[str], now: datetime) -> None:
    """Tells, in a transaction, of the clocks of tickets."""
    changed = []
    for ticket in Ticket.get_many(uids).values():
        instant = lifecycle.next_tick(ticket)
        if instant is not None and instant <= now:
            lifecycle.tick(ticket, now)
            ticket.due = lifecycle.next_tick(ticket)
            changed.append(ticket)
    Ticket.save_many(changed)


def _settle(cls: type[Aggregate], rows: list[Row], dues: dict[str, datetime | None]) -> None:
    """Gives claimed documents back: due again as stated, or never; what was changed meanwhile stays due as it is."""
    unchanged: dict[tuple[int, datetime | None], list[str]] = defaultdict(list)
    for row in rows:
        unchanged[row["version"], dues.get(row["uid"])].append(row["_id"])
    # Rows of one claim share its token: one update for all that end alike.
    token = {"lease.token": rows[0]["lease"]["token"]}
    operations = []
    for (version, again), ids in unchanged.items():
        held = {"_id": {"$in": ids}, **token, "version": version}
        change: Row = {"$unset": {"due": "", "lease": ""}}
        if again is not None:
            change = {"$set": {"due": again}, "$unset": {"lease": ""}}
        operations.append(UpdateMany(held, change))
    operations.append(UpdateMany({"_id": {"$in": [row["_id"] for row in rows]}, **token}, {"$unset": {"lease": ""}}))
    cls.rows().bulk_write(operations, ordered=True)
