"""Who works on tickets."""

from collections.abc import Iterable
from typing import Any, ClassVar

import mongoengine as me

from docstore import Row, due
from docstore.aggregate import Aggregate
from docstore.documents import InstantField

AGENTS_MAX = 2_000
"""Agents of a tenant that are looked at for a ticket."""


class Agent(Aggregate):
    """An agent; the uid is chosen by whoever creates it.

    due: set when the agent may be able to take more tickets than before; whoever assigns claims it.
    assignments: grows with every ticket given to the agent, so that two assignments at the same time collide.
    """

    resource = "agents"
    hidden: ClassVar[tuple[str, ...]] = ("outbox", "lease", "assignments")
    meta: ClassVar[dict[str, Any]] = {
        "collection": "agents",
        "indexes": [["tenant", "create_time", "id"], ["tenant", "available", "id"], due.INDEX],
    }
    display_name: Any = me.StringField(required=True)
    principal: Any = me.StringField()
    skills: Any = me.ListField(me.StringField())
    languages: Any = me.ListField(me.StringField())
    capacity: Any = me.IntField(required=True)
    available: Any = me.BooleanField(required=True)
    due: Any = InstantField()


def available() -> list[Row]:
    """The agents that tickets are assigned to now."""
    return list(Agent.rows().find({"available": True}, limit=AGENTS_MAX, projection={"outbox": 0}))


def reserve(agents: Iterable[str]) -> None:
    """Makes every other assignment to these agents (uids) at the same time collide with this transaction."""
    Agent.rows().update_many({"uid": {"$in": sorted(set(agents))}}, {"$inc": {"assignments": 1}})
