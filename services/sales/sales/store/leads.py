"""Leads, and the desk where those wait that nobody looks after yet."""

from collections.abc import Iterable
from typing import Any, ClassVar

import mongoengine as me
from pymongo import UpdateOne
from rapport.sales.v1 import events_pb2

from chassis import clock
from docstore import Row, due
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


class LeadFacts(me.EmbeddedDocument):
    """What was known of a lead when it was created, as `LeadFacts` of the contract; never changed."""

    source: Any = me.StringField(required=True)
    has_company: Any = me.BooleanField(required=True)
    employee_count: Any = me.IntField(required=True)
    has_budget: Any = me.BooleanField(required=True)
    region_code: Any = me.StringField()
    has_email: Any = me.BooleanField(required=True)
    has_phone: Any = me.BooleanField(required=True)
    message_length: Any = me.IntField(required=True)
    is_customer: Any = me.BooleanField(required=True)
    score: Any = me.IntField(required=True)
    """The points it had."""


class ConversionEstimate(me.EmbeddedDocument):
    """What scoring last told of a lead; without a probability it took its score back.

    Written past the version (`estimate`): nobody's etag ends because a model looked again.
    """

    change_time: Any = InstantField(required=True)
    probability: Any = me.FloatField()
    low: Any = me.FloatField()
    high: Any = me.FloatField()
    percentile: Any = me.FloatField()
    reasons: Any = me.ListField(me.StringField())
    model: Any = me.StringField()
    decision: Any = me.StringField()
    score_time: Any = InstantField()


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
            ["tenant", "-conversion_estimate.probability", "-id"],
            ["tenant", "state", "-conversion_estimate.probability", "-id"],
            ["tenant", "assignment.owner", "state", "-conversion_estimate.probability", "-id"],
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
    facts: Any = me.EmbeddedDocumentField(LeadFacts)
    """Absent for leads of before it was kept."""
    conversion_estimate: Any = me.EmbeddedDocumentField(ConversionEstimate)

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
            facts=self._public_facts(),
            initial_score=self.facts.score if self.facts else 0,
        )

    def _public_facts(self) -> events_pb2.LeadFacts | None:
        if self.facts is None:
            return None
        known = self.facts.to_mongo().to_dict()
        del known["score"]
        return events_pb2.LeadFacts(**known, create_time=self.create_time, know_time=self.create_time)


def estimate(changes: Iterable[tuple[str, Row]]) -> None:
    """Notes what scoring told of leads (uid, fields of `ConversionEstimate`); what is older than what is known is not.

    Leads that are gone are left out.
    """
    Lead.rows().bulk_write(
        UpdateOne(
            {"uid": uid, "conversion_estimate.change_time": {"$not": {"$gt": told["change_time"]}}},
            {"$set": {"conversion_estimate": told}},
        )
        for uid, told in changes
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
