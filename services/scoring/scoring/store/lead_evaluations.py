"""What-if questions about leads, between the role that is asked and the role that knows the models."""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

from docstore import due
from docstore.documents import InstantField
from docstore.records import Record

KEPT = timedelta(minutes=1)
"""On the real clock: whoever asked takes the row away with the answer; where it died, time does."""


class LeadEvaluation(Record):
    """Facts that somebody thinks of, and what a model tells of them; of no lead and no person by name.

    due: when it was asked, absent once it is answered. model: uid of the one that told; absent where none could.
    told: as `Lead.score`, without ground and times.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "lead_evaluations",
        "indexes": [due.INDEX, {"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True}],
    }
    facts: Any = me.DictField(required=True)
    due: Any = InstantField()
    lease: Any = me.DictField()
    model: Any = me.StringField()
    told: Any = me.DictField()
    expire_time: Any = InstantField(required=True)
