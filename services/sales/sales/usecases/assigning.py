"""Leads find who looks after them: at once, or from the desk when somebody who fits gets room.

Every lead is given in the transaction that counts it at the sales rep, so nobody ever has more than the capacity.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import docstore
from chassis import clock
from docstore import Row, due, leases
from sales.domain import assignment as rules
from sales.store import Lead, LeadAssignment, LeadDesk, leads, sales_reps

logger = logging.getLogger(__name__)

LEASE_S = 60.0
LOOK_AGAIN = timedelta(minutes=1)
"""How long after a look in vain leads that wait are looked through again, whatever was called meanwhile."""
_DESKS, _AT_ONCE = 10, 100


class Assigner:
    """Gives out leads in the order they are offered, by what is known at the start of the transaction."""

    def __init__(self) -> None:
        self._before = {rep.uid: rep for rep in sales_reps.all_reps()}
        self._now = dict(self._before)
        self._given: Counter[str] = Counter()

    def offer(self, lead: Lead) -> bool:
        """Assigns the lead, or notes why it waits; True when that changed something."""
        wanted = rules.Wanted(lead.region_code or "", lead.language_code or "", frozenset(lead.required_skills))
        choice = rules.choose(wanted, self._now.values())
        if choice.rep is None:
            if lead.waiting and lead.assignment.reason == choice.reason:
                return False
            lead.waiting = True
            lead.assignment = LeadAssignment(rule=leads.WAITING_RULE, reason=choice.reason, assign_time=clock.now())
            return True
        self.give(lead, choice.rep, leads.LOWEST_LOAD, choice.reason)
        return True

    def give(self, lead: Lead, rep: rules.Rep, rule: str, reason: str) -> None:
        """Gives the lead to a sales rep who has room."""
        lead.waiting = None
        lead.assignment = LeadAssignment(
            owner=rep.principal,
            sales_rep=rep.uid,
            rule=rule,
            reason=reason,
            load=rep.load,
            capacity=rep.capacity,
            assign_time=clock.now(),
        )
        self._given[rep.uid] += 1
        self._now[rep.uid] = replace(rep, load=rep.load + 1)

    def rep(self, uid: str) -> rules.Rep | None:
        """The sales rep as they now are."""
        return self._now.get(uid)

    def count(self) -> None:
        """Counts what was given at the sales reps. Raises Conflict when one of them was changed meanwhile."""
        sales_reps.take_room(self._before, self._given)


def assign_new(lead: Lead) -> None:
    """Finds who looks after a new lead, in the transaction that stores it."""
    assigner = Assigner()
    assigner.offer(lead)
    assigner.count()
    if lead.waiting:
        leads.call_desk()


def release(lead: Lead) -> None:
    """The lead leaves its sales rep, in the transaction that writes it; somebody who waits may take the room."""
    if lead.state == leads.OPEN and lead.assignment.sales_rep:
        sales_reps.give_room({lead.assignment.sales_rep: 1})
        if leads.any_waiting():
            leads.call_desk()


def give_out(owner: str) -> int:
    """Gives out leads that wait, of all tenants whose desk is due; returns how many desks it worked at.

    A desk is leased, so one process works at it; leads go in the order they came.
    """
    return due.work(LeadDesk, _DESKS, LEASE_S, owner, "giveOutLeads", _work_at)


def _work_at(desk: Row) -> None:
    after, waiting = "", False
    while True:
        looked = _give_some(after)
        waiting = waiting or looked.waiting
        if not looked.more:
            break
        after = looked.last
        if not leases.renew(LeadDesk.rows(), desk, LEASE_S):
            return
    done = {"$set": {"due": clock.now() + LOOK_AGAIN}} if waiting else {"$unset": {"due": ""}}
    # A call that came meanwhile keeps the desk due.
    LeadDesk.rows().update_one({**leases.held(desk), "calls": desk["calls"]}, done)
    leases.release(LeadDesk.rows(), desk)


@dataclass(frozen=True, slots=True)
class _Looked:
    """How far a look through waiting leads came: the last uid, whether some still wait, whether there are more."""

    last: str
    waiting: bool
    more: bool


@docstore.command(None)
def _give_some(after: str) -> _Looked:
    found = _waiting(after)
    assigner = Assigner()
    Lead.save_many([lead for lead in found if assigner.offer(lead)])
    assigner.count()
    still = any(lead.waiting for lead in found)
    return _Looked(found[-1].uid if found else after, still, len(found) == _AT_ONCE)


def _waiting(after: str) -> Sequence[Lead]:
    place = {"_id": {"$gt": Lead.key(after)}} if after else {}
    return Lead.find({"waiting": True, **place}, sort=[("_id", 1)], limit=_AT_ONCE)
