"""What sales knows of the tenant itself, as access tells it."""

from typing import Any, ClassVar

import mongoengine as me

from docstore import Row
from docstore.records import Record

UID = "default"
DEFAULT_CURRENCY = "USD"
"""Currency of amounts without one until the tenant's is known."""


class TenantProfile(Record):
    """The tenant's settings that sales goes by."""

    meta: ClassVar[dict[str, Any]] = {"collection": "tenant_profiles"}
    currency_code: Any = me.StringField()
    region_code: Any = me.StringField()


def learn(values: Row) -> None:
    """Takes over what access tells of the current tenant."""
    TenantProfile.rows().update_one({"uid": UID}, {"$set": values}, upsert=True)


def currency() -> str:
    """The tenant's currency."""
    return str(_profile().get("currency_code") or DEFAULT_CURRENCY)


def region() -> str:
    """The tenant's country, empty when it is not known."""
    return str(_profile().get("region_code") or "")


def _profile() -> Row:
    return TenantProfile.rows().find_one({"uid": UID}) or {}
