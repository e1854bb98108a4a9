"""What-if questions, between the role that is asked and the role that has the models in memory."""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

from docstore import due
from docstore.documents import InstantField
from docstore.records import Record

KEPT = timedelta(minutes=1)
"""On the real clock: whoever asked takes the row away with the answer; where it died, time does."""


class Evaluation(Record):
    """What somebody thinks of, and what a model tells of it.

    kind: of the model. question, answer: as `usecases.evaluations` passes them on. due: when it was asked, absent once
    it is answered. refused: why it cannot be, `kind`, `reason`, `message` and `violations` of an error.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "evaluations",
        "indexes": [due.INDEX, {"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True}],
    }
    kind: Any = me.StringField(required=True)
    question: Any = me.DictField(required=True)
    due: Any = InstantField()
    lease: Any = me.DictField()
    answer: Any = me.DictField()
    refused: Any = me.DictField()
    expire_time: Any = InstantField(required=True)
