"""Where each person stands on each purpose and channel."""

from collections.abc import Collection
from typing import Any, ClassVar, Self

import mongoengine as me
from google.protobuf.message import Message
from rapport.consent.v1 import events_pb2

from consent.domain.decisions import Statement
from consent.domain.opt_ins import Question
from consent.domain.states import State
from docstore.aggregate import Aggregate
from docstore.documents import InstantField


class OptIn(me.EmbeddedDocument):
    """The last question asked by e-mail. The address is kept as a keyed fingerprint only."""

    nonce: Any = me.StringField()
    """Carried by the links of this question; another address or a new round gets another one. Absent once something
    else was said, so that no old link counts any more."""
    address_fingerprint: Any = me.StringField()
    expire_time: Any = InstantField()
    sent: Any = me.ListField(InstantField())
    """When messages were asked for within the last day, this one included; oldest first."""


class Consent(Aggregate):
    """One per tenant, customer, purpose and channel. Changed only together with the record that proves the change."""

    resource = "consents"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "consents",
        "indexes": [
            {"fields": ["tenant", "customer", "purpose", "channel"], "unique": True},
            ["tenant", "id"],
            ["tenant", "purpose", "state", "id"],
            ["tenant", "state", "id"],
        ],
    }

    customer: Any = me.StringField(required=True)
    purpose: Any = me.StringField(required=True)
    channel: Any = me.StringField(required=True)
    state: Any = me.StringField(required=True, choices=[state.value for state in State if state is not State.NONE])
    notice_version: Any = me.IntField(required=True)
    record: Any = me.StringField(required=True)
    """Uid of the record that proves the state."""
    overrides: Any = me.ListField(me.StringField())
    """Uids of other members' records that a grant of a merged person answers (see `consent.domain.decisions`)."""
    decide_time: Any = InstantField()
    opt_in: Any = me.EmbeddedDocumentField(OptIn)
    erased: Any = me.BooleanField()
    """The person was erased: what is left names nobody, and is told to nobody."""

    @classmethod
    def about(cls, customer: str, purpose: str, channel: str) -> Self | None:
        """The consent of one customer (resource names), None when nothing was ever said."""
        found = cls.find({"customer": customer, "purpose": purpose, "channel": channel}, limit=1)
        return found[0] if found else None

    def question(self) -> Question | None:
        """The question by e-mail that led to the present state, if one did."""
        return Question(self.opt_in.nonce, self.opt_in.expire_time) if self.opt_in and self.opt_in.nonce else None

    def state_events(self) -> list[Message]:
        """The one STATE event that tells where the person stands; none of an erased one."""
        if self.erased:
            return []
        told = events_pb2.ConsentState(
            consent=self.name,
            customer=self.customer,
            purpose=self.purpose,
            channel=self.channel,
            state=self.state,
            notice_version=self.notice_version,
            consent_record=f"consentRecords/{self.record}",
            answered_records=[f"consentRecords/{record}" for record in self.overrides or ()],
        )
        if self.decide_time:
            told.decide_time.FromDatetime(self.decide_time)
        match State(self.state):
            case State.GRANTED:
                return [events_pb2.ConsentGranted(consent=told)]
            case State.REFUSED | State.WITHDRAWN:
                return [events_pb2.ConsentWithdrawn(consent=told)]
            case _:
                return [events_pb2.ConsentPending(consent=told)]


def statements(customers: Collection[str], purpose: str, channel: str) -> dict[str, list[Statement]]:
    """What stands for each customer (resource names) that has said anything; one query."""
    rows = Consent.rows().find(
        {"customer": {"$in": list(customers)}, "purpose": purpose, "channel": channel},
        {"_id": 0, "customer": 1, "state": 1, "notice_version": 1, "record": 1, "overrides": 1},
    )
    found: dict[str, list[Statement]] = {}
    for row in rows:
        overrides = frozenset(row.get("overrides") or ())
        statement = Statement(State(row["state"]), row["notice_version"], row["record"], overrides)
        found.setdefault(row["customer"], []).append(statement)
    return found
