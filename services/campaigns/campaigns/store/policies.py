"""How often and when a tenant writes, and what campaigns knows of the tenant itself."""

from datetime import time
from typing import Any, ClassVar

import mongoengine as me

from campaigns.domain.quiet_hours import QuietHours
from docstore import Row
from docstore.aggregate import Aggregate
from docstore.records import Record

UID = "default"
CAP_DAYS_DEFAULT = 7


class SendingPolicy(Aggregate):
    """The one sending policy of a tenant. Times are minutes after midnight."""

    resource = "sendingPolicies"
    meta: ClassVar[dict[str, Any]] = {"collection": "sending_policies"}

    cap_messages: Any = me.IntField(required=True, default=0)
    cap_days: Any = me.IntField(required=True, default=CAP_DAYS_DEFAULT)
    quiet_start: Any = me.IntField(required=True, default=0)
    quiet_end: Any = me.IntField(required=True, default=0)
    default_time_zone: Any = me.StringField()

    def quiet_hours(self) -> QuietHours:
        """The quiet hours as a value."""
        start, end = (time(*divmod(minutes, 60)) for minutes in (self.quiet_start, self.quiet_end))
        return QuietHours(start, end)

    @classmethod
    def current(cls) -> "SendingPolicy":
        """The tenant's policy, a new one without any rule when none was stored."""
        found = cls.get_many([UID])
        return found[UID] if found else cls.new(uid=UID)


class TenantProfile(Record):
    """What access tells of the tenant."""

    meta: ClassVar[dict[str, Any]] = {"collection": "tenant_profiles"}
    time_zone: Any = me.StringField()
    sender_name: Any = me.StringField()
    sender_email: Any = me.StringField()


def learn(values: Row) -> None:
    """Takes over what access tells of the current tenant."""
    TenantProfile.rows().update_one({"uid": UID}, {"$set": values}, upsert=True)


def tenant_profile() -> Row:
    """What is known of the current tenant."""
    return TenantProfile.rows().find_one({"uid": UID}) or {}
