"""Schedules that start scoring jobs: claimed when they are due, by role `run`."""

import threading
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import mongoengine as me
from cachetools import TTLCache

import docstore
from chassis import tenancy
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
"""How long a process knows the plans of a tenant without reading them anew."""


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


_plans: TTLCache[str, dict[str, datetime]] = TTLCache(maxsize=1_000, ttl=_KEPT_S)
_lock = threading.Lock()


def next_scorings() -> dict[str, datetime]:
    """When the current tenant's next scheduled scoring of each kind of model is due, by kind.

    What another process changed within the last second may be missing: every read of scores asks.
    """
    tenant = tenancy.tenant()
    with _lock:
        found = _plans.get(tenant)
    if found is None:
        found = _read_plans()
        with _lock:
            _plans[tenant] = found
    return found


def forget_plans() -> None:
    """Lets this process read the current tenant's plans anew."""
    with _lock:
        _plans.pop(tenancy.tenant(), None)


def _read_plans() -> dict[str, datetime]:
    rows = JobSchedule.rows().find(_WAITING, {"kind": 1, "task": 1, "due": 1}, sort=[("due", 1)])
    found: dict[str, datetime] = {}
    for row in rows:
        if row.get("task") in _SCORING:
            found.setdefault(row.get("kind") or LIFETIME_VALUE, row["due"])
    return found
