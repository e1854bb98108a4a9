"""The dead letters of a service: found, sent again, dropped, and rid of people. Never shows a payload or a person."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pika
import pika.exceptions
from google.protobuf.message import DecodeError
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from chassis import tenancy
from contracts import descriptors
from docstore.outbox import people
from eventing import names, topology
from eventing.envelope import (
    ATTEMPT_HEADER,
    DEAD_ERROR_HEADER,
    DEAD_HANDLER_HEADER,
    DEAD_REASON_HEADER,
    DEAD_TIME_HEADER,
)
from eventing.pruning import erasure_types, pruned

MOST = 10_000
"""Dead letters looked at by one call."""
_GIVE_BACK_S = 5.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What may be told of a dead letter.

    id: the event's, or `body:<hash>` when the message has none. reason: UPPER_SNAKE. error: type and place of the
    exception. time: when it died, RFC 3339. body_bytes: size of the payload.
    """

    id: str
    type: str
    tenant: str
    reason: str
    handler: str
    error: str
    attempts: int
    time: str
    source: str
    subject: str
    sequence: str
    body_bytes: int


Selection = Callable[[DeadLetter], bool]
_Messages = Iterator[tuple[DeadLetter, int, pika.BasicProperties, bytes]]


def letters(amqp_uri: str, service: str, selection: Selection, limit: int = 100) -> list[DeadLetter]:
    """The first `limit` selected dead letters, oldest first; they stay where they are."""
    with topology.connection(amqp_uri, "dead letters") as broker, _reading(broker, service) as (messages, _):
        found = []
        for letter, *_ in messages:
            if selection(letter):
                found.append(letter)
                if len(found) >= limit:
                    break
        return found


def replay(amqp_uri: str, service: str, selection: Selection) -> int:
    """Sends the selected dead letters to the service's queue again; returns how many.

    Each leaves the dead letters only after the broker has confirmed its copy.
    """
    with topology.connection(amqp_uri, "dead letters") as broker, _reading(broker, service) as (messages, remove):
        publishing = broker.channel()
        publishing.confirm_delivery()
        count = 0
        for letter, tag, properties, body in messages:
            if not selection(letter):
                continue
            given: dict[str, Any] = properties.headers or {}
            fresh = {key: value for key, value in given.items() if not key.startswith(("x-", "rapport-"))}
            properties.headers = fresh
            properties.delivery_mode = 2
            target = names.queue(service, urgent=_urgent(letter.type))
            publishing.basic_publish("", target, body, properties, mandatory=True)
            remove(tag)
            count += 1
        return count


def drop(amqp_uri: str, service: str, selection: Selection) -> int:
    """Deletes the selected dead letters for good; returns how many."""
    with topology.connection(amqp_uri, "dead letters") as broker, _reading(broker, service) as (messages, remove):
        count = 0
        for letter, tag, *_ in messages:
            if selection(letter):
                remove(tag)
                count += 1
        return count


def erase(amqp_uri: str, service: str, erased: frozenset[str]) -> tuple[int, int]:
    """Takes people of the current tenant out of all dead letters; returns (removed, rewritten).

    A letter about others too is replaced by one without them, confirmed before the old one is acknowledged: a crash in
    between leaves both, and the next sweep takes the old one. All other letters keep their bytes and their order.
    """
    tenant = tenancy.tenant()
    removed = rewritten = 0
    try:
        with topology.connection(amqp_uri, "erasure") as broker, _reading(broker, service, None) as (messages, remove):
            publishing = broker.channel()
            publishing.confirm_delivery()
            for letter, tag, properties, body in messages:
                about = _datasubjects(properties, letter.type, body)
                if letter.tenant != tenant or letter.type in erasure_types() or not erased.intersection(about):
                    continue
                rest = pruned(letter.type, body, about, erased)
                if rest is None:
                    removed += 1
                else:
                    properties.headers["ce-datasubjects"] = ",".join(rest.datasubjects)
                    properties.delivery_mode = 2
                    publishing.basic_publish("", names.dead_queue(service), rest.body, properties, mandatory=True)
                    rewritten += 1
                remove(tag)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise  # Without a queue of dead letters there are none.
    return removed, rewritten


def _datasubjects(properties: pika.BasicProperties, event_type: str, body: bytes) -> tuple[str, ...]:
    told = (properties.headers or {}).get("ce-datasubjects")
    if isinstance(told, str) and told:
        return tuple(told.split(","))
    try:
        return people(descriptors.message_class(event_type).FromString(body))
    except (KeyError, DecodeError):
        return ()


@contextmanager
def _reading(
    broker: BlockingConnection, service: str, most: int | None = MOST
) -> Iterator[tuple[_Messages, Callable[[int], None]]]:
    """Those in the queue now, at most `most`, and what takes one away by its tag; all others are in it again after."""
    channel, queue = broker.channel(), names.dead_queue(service)
    held: set[int] = set()

    def messages() -> _Messages:
        waiting = _ready(channel, queue)
        for _ in range(waiting if most is None else min(waiting, most)):
            method, properties, body = channel.basic_get(queue)
            if method is None:
                return
            held.add(method.delivery_tag)
            yield _describe(properties, body), method.delivery_tag, properties, body

    def remove(tag: int) -> None:
        channel.basic_ack(tag)
        held.remove(tag)

    yield messages(), remove
    if held:
        _give_back(channel, queue, len(held))


def _give_back(channel: BlockingChannel, queue: str, count: int) -> None:
    """Waits, because the broker puts them back later than it says: the next command would not see them."""
    wanted = _ready(channel, queue) + count
    channel.basic_nack(0, multiple=True, requeue=True)
    end = time.monotonic() + _GIVE_BACK_S
    # Where somebody else takes them meanwhile, they are not there at the end either.
    while _ready(channel, queue) < wanted and time.monotonic() < end:
        channel.connection.sleep(0.02)


def _ready(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def _describe(properties: pika.BasicProperties, body: bytes) -> DeadLetter:
    headers: dict[str, Any] = properties.headers or {}

    def text(name: str) -> str:
        value = headers.get(name)
        return value if isinstance(value, str) else ""

    died = text(DEAD_TIME_HEADER)
    deaths = headers.get("x-death")
    if not died and isinstance(deaths, list) and deaths and isinstance(deaths[0].get("time"), datetime):
        died = deaths[0]["time"].isoformat(timespec="seconds") + "Z"
    # The broker itself gives up what nobody settles, because each attempt killed the worker.
    by_broker = text("x-first-death-reason").upper()
    attempts = headers.get(ATTEMPT_HEADER, 0)
    return DeadLetter(
        id=text("ce-id") or properties.message_id or f"body:{hashlib.sha256(body).hexdigest()[:16]}",
        type=text("ce-type"),
        tenant=text("ce-tenant"),
        reason=text(DEAD_REASON_HEADER) or by_broker or "UNKNOWN",
        handler=text(DEAD_HANDLER_HEADER),
        error=text(DEAD_ERROR_HEADER),
        attempts=attempts if isinstance(attempts, int) else 0,
        time=died,
        source=text("ce-source"),
        subject=text("ce-subject"),
        sequence=text("ce-sequence"),
        body_bytes=len(body),
    )


def _urgent(event_type: str) -> bool:
    try:
        rule = descriptors.event_rule(descriptors.message_class(event_type).DESCRIPTOR)
    except KeyError:
        return False
    return rule is not None and rule.urgent
