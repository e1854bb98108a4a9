"""What the role `run` does: tickets that are due get agents, and tell of their clocks; changed queues are followed.

A claim only keeps several processes from doing the same; whoever loses it has changed nothing twice, because every
write is a transaction guarded by the ticket's version. A claim left by a dead process ends by itself.
"""

from collections.abc import Iterable
from datetime import datetime

from pymongo import UpdateOne

import docstore
from chassis import clock, tenancy
from docstore import Row, due, leases, whole_milliseconds
from docstore.aggregate import Aggregate
from ticketing.settings import TicketingSettings
from ticketing.store import Agent, Queue, Ticket
from ticketing.store.tickets import NEW
from ticketing.usecases import assigning, lifecycle, queues

BATCH = 200
LEASE_S = 5.0


def keep_time(settings: TicketingSettings) -> int:
    """Looks at due tickets, agents and queues of all tenants; returns at how many."""
    count = 0
    for tenant, rows in due.claim(Queue, BATCH, LEASE_S, settings.instance):
        count += len(rows)
        with tenancy.service_context(tenant, method="reroute"):
            queues.reroute()
            for row in rows:
                if row.get("delete_time"):
                    queues.purge_deleted(row["uid"])
            _settle(Queue, rows, {})
    for tenant, rows in due.claim(Agent, BATCH, LEASE_S, settings.instance):
        count += len(rows)
        with tenancy.service_context(tenant, method="assign"):
            assigning.assign_waiting()
            _settle(Agent, rows, {})
    for tenant, rows in due.claim(Ticket, BATCH, LEASE_S, settings.instance):
        count += len(rows)
        with tenancy.service_context(tenant, method="keep time"):
            _look_at(rows)
    return count


def _look_at(rows: list[Row]) -> None:
    """Does what is due for claimed tickets of one tenant."""
    now = whole_milliseconds(clock.now())
    found = {row["uid"]: Ticket.from_row(row) for row in rows}
    told = {uid: at for uid, ticket in found.items() if (at := lifecycle.next_tick(ticket)) is not None and at <= now}
    if any(ticket.state == NEW or uid not in told for uid, ticket in found.items()):
        assigning.assign_waiting()
    if told:
        docstore.in_transaction(lambda: _tell(told, now))
    _settle(Ticket, rows, {uid: lifecycle.next_tick(ticket) for uid, ticket in found.items() if uid not in told})


def _tell(uids: Iterable[str], now: datetime) -> None:
    """Tells, in a transaction, of the clocks of tickets."""
    changed = []
    for ticket in Ticket.get_many(uids).values():
        at = lifecycle.next_tick(ticket)
        if at is not None and at <= now:
            lifecycle.tick(ticket, now)
            ticket.due = lifecycle.next_tick(ticket)
            changed.append(ticket)
    Ticket.save_many(changed)


def _settle(cls: type[Aggregate], rows: list[Row], dues: dict[str, datetime | None]) -> None:
    """Gives claimed documents back: due again as stated, or never; what was changed meanwhile stays due as it is."""
    operations = []
    for row in rows:
        held = leases.held(row)
        unchanged = {**held, "version": row["version"]}
        if (again := dues.get(row["uid"])) is not None:
            operations.append(UpdateOne(unchanged, {"$set": {"due": again}}))
        else:
            operations.append(UpdateOne(unchanged, {"$unset": {"due": ""}}))
        operations.append(UpdateOne(held, {"$unset": {"lease": ""}}))
    cls.rows().bulk_write(operations, ordered=True)
