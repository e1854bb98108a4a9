"""Confirmation messages on their way: rendered and stored before the first attempt."""

from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record

RETENTION_S = 30 * 24 * 3600

WAITING = "WAITING"
SENT = "SENT"
REFUSED = "REFUSED"
CANCELLED = "CANCELLED"


class OptInMail(Record):
    """One message. `sealed` holds address and text, encrypted, only as long as the message waits to be sent.

    state: WAITING; SENT (the mail server took it); REFUSED (it refused for good, `smtp_code` says why); CANCELLED
    (the question was answered or replaced first). What is left is gone 30 days after it was made.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "opt_in_mails",
        "indexes": [
            ["tenant", "consent", "state"],
            {"fields": ["create_time"], "expireAfterSeconds": RETENTION_S},
        ],
    }
    consent: Any = me.StringField(required=True)
    message_id: Any = me.StringField(required=True)
    state: Any = me.StringField(required=True, choices=[WAITING, SENT, REFUSED, CANCELLED])
    sealed: Any = me.BinaryField()
    smtp_code: Any = me.IntField()
    attempts: Any = me.IntField(required=True, default=0)
    create_time: Any = InstantField(required=True)
    end_time: Any = InstantField()


def cancel_waiting(consent: str, now: datetime) -> None:
    """Nothing more is sent for the consent with that uid, and the addresses are forgotten."""
    OptInMail.rows().update_many(
        {"consent": consent, "state": WAITING},
        {"$set": {"state": CANCELLED, "end_time": now}, "$unset": {"sealed": ""}},
    )


def end(uid: str, state: str, now: datetime, smtp_code: int | None = None) -> None:
    """The message has been handed over or refused: its address and text are forgotten."""
    OptInMail.rows().update_one(
        {"uid": uid, "state": WAITING},
        {"$set": {"state": state, "end_time": now, "smtp_code": smtp_code}, "$unset": {"sealed": ""}},
    )


def count_attempt(uid: str) -> int:
    """Notes an attempt that failed for now; returns how many have."""
    row = OptInMail.rows().find_one_and_update({"uid": uid}, {"$inc": {"attempts": 1}}, projection={"attempts": 1})
    return int(row["attempts"]) if row else 1
