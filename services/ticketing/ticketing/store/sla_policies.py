"""How soon tickets are answered and resolved."""

from typing import Any, ClassVar

import mongoengine as me

from docstore.aggregate import Aggregate

POLICIES_MAX = 200


class Target(me.EmbeddedDocument):
    """What is agreed for a priority, in seconds of open hours; absent where nothing is."""

    priority: Any = me.StringField(required=True)
    first_response: Any = me.IntField()
    resolution: Any = me.IntField()


class SlaPolicy(Aggregate):
    """A policy; the uid is chosen by whoever creates it."""

    resource = "slaPolicies"
    meta: ClassVar[dict[str, Any]] = {"collection": "sla_policies", "indexes": [["tenant", "order", "id"]]}
    display_name: Any = me.StringField(required=True)
    calendar: Any = me.StringField(required=True)
    """Uid of the calendar."""
    filter: Any = me.StringField()
    order: Any = me.IntField(required=True)
    targets: Any = me.EmbeddedDocumentListField(Target, required=True)
    warning_percent: Any = me.IntField(required=True)

    @classmethod
    def in_order(cls) -> "list[SlaPolicy]":
        """All policies in the order they are looked at."""
        return cls.find({}, sort=[("order", 1), ("_id", 1)], limit=POLICIES_MAX)

    def target(self, priority: str) -> Target | None:
        """What is agreed for a priority."""
        return next((target for target in self.targets if target.priority == priority), None)
