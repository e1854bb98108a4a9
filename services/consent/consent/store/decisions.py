"""Decisions, kept as the ground of every use."""

from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record

RETENTION_S = 3 * 366 * 24 * 3600
"""Three years: the usual limitation period of claims about an unwanted use."""


class Decision(Record):
    """The answer to "may we?". Written in bulk, so rows are made without hydrating documents."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "decisions",
        "indexes": [{"fields": ["create_time"], "expireAfterSeconds": RETENTION_S}],
    }
    customer: Any = me.StringField(required=True)
    canonical: Any = me.StringField(required=True)
    purpose: Any = me.StringField(required=True)
    channel: Any = me.StringField(required=True)
    allowed: Any = me.BooleanField(required=True)
    reasons: Any = me.ListField(me.StringField(), required=True)
    records: Any = me.ListField(me.StringField())
    actor: Any = me.StringField(required=True)
    create_time: Any = InstantField(required=True)
    expire_time: Any = InstantField(required=True)
