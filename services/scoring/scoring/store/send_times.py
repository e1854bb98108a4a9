"""When in the week customers are active."""

from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record


class CustomerSendTime(Record):
    """The best hours of one profile; its uid is that of the customer that stands for it. Written in bulk.

    ranking: the 168 hours of the week, a byte each, the best first; 0 is Monday 0:00 in `time_zone`. probabilities: of
    the first of these. active_hours: hours in which the customer was active, of those learned from.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "customer_send_times", "indexes": [["tenant", "job"]]}
    customer: Any = me.StringField(required=True)
    ranking: Any = me.BinaryField(required=True)
    probabilities: Any = me.ListField(me.FloatField())
    time_zone: Any = me.StringField(required=True)
    active_hours: Any = me.LongField(required=True)
    reasons: Any = me.ListField(me.StringField())
    fallback: Any = me.BooleanField(required=True)
    job: Any = me.StringField(required=True)
    model: Any = me.StringField(required=True)
    as_of: Any = InstantField(required=True)
    decision: Any = me.StringField(required=True)
    score_time: Any = InstantField(required=True)
    change_time: Any = InstantField()
    """As the event that told these hours says; whatever is told next says a later one."""
