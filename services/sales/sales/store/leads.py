"""Leads, and the desk where those wait that nobody looks after yet."""

from typing import Any, ClassVar

import mongoengine as me
from rapport.sales.v1 import events_pb2

from chassis import clock
from docstore import due
from docstore.aggregate import Aggregate
from docstore.documents import InstantField
from docstore.records import Record

OPEN, CONVERTED, DISQUALIFIED = "STATE_OPEN", "STATE_CONVERTED", "STATE_DISQUALIFIED"
STATES = (OPEN, CONVERTED, DISQUALIFIED)
WAITING_RULE, LOWEST_LOAD, MANUAL = "RULE_WAITING", "RULE_LOWEST_LOAD", "RULE_MANUAL"

DESK = "default"


class ScoreReason(me.EmbeddedDocument):
    """Points and what they are given for."""

    rule: Any = me.StringField(required=True)
    points: Any = me.IntField(required=True)
    description: Any = me.StringField(required=True)


class LeadAssignment(me.EmbeddedDocument):
    """Who looks after a lead (owner: principal, sales_rep: uid; absent while it waits), and why."""

    owner: Any = me.StringField()
    sales_rep: Any = me.StringField()
    rule: Any = me.StringField(required=True, choices=[WAITING_RULE, LOWEST_LOAD, MANUAL])
    reason: Any = me.StringField(required=True)
    load: Any = me.IntField()
    capacity: Any = me.IntField()
    assign_time: Any = InstantField(required=True)


class Conversion(me.EmbeddedDocument):
    """What a lead became; resource names."""

    account: Any = me.StringField(required=True)
    contact: Any = me.StringField(required=True)
    opportunity: Any = me.StringField(required=True)
    convert_time: Any = InstantField(required=True)


class Lead(Aggregate):
    """Somebody who may buy. waiting: it is open and nobody looks after it."""

    resource = "leads"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "leads",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "state", "create_time", "id"],
            ["tenant", "source", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "email", "create_time", "id"],
            ["tenant", "assignment.owner", "state", "create_time", "id"],
            ["tenant", "-score", "-id"],
            ["tenant", "state", "-score", "-id"],
            ["tenant", "assignment.owner", "state", "-score", "-id"],
            ["tenant", "assignment.sales_rep", "state"],
            {"fields": ["tenant", "waiting", "id"], "partialFilterExpression": {"waiting": True}},
        ],
    }
    display_name: Any = me.StringField(required=True)
    company_name: Any = me.StringField()
    email: Any = me.StringField()
    phone: Any = me.StringField()
    region_code: Any = me.StringField()
    language_code: Any = me.StringField()
    source: Any = me.StringField(required=True)
    message: Any = me.StringField()
    employee_count: Any = me.IntField()
    budget_minor: Any = me.LongField()
    budget_currency: Any = me.StringField()
    customer: Any = me.StringField()
    required_skills: Any = me.ListField(me.StringField())
    score: Any = me.IntField(required=True)
    score_reasons: Any = me.EmbeddedDocumentListField(ScoreReason)
    assignment: Any = me.EmbeddedDocumentField(LeadAssignment, required=True)
    waiting: Any = me.BooleanField()
    state: Any = me.StringField(required=True, choices=STATES)
    conversion: Any = me.EmbeddedDocumentField(Conversion)
    disqualification_reason: Any = me.StringField()

    @property
    def subjects(self) -> list[str]:
        """Whom events of it are about."""
        return [self.customer] if self.customer else []

    def public_state(self) -> events_pb2.LeadState:
        """How events tell it."""
        return events_pb2.LeadState(
            lead=self.name,
            customer=self.customer or "",
            score=self.score,
            owner=self.assignment.owner or "",
            assignment_reason=self.assignment.reason,
            state=self.state,
        )


class LeadDesk(Record):
    """The one desk of a tenant; whoever has leased it gives out the leads that wait.

    due: when to look through them, absent while none waits. calls: grows with every call, so that one that comes
    while the desk is worked at is not taken for done.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "lead_desks", "indexes": [due.INDEX]}
    due: Any = InstantField()
    calls: Any = me.LongField()


def call_desk() -> None:
    """Has the leads that wait looked through soon; part of the transaction that made a reason to."""
    LeadDesk.rows().update_one({"uid": DESK}, {"$set": {"due": clock.now()}, "$inc": {"calls": 1}}, upsert=True)


def any_waiting() -> bool:
    """Whether some lead waits."""
    return Lead.rows().find_one({"waiting": True}, {"_id": 1}) is not None
