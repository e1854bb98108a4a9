"""Schedules that start scoring jobs: claimed when they are due, by role `run`."""

from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import mongoengine as me

import docstore
from chassis.tenant_cache import TenantCache
from docstore import due
from docstore.documents import InstantField
from scoring.domain.timing import Interval, LocalTime, Timing
from scoring.store.models import LIFETIME_VALUE

JOB_SCHEDULES_MAX = 50
"""The most schedules of one tenant."""
STARTED, SKIPPED = "STARTED", "SKIPPED"
_SCORING = (None, "SCORE")
"""Tasks that make scores."""
_WAITING: dict[str, Any] = {"due": {"$exists": True}}
_KEPT_S = 1.0


class JobSchedule(docstore.Aggregate):
    """What jobs do and when they start. Either interval_hours is set, or the others of the timing.

    due: when the next one starts, absent while paused. What starting writes (`last_…`, `due`) is no new version: it is
    guarded by the lease and by the version whose terms were followed.
    """

    resource: ClassVar[str] = "jobSchedules"
    hidden: ClassVar[tuple[str, ...]] = ("outbox", "lease")
    meta: ClassVar[dict[str, Any]] = {
        "collection": "job_schedules",
        "indexes": [
            due.INDEX,
            ["tenant", "create_time", "id"],
            {"fields": ["tenant", "due"], "partialFilterExpression": _WAITING, "name": "waiting"},
        ],
    }

    display_name: Any = me.StringField(required=True)
    kind: Any = me.StringField()
    """As asked for; absent where none was."""
    task: Any = me.StringField()
    horizon_weeks: Any = me.IntField()
    discount_basis_points: Any = me.IntField()
    usage_events: Any = me.ListField(me.StringField())
    interval_hours: Any = me.IntField()
    minutes: Any = me.IntField()
    """After midnight."""
    days: Any = me.ListField(me.IntField())
    """Of the week, 0 is Monday; as asked for: none are all."""
    time_zone: Any = me.StringField()
    paused: Any = me.BooleanField(default=False)
    due: Any = InstantField()
    last_due_time: Any = InstantField()
    last_outcome: Any = me.StringField(choices=(STARTED, SKIPPED))
    last_message: Any = me.StringField()
    last_job: Any = me.StringField()

    @property
    def timing(self) -> Timing:
        """When its jobs start."""
        if self.interval_hours:
            return Interval(self.interval_hours)
        return LocalTime(self.minutes, frozenset(self.days or range(7)), ZoneInfo(self.time_zone))


def _read_plans() -> dict[str, datetime]:
    rows = JobSchedule.rows().find(_WAITING, {"kind": 1, "task": 1, "due": 1}, sort=[("due", 1)])
    found: dict[str, datetime] = {}
    for row in rows:
        if row.get("task") in _SCORING:
            found.setdefault(row.get("kind") or LIFETIME_VALUE, row["due"])
    return found


next_scorings = TenantCache(_read_plans, _KEPT_S)
"""When the current tenant's next scheduled scoring of each kind of model is due, by kind: every read of scores asks."""
