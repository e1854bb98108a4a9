"""Opportunities and the pipelines they go through."""

from collections.abc import Iterable
from typing import Any, ClassVar

import mongoengine as me
from rapport.sales.v1 import events_pb2

from chassis import money
from docstore.aggregate import Aggregate
from docstore.documents import InstantField
from sales.domain import stages as rules
from sales.store.accounts import PURGE_INDEX

OPEN, WON, LOST = "STATE_OPEN", "STATE_WON", "STATE_LOST"
STATES = (OPEN, WON, LOST)
DEFAULT_PIPELINE = "default"


class Stage(me.EmbeddedDocument):
    """A stage; probability in percent."""

    stage: Any = me.StringField(required=True)
    display_name: Any = me.StringField(required=True)
    probability: Any = me.IntField(required=True)


class Pipeline(Aggregate):
    """The way opportunities go; its uid is chosen by whoever creates it."""

    resource = "pipelines"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "pipelines",
        "indexes": [["tenant", "create_time", "id"], PURGE_INDEX],
    }

    display_name: Any = me.StringField(required=True)
    stages: Any = me.EmbeddedDocumentListField(Stage, required=True)

    def put(self, stages: Iterable[rules.Stage]) -> None:
        """Takes over stages that have been checked."""
        self.stages = [
            Stage(stage=stage.id, display_name=stage.display_name, probability=stage.probability) for stage in stages
        ]

    def values(self) -> list[rules.Stage]:
        """The stages as the rules know them."""
        return [rules.Stage(stage.stage, stage.display_name, stage.probability) for stage in self.stages]


class Opportunity(Aggregate):
    """A deal that may be made. account, contact, customer, lead: resource names; pipeline: uid."""

    resource = "opportunities"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "opportunities",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "state", "create_time", "id"],
            ["tenant", "pipeline", "stage", "state", "create_time", "id"],
            ["tenant", "pipeline", "stage", "create_time", "id"],
            ["tenant", "pipeline", "create_time", "id"],
            ["tenant", "owner", "state", "create_time", "id"],
            ["tenant", "owner", "create_time", "id"],
            ["tenant", "account", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "contact"],
            ["tenant", "lead", "create_time", "id"],
        ],
    }
    display_name: Any = me.StringField(required=True)
    account: Any = me.StringField(required=True)
    contact: Any = me.StringField()
    customer: Any = me.StringField()
    lead: Any = me.StringField()
    pipeline: Any = me.StringField(required=True)
    stage: Any = me.StringField(required=True)
    amount_minor: Any = me.LongField(required=True)
    currency: Any = me.StringField(required=True)
    expected_close_date: Any = me.StringField()
    """ISO 8601, such as 2026-11-30."""
    owner: Any = me.StringField()
    state: Any = me.StringField(required=True, choices=STATES)
    lost_reason: Any = me.StringField()
    close_time: Any = InstantField()

    @property
    def subjects(self) -> list[str]:
        """Whom events of it are about."""
        return [self.customer] if self.customer else []

    def public_state(self) -> events_pb2.OpportunityState:
        """How events tell it."""
        return events_pb2.OpportunityState(
            opportunity=self.name,
            account=self.account,
            customer=self.customer or "",
            amount=money.from_minor(self.amount_minor, self.currency),
            stage=self.stage,
            owner=self.owner or "",
        )
