"""Addresses nothing is sent to, as keyed fingerprints."""

from collections.abc import Collection
from typing import Any, ClassVar

import mongoengine as me

from chassis import keys
from docstore.aggregate import Aggregate

HARD_BOUNCE = "REASON_HARD_BOUNCE"
_USE = "suppressed-address"


class Suppression(Aggregate):
    """One address; its uid is the fingerprint."""

    resource = "suppressions"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "suppressions",
        "indexes": [["tenant", "create_time", "id"], ["tenant", "reason", "create_time", "id"]],
    }
    reason: Any = me.StringField(required=True)


def fingerprint(email: str) -> str:
    """The fingerprint of an address, however it is written in capitals."""
    return keys.keyring().fingerprint(_USE, email.lower())


def suppressed(emails: Collection[str]) -> frozenset[str]:
    """Those of the addresses that are suppressed; one query."""
    of = {fingerprint(email): email for email in emails}
    rows = Suppression.rows().find({"uid": {"$in": list(of)}, "purged": None}, {"uid": 1})
    return frozenset(of[row["uid"]] for row in rows)


def forget_requests(emails: Collection[str]) -> None:
    """Leaves nothing but the fingerprint of these addresses: the marks of requests hash what callers sent."""
    marked = {"uid": {"$in": [fingerprint(email) for email in emails]}, "requests": {"$exists": True}}
    Suppression.rows().update_many(marked, {"$unset": {"requests": ""}, "$inc": {"version": 1}})
