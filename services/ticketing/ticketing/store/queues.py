"""Where tickets wait for an agent."""

from typing import Any, ClassVar

import mongoengine as me

from docstore import due
from docstore.aggregate import Aggregate
from docstore.documents import InstantField

DEFAULT = "default"
"""The uid of the queue that takes what fits no other one."""
DEFAULT_ORDER = 1_000_001
QUEUES_MAX = 200


class Queue(Aggregate):
    """A queue; the uid is chosen by whoever creates it. `due`: waiting tickets are to be put into queues anew."""

    resource = "queues"
    hidden: ClassVar[tuple[str, ...]] = ("outbox", "lease")
    meta: ClassVar[dict[str, Any]] = {"collection": "queues", "indexes": [["tenant", "order", "id"], due.INDEX]}
    display_name: Any = me.StringField(required=True)
    filter: Any = me.StringField()
    order: Any = me.IntField(required=True)
    skills: Any = me.ListField(me.StringField())
    due: Any = InstantField()

    @classmethod
    def default(cls) -> "Queue":
        """The default queue as it is before anybody has changed it; not stored."""
        return cls.new(uid=DEFAULT, display_name="Default", order=DEFAULT_ORDER)

    @classmethod
    def in_order(cls) -> "list[Queue]":
        """All queues in the order they are looked at, the default one last."""
        found = cls.find({}, sort=[("order", 1), ("_id", 1)], limit=QUEUES_MAX + 1)
        return found if any(queue.uid == DEFAULT for queue in found) else [*found, cls.default()]

    @classmethod
    def named(cls, uid: str) -> "Queue":
        """The queue with that uid; the default one is there by itself. Raises NotFound."""
        return cls.get_many([uid]).get(uid, cls.default()) if uid == DEFAULT else cls.get(uid)
