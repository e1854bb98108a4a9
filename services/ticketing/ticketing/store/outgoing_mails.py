"""Answers on their way by e-mail, and the sender the tenant wants to be seen as."""

from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

from docstore import Row, leases
from docstore import due as claiming
from docstore.documents import InstantField
from docstore.records import Record
from ticketing.store.messages import AGENT, TicketMessage

WAITING, SENT, REFUSED, CANCELLED = "WAITING", "SENT", "REFUSED", "CANCELLED"

RETENTION_S = 400 * 24 * 3600
_PROFILE_UID = "default"


class OutgoingMail(Record):
    """The mail of one answer; its uid is that of the message.

    sealed: the whole mail, encrypted, from just before the first attempt until it was sent or given up. state: WAITING;
    SENT (the mail server took it); REFUSED (it refused for good, or was away too long); CANCELLED (message, ticket or
    key are gone). What is left, without address and text, is gone after 400 days.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "outgoing_mails",
        "indexes": [
            {"fields": ["tenant", "token"]},
            ["tenant", "ticket"],
            {"fields": ["create_time"], "expireAfterSeconds": RETENTION_S},
            claiming.INDEX,
        ],
    }
    ticket: Any = me.StringField(required=True)
    """Uid."""
    message_id: Any = me.StringField()
    """The Message-ID, once it was rendered."""
    token: Any = me.StringField(required=True)
    """What in a reply names the ticket."""
    state: Any = me.StringField(required=True, choices=[WAITING, SENT, REFUSED, CANCELLED])
    sealed: Any = me.BinaryField()
    smtp_code: Any = me.IntField()
    attempts: Any = me.IntField(required=True, default=0)
    due: Any = InstantField()
    traceparent: Any = me.StringField()
    create_time: Any = InstantField(required=True)
    end_time: Any = InstantField()


class TenantProfile(Record):
    """What access tells of the tenant."""

    meta: ClassVar[dict[str, Any]] = {"collection": "tenant_profiles"}
    sender_name: Any = me.StringField()
    sender_email: Any = me.StringField()


def learn_tenant(values: Row) -> None:
    """Takes over what access tells of the current tenant."""
    TenantProfile.rows().update_one({"uid": _PROFILE_UID}, {"$set": values}, upsert=True)


def tenant_profile() -> Row:
    """What is known of the current tenant."""
    return TenantProfile.rows().find_one({"uid": _PROFILE_UID}) or {}


def tickets_of_tokens(tokens: list[str]) -> list[str]:
    """Uids of the tickets that these reply tokens name."""
    if not tokens:
        return []
    found = {row["token"]: row["ticket"] for row in OutgoingMail.rows().find({"token": {"$in": tokens}})}
    return list(dict.fromkeys(found[token] for token in tokens if token in found))


def tickets_of_messages(message_ids: list[str]) -> list[str]:
    """Uids of the tickets in which these mails (Message-IDs) are, in the order of the mails."""
    if not message_ids:
        return []
    wanted = {"message_id": {"$in": message_ids}}
    found: dict[str, list[str]] = {}
    for row in TicketMessage.rows().find(wanted, {"message_id": 1, "ticket": 1}, limit=200):
        found.setdefault(row["message_id"], []).append(row["ticket"])
    return list(dict.fromkeys(ticket for message_id in message_ids for ticket in found.get(message_id, ())))


def is_ours(message_id: str) -> bool:
    """Whether the mail with that Message-ID is an answer of the current tenant's agents."""
    wanted = {"message_id": message_id, "author": AGENT}
    return bool(message_id) and TicketMessage.rows().find_one(wanted, {"_id": 1}) is not None


def thread_of(ticket: str, before: datetime) -> list[str]:
    """Message-IDs of the latest mails in a ticket (uid), the oldest first; at most 20."""
    wanted = {"ticket": ticket, "create_time": {"$lt": before}, "message_id": {"$exists": True}}
    order = [("create_time", -1), ("_id", -1)]
    rows = TicketMessage.rows().find(wanted, {"message_id": 1}, sort=order, limit=20)
    return [row["message_id"] for row in rows][::-1]


def settle(row: Row, changes: Row, *, due: datetime | None = None) -> bool:
    """Gives a claimed mail back with changes, to be looked at again at `due`, or with its address and text forgotten.

    False when somebody else has claimed it meanwhile.
    """
    update: Row = {"$set": dict(changes), "$unset": {"lease": ""}}
    if due is None:
        update["$unset"] |= {"due": "", "sealed": ""}
    else:
        update["$set"]["due"] = due
    return OutgoingMail.rows().update_one(leases.held(row), update).matched_count == 1


def write_down(row: Row, written: Row) -> Row | None:
    """Keeps the rendered mail (`message_id`, `sealed`) before its first attempt, in a transaction; returns the row.

    None when somebody else has claimed it meanwhile.
    """
    if not OutgoingMail.rows().update_one(leases.held(row), {"$set": written}).matched_count:
        return None
    TicketMessage.rows().update_one({"uid": row["uid"]}, {"$set": {"message_id": written["message_id"]}})
    return {**row, **written}
