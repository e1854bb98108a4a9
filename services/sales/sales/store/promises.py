"""Promises to customers; an open one is its own durable timer."""

from typing import Any, ClassVar

import mongoengine as me
from google.protobuf.message import Message
from rapport.sales.v1 import events_pb2

from docstore import due
from docstore.aggregate import Aggregate
from docstore.documents import InstantField

OPEN, OVERDUE, KEPT, CANCELLED = "STATE_OPEN", "STATE_OVERDUE", "STATE_KEPT", "STATE_CANCELLED"
STATES = (OPEN, OVERDUE, KEPT, CANCELLED)


class Promise(Aggregate):
    """Something promised until `due_time`. due: the same instant as long as it is open, for `run` to claim."""

    resource = "promises"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "promises",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "owner", "state", "create_time", "id"],
            ["tenant", "state", "create_time", "id"],
            ["tenant", "subject", "create_time", "id"],
            ["tenant", "due_time", "id"],
            ["tenant", "customer", "due_time", "id"],
            ["tenant", "owner", "state", "due_time", "id"],
            ["tenant", "state", "due_time", "id"],
            due.INDEX,
        ],
    }
    customer: Any = me.StringField(required=True)
    subject: Any = me.StringField()
    text: Any = me.StringField(required=True)
    due_time: Any = InstantField(required=True)
    due: Any = InstantField()
    owner: Any = me.StringField()
    state: Any = me.StringField(required=True, choices=STATES)
    end_time: Any = InstantField()

    def __init__(self, *args: Any, **values: Any) -> None:
        values.pop("lease", None)  # The version guards every write; a lease only spares the work.
        super().__init__(*args, **values)

    def move(self, state: str) -> None:
        """Changes the state; the timer runs only while it is open."""
        self.state = state
        self.due = self.due_time if state == OPEN else None

    def tell(self, event: type[Message]) -> None:
        """Emits the state as it now is, as an event of that type."""
        self.emit(event(promise=self.public_state()), [self.customer])

    def public_state(self) -> events_pb2.PromiseState:
        """How events tell it."""
        return events_pb2.PromiseState(
            promise=self.name,
            customer=self.customer,
            text=self.text,
            due_time=self.due_time,
            owner=self.owner or "",
            state=self.state,
            create_time=self.create_time,
        )

    def state_events(self) -> list[Message]:
        """For republishing."""
        return [events_pb2.PromiseUpdated(promise=self.public_state())]
