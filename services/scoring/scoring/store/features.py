"""Purchases on their way into files, and which files count."""

import hashlib
from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record
from eventing.records import GUARD_RETENTION

PURCHASES, ORDER_LINES, ACTIVITY = "purchases", "order_lines", "activity"
SUBSCRIPTIONS = "subscriptions"
FILE_KINDS = (PURCHASES, ORDER_LINES, ACTIVITY, SUBSCRIPTIONS)
"""What there are files of. One process at a time writes a tenant's: the manifest of purchases has the lease for all."""


class StagedPurchase(Record):
    """One purchase; once it is in a file only its uid stays, for as long as its event may come again.

    staged: True until it is in a file that the manifest names; then its values are dropped and `flush_time` is set.
    lines: what was bought, each as {product, quantity, price_minor, currency}; the last two are None without a price.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "staged_purchases",
        "indexes": [
            {"fields": ["tenant", "stage_time"], "partialFilterExpression": {"staged": True}, "name": "staged"},
            {"fields": ["flush_time"], "expireAfterSeconds": int(GUARD_RETENTION.total_seconds())},
        ],
    }
    staged: Any = me.BooleanField()
    customer: Any = me.StringField()
    order_id: Any = me.StringField()
    event_time: Any = InstantField()
    amount_minor: Any = me.LongField()
    currency: Any = me.StringField()
    lines: Any = me.ListField(me.DictField())
    stage_time: Any = InstantField()
    flush_time: Any = InstantField()

    VALUES: ClassVar[tuple[str, ...]] = ("customer", "order_id", "event_time", "amount_minor", "currency", "lines")

    @staticmethod
    def uid_of(source: str, message_id: str) -> str:
        """The row's uid: an event is known by its id within its source."""
        return hashlib.sha256(f"{source}\x1f{message_id}".encode()).hexdigest()[:32]

    @staticmethod
    def refund_uid(happening: int) -> str:
        """That of an `Order Refunded`, by its `happenings.id_of`: files of activity, where some lay, tell no more."""
        return f"{happening:032x}"


class FeatureManifest(Record):
    """The files of one kind that a tenant has; its uid is the kind. What it does not name does not exist.

    files: name, bucket, rows, the time of the `oldest` event (files of before it was noted have none), and of purchases
    `currencies` (code -> {rows, amount_minor}; refunds are no rows there). That of purchases is leased by the runner
    that writes. forget_before: the day since 1970 that histories are forgotten of before, absent when that is done.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "feature_manifests", "indexes": [["tenant"]]}
    revision: Any = me.LongField(required=True)
    files: Any = me.ListField(me.DictField())
    forget_before: Any = me.LongField()
    lease: Any = me.DictField()


def subject_of(bucket: int, kind: str = PURCHASES) -> str:
    """Where the blob store keeps a bucket's files of a kind."""
    return f"features/{kind}/bucket-{bucket:02d}"


def manifest_files(kind: str = PURCHASES) -> list[dict[str, Any]]:
    """The files of a kind that count for the current tenant."""
    row = FeatureManifest.rows().find_one({"uid": kind}, {"files": 1})
    return list(row["files"]) if row else []


def named_files() -> set[str]:
    """Names of the current tenant's files, of all kinds."""
    rows = FeatureManifest.rows().find({"uid": {"$in": list(FILE_KINDS)}}, {"files.name": 1})
    return {file["name"] for row in rows for file in row["files"]}


def staged_totals() -> dict[str, tuple[int, int]]:
    """Purchases not yet in files: currency -> (number, minor units after refunds)."""
    grouped = StagedPurchase.rows().aggregate(
        [
            {"$match": {"staged": True}},
            {
                "$group": {
                    "_id": "$currency",
                    "rows": {"$sum": {"$toInt": {"$gte": ["$amount_minor", 0]}}},
                    "amount": {"$sum": "$amount_minor"},
                }
            },
        ],
        hint="staged",
    )
    return {row["_id"]: (row["rows"], row["amount"]) for row in grouped}
