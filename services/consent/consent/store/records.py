"""The proof: what was said, when and how. Inserted durable and unsealed; the sealer gives each its place in the chain.

A record is the erasable side of the proof: `salt` and `evidence` go with an erasure. The chain itself (`store.chain`)
holds commitments only and stays whole.
"""

from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

from consent.domain import chain
from consent.domain.states import Action
from docstore.connection import Row
from docstore.documents import InstantField
from docstore.records import Record


class Evidence(me.EmbeddedDocument):
    """How a choice came in; checked and masked by `consent.domain.evidence`."""

    method: Any = me.StringField(required=True)
    origin: Any = me.StringField()
    ip_address: Any = me.StringField()
    user_agent: Any = me.StringField()
    language_code: Any = me.StringField()
    address_fingerprint: Any = me.StringField()
    """Keyed fingerprint of the e-mail address that was asked or has confirmed: proves which, without keeping it."""


class ConsentRecord(Record):
    """One statement. `sequence` is 0 until sealed."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "consent_records",
        "indexes": [
            ["tenant", "id"],
            ["tenant", "customer", "id"],
            ["tenant", "purpose", "id"],
            {
                "fields": ["tenant", "sequence"],
                "unique": True,
                "partialFilterExpression": {"sequence": {"$gt": 0}},
            },
            # The sealer asks for the tenants that wait, then for what waits in each.
            {
                "fields": ["sequence", "tenant", "id"],
                "partialFilterExpression": {"sequence": 0},
                "name": "unsealed",
                "platform": True,
            },
        ],
    }

    consent: Any = me.StringField(required=True)
    customer: Any = me.StringField(required=True)
    purpose: Any = me.StringField(required=True)
    channel: Any = me.StringField(required=True)
    action: Any = me.StringField(required=True, choices=[action.value for action in Action])
    notice_version: Any = me.IntField(required=True)
    overrides: Any = me.ListField(me.StringField())
    evidence: Any = me.EmbeddedDocumentField(Evidence)
    actor: Any = me.StringField(required=True)
    create_time: Any = InstantField(required=True)
    salt: Any = me.BinaryField()
    commitment: Any = me.BinaryField(required=True)
    sequence: Any = me.IntField(required=True, default=0)


_COMMITTED = ("tenant", "uid", "consent", "customer", "purpose", "channel", "action", "notice_version", "actor")
_COMMITTED_EVIDENCE = ("method", "origin", "ip_address", "user_agent", "language_code", "address_fingerprint")


def content(row: Row) -> Row:
    """What the commitment of a stored record covers: all of it but its place in the chain."""
    evidence = row.get("evidence") or {}
    create_time: datetime = row["create_time"]
    return {
        **{field: row.get(field) for field in _COMMITTED},
        "overrides": list(row.get("overrides") or ()),
        "evidence": {field: evidence.get(field) or "" for field in _COMMITTED_EVIDENCE},
        "create_time": create_time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def commitment(salt: bytes, row: Row) -> bytes:
    """The commitment of a record as stored."""
    return chain.commitment(salt, content(row))
