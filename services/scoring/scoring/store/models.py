"""Models, as fitted by jobs."""

from typing import Any, ClassVar

import mongoengine as me

import docstore


class Model(docstore.Aggregate):
    """What a job fitted; its uid is the job's, so that a repeated step makes no second one."""

    resource: ClassVar[str] = "models"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "models",
        "indexes": [{"fields": ["tenant", "-number"], "unique": True}],
    }

    number: Any = me.LongField(required=True)
    """Which in order it is of the tenant's models, from 1."""
    as_of: Any = docstore.InstantField(required=True)
    window_start_time: Any = docstore.InstantField()
    window_end_time: Any = docstore.InstantField()
    parameters: Any = me.DictField()
    metrics: Any = me.DictField()
    fallback: Any = me.BooleanField(required=True)
    message: Any = me.StringField()
    customers: Any = me.LongField(required=True)
    purchases: Any = me.LongField(required=True)
    fingerprint: Any = me.StringField(required=True)

    @classmethod
    def next_number(cls) -> int:
        """The number after the newest model's."""
        newest = cls.rows().find_one({}, {"number": 1}, sort=[("number", -1)])
        return int(newest["number"]) + 1 if newest else 1
