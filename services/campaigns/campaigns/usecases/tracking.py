"""What people do with a message: follow links, load pictures, unsubscribe."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rapport.campaigns.v1 import events_pb2

import docstore
from campaigns.mail import CLICK, OPEN, UNSUBSCRIBE
from campaigns.store import Message, Unsubscribe, entries, messages
from campaigns.store.policies import tenant_profile
from chassis import clock, keys, tenancy
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from docstore.aliases import profiles
from docstore.tracing import current_traceparent

EVENTS_MAX = 100
"""Clicks and opens of one message that are told; programs that follow links over and over are only counted."""

_REPEAT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """What an unsubscribe link is about."""

    sender_display_name: str
    masked_email: str
    unsubscribed: bool


def follow(token: str) -> str:
    """Counts a click and returns where the link leads; enters the link's tenant.

    Raises InvalidArgument LINK_INVALID, also when its reader was erased, and FailedPrecondition LINK_EXPIRED.
    """
    data = _opened(token, CLICK)
    message = _of_somebody(_message(data))
    index = data.get("l", -1)
    if not 0 <= index < len(message.links):
        raise _invalid()
    target: str = message.links[index]
    _count_click(message.uid, target)
    return target


def record_open(token: str) -> None:
    """Counts that pictures were loaded; enters the link's tenant. Raises what `follow` raises."""
    _count_open(_of_somebody(_message(_opened(token, OPEN))).uid)


def view(token: str) -> Unsubscription:
    """What an unsubscribe link is about; enters its tenant. Who was erased gets nothing more, which is what it says.

    Raises what `follow` raises.
    """
    message = _message(_opened(token, UNSUBSCRIBE))
    if not message.customer:
        return _shown(message, unsubscribed=True)
    return _shown(message, unsubscribed=Unsubscribe.rows().find_one({"uid": message.uid}, {"_id": 1}) is not None)


def unsubscribe(token: str) -> Unsubscription:
    """Stops messages of the purpose at once and leaves it to `run` to tell consent; enters the link's tenant.

    Raises what `follow` raises.
    """
    message = _message(_opened(token, UNSUBSCRIBE))
    if message.customer:
        _unsubscribe(message)
    return _shown(message, unsubscribed=True)


def stop(customer: str, purpose: str, reason: str) -> None:
    """Cancels what waits to be sent to a person for a purpose, whichever member of the profile it is for."""
    _, members = profiles([customer])[customer]
    entries.wake(messages.cancel(members, purpose, reason), clock.now())


@docstore.command(Message)
def _count_click(uid: str, target: str) -> Message:
    message = _of_somebody(Message.get(uid))
    now = clock.now()
    message.clicks += 1
    message.first_click_time = message.first_click_time or now
    if message.clicks <= EVENTS_MAX:
        event = events_pb2.MessageClicked(message=message.reference(), target_url=target)
        event.click_time.FromDatetime(now)
        message.emit(event, [message.customer])
    return message.save()


@docstore.command(Message)
def _count_open(uid: str) -> Message:
    message = _of_somebody(Message.get(uid))
    now = clock.now()
    message.opens += 1
    message.first_open_time = message.first_open_time or now
    if message.opens <= EVENTS_MAX:
        event = events_pb2.MessageOpened(message=message.reference())
        event.open_time.FromDatetime(now)
        message.emit(event, [message.customer])
    return message.save()


@docstore.command(None)
def _unsubscribe(message: Message) -> None:
    now = clock.real_now()
    wish: dict[str, Any] = {
        "customer": message.customer,
        "purpose": message.purpose,
        "request_id": str(uuid.uuid4()),
        "due": clock.now(),
        "create_time": now,
        "traceparent": current_traceparent(),
    }
    rows = Unsubscribe.rows()
    rows.update_one({"uid": message.uid}, {"$setOnInsert": wish}, upsert=True)
    # Whoever agreed again meanwhile means it anew; a mail program that repeats itself does not.
    again = {"uid": message.uid, "acknowledge_time": {"$lt": now - _REPEAT}}
    rows.update_one(again, {"$set": wish, "$unset": {"acknowledge_time": ""}})
    stop(message.customer, message.purpose, messages.UNSUBSCRIBED)


def _opened(token: str, purpose: str) -> dict[str, Any]:
    try:
        link = keys.keyring().open_link(token, purpose)
    except keys.ExpiredToken:
        raise FailedPrecondition("LINK_EXPIRED", "This link has run out.") from None
    except keys.InvalidToken:
        raise _invalid() from None
    tenancy.enter(link.tenant)
    return link.data


def _message(data: dict[str, Any]) -> Message:
    try:
        return Message.get(data["m"])
    except NotFound:
        raise _invalid() from None


def _of_somebody(message: Message) -> Message:
    if not message.customer:
        raise _invalid()
    return message


def _invalid() -> InvalidArgument:
    return InvalidArgument(
        "LINK_INVALID",
        "This is no link of ours; open the link in the message, whole.",
        violations=[("token", "Not a link of ours.")],
    )


def _shown(message: Message, *, unsubscribed: bool) -> Unsubscription:
    return Unsubscription(tenant_profile().get("sender_name") or "", message.masked_email or "", unsubscribed)
