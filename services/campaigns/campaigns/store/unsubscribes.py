"""People who unsubscribed by a link: kept until consent has noted it."""

from collections.abc import Collection
from typing import Any, ClassVar

import mongoengine as me

from docstore import due
from docstore.documents import InstantField
from docstore.records import Record

RETENTION_S = 90 * 24 * 3600


class Unsubscribe(Record):
    """One request; its uid is that of the message whose link was used. While it is due, nothing is sent."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "unsubscribes",
        "indexes": [
            ["tenant", "customer", "purpose"],
            {"fields": ["acknowledge_time"], "expireAfterSeconds": RETENTION_S},
            due.INDEX,
        ],
    }
    customer: Any = me.StringField(required=True)
    purpose: Any = me.StringField(required=True)
    request_id: Any = me.StringField(required=True)
    """Makes telling consent twice telling it once (AIP-155)."""
    due: Any = InstantField()
    create_time: Any = InstantField(required=True)
    acknowledge_time: Any = InstantField()
    traceparent: Any = me.StringField()


def waiting(customers: Collection[str]) -> set[tuple[str, str]]:
    """(customer, purpose) of requests that consent has not acknowledged; one query."""
    rows = Unsubscribe.rows().find(
        {"customer": {"$in": list(customers)}, "acknowledge_time": None}, {"customer": 1, "purpose": 1}
    )
    return {(row["customer"], row["purpose"]) for row in rows}
