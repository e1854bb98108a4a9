"""Mails to the support address: a note of each, and apart from it the mail itself, for a shorter time."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

import mongoengine as me
from bson import Binary

import docstore
from chassis import clock, keys, validation
from docstore import due
from docstore.aggregate import Aggregate
from docstore.documents import InstantField
from docstore.records import Record
from ticketing.store.messages import Attachment

RECEIVED, PROCESSED, IGNORED, FAILED = "STATE_RECEIVED", "STATE_PROCESSED", "STATE_IGNORED", "STATE_FAILED"
STATES = (RECEIVED, PROCESSED, IGNORED, FAILED)

RAW_KEPT_FOR = timedelta(days=30)
"""How long the mail itself is kept once it has been dealt with."""
NOTE_KEPT_FOR = timedelta(days=400)
_SEAL_USE = "inbound-mail"
_SENDER_USE = "inbound-mail-sender"


class InboundMail(Aggregate):
    """What is known of a mail and what became of it.

    fingerprint: equal for equal mails, however often and whatever way they come. A new ticket and the message in
    it have the mail's own uid, so there cannot be two of them. due: when to look at it, until it has been dealt with;
    `run` claims it.
    """

    resource = "inboundMails"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "inbound_mails",
        "indexes": [
            {"fields": ["tenant", "fingerprint"], "unique": True},
            ["tenant", "create_time", "id"],
            ["tenant", "state", "create_time", "id"],
            ["tenant", "reason", "create_time", "id"],
            ["tenant", "ticket", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "message_id", "create_time", "id"],
            ["tenant", "sender_key"],
            {"fields": ["purge_after_time"], "expireAfterSeconds": 0},
            {
                "fields": ["create_time"],
                "name": "waiting",
                "partialFilterExpression": {"state": RECEIVED},
                "platform": True,
            },
            due.INDEX,
        ],
    }
    fingerprint: Any = me.StringField(required=True)
    state: Any = me.StringField(required=True, choices=STATES)
    reason: Any = me.StringField()
    ticket: Any = me.StringField()
    """Resource name, as `message` and `customer` are."""
    message: Any = me.StringField()
    customer: Any = me.StringField()
    masked_sender: Any = me.StringField(required=True)
    sender_key: Any = me.StringField()
    """See `sender_key`; an erasure finds by it the mails that are in no ticket."""
    message_id: Any = me.StringField()
    size_bytes: Any = me.LongField(required=True)
    attachments: Any = me.EmbeddedDocumentListField(Attachment)
    attempts: Any = me.IntField(required=True, default=0)
    failures: Any = me.IntField(required=True, default=0)
    """How many of the attempts failed by what should not happen."""
    due: Any = InstantField()
    traceparent: Any = me.StringField()
    process_time: Any = InstantField()
    purge_after_time: Any = InstantField()
    """When the note goes; never while the mail waits."""

    def __init__(self, *args: Any, **values: Any) -> None:
        self.lease: dict[str, Any] | None = values.pop("lease", None)
        super().__init__(*args, **values)

    def write_guard(self) -> dict[str, Any]:
        """A claimed mail is written only as long as nobody else has claimed it."""
        return {"lease.token": self.lease["token"]} if self.lease else {}

    def end(self, state: str, now: datetime, reason: str = "") -> None:
        """It has been dealt with, or never will be."""
        self.state, self.reason, self.due, self.process_time = state, reason or None, None, now
        self.purge_after_time = now + NOTE_KEPT_FOR


class RawMail(Record):
    """A mail as it came, encrypted; its uid is that of its note. Gone 30 days after it was dealt with."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "raw_mails",
        "indexes": [{"fields": ["purge_time"], "expireAfterSeconds": 0}],
    }
    sealed: Any = me.BinaryField(required=True)
    purge_time: Any = InstantField()

    @classmethod
    def of(cls, uid: str, raw: bytes) -> "RawMail":
        """The row for the mail whose note has that uid."""
        return cls.new(uid=uid, sealed=Binary(keys.keyring().seal(_SEAL_USE, raw, uid.encode())))


def raw_mail(uid: str) -> bytes | None:
    """The mail whose note has that uid, if it is still there.

    Raises chassis.keys.InvalidToken when its key is gone from the keyring.
    """
    row = RawMail.rows().find_one({"uid": uid})
    return keys.keyring().open(_SEAL_USE, bytes(row["sealed"]), uid.encode()) if row else None


def let_raw_go(uid: str, now: datetime) -> None:
    """The mail has been dealt with: it is kept for 30 more days."""
    RawMail.rows().update_one({"uid": uid}, {"$set": {"purge_time": now + RAW_KEPT_FOR}})


def oldest_waiting_age() -> float:
    """Seconds since the oldest mail of all tenants came that is not dealt with; 0 when there is none."""
    with docstore.platform_scope():
        notes = docstore.platform_collection(InboundMail)
        waiting = notes.find_one({"state": RECEIVED}, {"create_time": 1}, sort=[("create_time", 1)])
    return max(0.0, (clock.now() - waiting["create_time"]).total_seconds()) if waiting else 0.0


def forget_sender(uid: str) -> None:
    """Removes the mail, and from its note whatever tells of its sender."""
    RawMail.rows().delete_one({"uid": uid})
    gone = dict.fromkeys(("sender_key", "message_id", "attachments", "traceparent"), "")
    InboundMail.rows().update_one({"uid": uid}, {"$set": {"masked_sender": "***"}, "$unset": gone})


def sender_key(address: str) -> str:
    """Equal for equal addresses, and nobody without the keyring can tell which one it is."""
    return keys.keyring().fingerprint(_SENDER_USE, validation.email_key(address))


def waiting_among(message_ids: list[str], uid: str, *, later: bool) -> bool:
    """Whether one of these mails (Message-IDs) waits to be dealt with.

    Of those that came before the mail with that uid, or with `later` of all others.
    """
    if not message_ids:
        return False
    others = {"$ne": uid} if later else {"$lt": uid}
    wanted = {"message_id": {"$in": message_ids}, "state": RECEIVED, "uid": others}
    return InboundMail.rows().find_one(wanted, {"_id": 1}) is not None
