"""Tickets get agents: by the role `run`, by hand, and when they are opened again.

Nobody ever gets more tickets than fit, however many processes assign at the same time: each assignment is a
transaction that counts the agent's tickets and leaves its mark in the agent (`agents.reserve`), so that of two at the
same time one starts again and counts anew. Resolving a ticket only lowers a count and needs no such care.
"""

import logging
from dataclasses import replace
from datetime import datetime

from rapport.ticketing.v1 import events_pb2

import docstore
from chassis import clock
from chassis.errors import FailedPrecondition
from docstore import Row, whole_milliseconds
from ticketing.domain.assignment import Candidate, Choice, Need, choose
from ticketing.store import Agent, Ticket, agents, tickets
from ticketing.store.tickets import NEW, NO_SKILLS, RESOLVED
from ticketing.usecases import lifecycle

BATCH = 100
"""Tickets assigned in one transaction."""
BY_HAND = "given by hand"

logger = logging.getLogger(__name__)


def assign_waiting() -> int:
    """Gives the current tenant's waiting tickets to whoever can take them; returns how many.

    Those that nobody can take keep waiting and say why.
    """
    count = 0
    while True:
        assigned, reasons = docstore.in_transaction(_assign_batch)
        count += assigned
        for need, reason in reasons.items():
            tickets.explain_waiting(need, reason)
        if assigned < BATCH:
            return count


@docstore.command(None)
def assign(uid: str, agent_uid: str, etag: str, *, force: bool) -> Ticket:
    """Gives a ticket to an agent by hand, or back into its queue without one. Raises NotFound, Aborted,
    FailedPrecondition TICKET_RESOLVED and, unless forced, AGENT_FULL.
    """
    ticket = Ticket.get(uid)
    ticket.check_etag(etag or None)
    if ticket.state == RESOLVED:
        raise FailedPrecondition(
            "TICKET_RESOLVED", f"{ticket.name} is resolved; reopen it first.", metadata={"resource": ticket.name}
        )
    now, had_agent = whole_milliseconds(clock.now()), lifecycle.holder(ticket)
    if not agent_uid:
        lifecycle.release(ticket, "given back by hand")
        lifecycle.conclude(ticket, now, events_pb2.TicketUpdated(), had_agent=had_agent)
        return ticket.save(etag or None)
    agent = Agent.get(agent_uid)
    load = tickets.loads([agent.uid])[agent.uid]
    if agent.uid != ticket.agent:
        if load >= agent.capacity and not force:
            raise FailedPrecondition(
                "AGENT_FULL",
                f"{agent.name} has {load} of {agent.capacity} tickets; set force to give it all the same.",
                metadata={"resource": agent.name},
            )
        agents.reserve([agent.uid])
        lifecycle.give(ticket, agent.uid, load, BY_HAND, now)
        event = events_pb2.TicketAssigned(reason=BY_HAND)
        lifecycle.conclude(ticket, now, event, had_agent=had_agent)
    return ticket.save(etag or None)


def reopen(ticket: Ticket, now: datetime) -> None:
    """Opens a ticket again, inside a transaction; its agent keeps it if there is room, else it waits for one.

    The caller writes it.
    """
    if ticket.state == RESOLVED and ticket.agent:
        agent = Agent.get_many([ticket.agent]).get(ticket.agent)
        if agent is None or tickets.loads([agent.uid])[agent.uid] >= agent.capacity:
            lifecycle.release(ticket, "waits: the agent who had it has no room")
        else:
            agents.reserve([agent.uid])
    lifecycle.reopen(ticket, now)


def _assign_batch() -> tuple[int, dict[str, str]]:
    """Assigns up to BATCH tickets, in a transaction; how many, and why each other need has to wait."""
    candidates = _candidates(agents.available())
    chosen: list[tuple[Row, Choice]] = []
    reasons: dict[str, str] = {}
    while len(chosen) < BATCH:
        limit = BATCH - len(chosen)
        skip = {row["uid"] for row, _ in chosen}
        found = tickets.waiting(limit + len(skip), reasons)
        fresh = [row for row in found if row["uid"] not in skip]
        if not fresh:
            break
        for row in fresh[:limit]:
            if row["need"] in reasons:
                continue
            skills = () if row["need"] == NO_SKILLS else tuple(row["need"].split(","))
            choice = choose(Need(skills, row.get("language_code", "")), list(candidates.values()))
            if choice.agent is None:
                reasons[row["need"]] = choice.reason
            else:
                chosen.append((row, choice))
                candidates[choice.agent.name] = replace(choice.agent, load=choice.agent.load + 1)
    if chosen:
        _write(chosen)
    return len(chosen), reasons


def _candidates(rows: list[Row]) -> dict[str, Candidate]:
    loads = tickets.loads([row["uid"] for row in rows]) if rows else {}
    return {
        row["uid"]: Candidate(
            row["uid"],
            frozenset(row.get("skills") or ()),
            tuple(row.get("languages") or ()),
            row["capacity"],
            loads[row["uid"]],
        )
        for row in rows
    }


def _write(chosen: list[tuple[Row, Choice]]) -> None:
    now = whole_milliseconds(clock.now())
    found = Ticket.get_many(row["uid"] for row, _ in chosen)
    taken = []
    agents.reserve(choice.agent.name for _, choice in chosen if choice.agent)
    for row, choice in chosen:
        ticket = found[row["uid"]]
        assert ticket.state == NEW, "the transaction reads one state of the database"
        assert choice.agent is not None
        lifecycle.give(ticket, choice.agent.name, choice.agent.load, choice.reason, now)
        lifecycle.conclude(ticket, now, events_pb2.TicketAssigned(reason=choice.reason))
        taken.append(ticket)
    Ticket.save_many(taken)
