"""Settling a delivered message with the broker: acknowledge, or copy (with confirm) and then acknowledge, or hold."""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import kombu.exceptions
from amqp.exceptions import AMQPError, FrameSyntaxError  # type: ignore[import-untyped]
from kombu.connection import Connection

from chassis import metric_names, telemetry
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from eventing import names
from eventing.delivery import Delivery, Message
from eventing.envelope import (
    ATTEMPT_HEADER,
    DEAD_ERROR_HEADER,
    DEAD_HANDLER_HEADER,
    DEAD_REASON_HEADER,
    DEAD_TIME_HEADER,
)
from eventing.verdicts import InfrastructureTrouble, Outcome, Settle

log = logging.getLogger(__name__)

_CONFIRM_TIMEOUT_S = 30.0
_LONGEST_BACK_OFF_S = 5.0
Result = TypeVar("Result")

_KEPT_PROPERTIES = ("message_id", "timestamp", "type", "app_id", "correlation_id")


class Copies:
    """Publishes the copies of failed messages, each confirmed before the original is acknowledged."""

    def __init__(self, amqp_uri: str) -> None:
        self._amqp_uri = amqp_uri
        self._lock = threading.Lock()
        self._connection: Any = None  # kombu is mostly untyped

    def publish(self, message: Any, headers: dict[str, Any], exchange: str, routing_key: str) -> None:
        """Returns once the broker has confirmed the copy in a queue. Raises when it has not, whatever the cause."""
        given = message.properties
        properties = {name: given[name] for name in _KEPT_PROPERTIES if given.get(name) is not None}
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = Connection(self._amqp_uri, transport_options={"confirm_publish": True})  # type: ignore[no-untyped-call]
                channel = self._connection.default_channel
                copy = channel.prepare_message(
                    _raw(message),
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                    headers=headers,
                    properties={**properties, "delivery_mode": 2},
                )
                channel.basic_publish(copy, exchange, routing_key, mandatory=True, confirm_timeout=_CONFIRM_TIMEOUT_S)
            except BaseException:
                # The next confirm on this channel could be this message's: start afresh.
                self.close()
                raise

    def close(self) -> None:
        """Closes the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()


class Settler:
    """Has `Delivery` process messages and settles them as it says."""

    def __init__(self, delivery: Delivery, copies: Copies, stopping: Stopping, probe: Probe) -> None:
        self._delivery = delivery
        self._copies = copies
        self._stopping = stopping
        self._probe = probe
        self._held = 0

    def handle(self, messages: Sequence[Any], queue: str) -> None:
        """Brings messages to their end; leaves them unsettled when the process stops first or their channel is gone."""
        # Those of a lost connection may wait beside those of the next one.
        waiting = [message for message in messages if _ours(message)]
        if not waiting:
            return
        for message in waiting:
            if message.delivery_info.get("redelivered"):
                telemetry.counter(metric_names.EVENTS_REDELIVERED).add(1, {"messaging.destination.name": queue})
        first = waiting[0]

        def goes_on() -> bool:
            return not self._stopping.is_set() and _ours(first)

        def attempt() -> None:
            nonlocal waiting
            outcomes = self._delivery.process([_read(each) for each in waiting], goes_on)
            settled = list(zip(waiting, outcomes, strict=True))
            waiting = [message for message, outcome in settled if outcome.settle is Settle.HELD]
            # What is done first: a copy may have to wait for the broker.
            for message, outcome in sorted(settled, key=lambda each: each[1].settle is not Settle.DONE):
                if outcome.settle is not Settle.HELD:
                    self._settle(message, queue, outcome)
            if waiting and goes_on():
                raise InfrastructureTrouble(", ".join(sorted({each.error for each in outcomes if each.error})))

        self._patiently(first, attempt)

    def _settle(self, message: Any, queue: str, outcome: Outcome) -> None:
        copied: bool | None = True
        if outcome.settle is not Settle.DONE:
            copied = self._patiently(message, lambda: self._copy(message, queue, outcome))
        if copied is None:
            return
        try:
            if not _ours(message):
                return
            if copied:
                message.ack()
            else:
                message.reject(requeue=False)
        except (OSError, AMQPError, kombu.exceptions.KombuError) as error:
            log.warning("an acknowledgement was not sent (%s): the event will come again", type(error).__name__)

    def _copy(self, message: Any, queue: str, outcome: Outcome) -> bool:
        """Publishes the message anew, to wait for its next attempt or as a dead letter. True when confirmed, or when
        nobody that it is about is left.

        False when the message cannot be copied, whoever made it: the broker itself can move it to the dead letters.
        """
        try:
            self._publish_copy(message, queue, outcome)
        except (TypeError, ValueError, FrameSyntaxError) as error:
            log.error("a message cannot be copied (%s): the broker dead-letters it", type(error).__name__)
            return False
        return True

    def _publish_copy(self, message: Any, queue: str, outcome: Outcome) -> None:
        # The broker's own x-headers describe the life of the original.
        headers = {key: value for key, value in (message.headers or {}).items() if not key.startswith("x-")}
        attempt = headers.get(ATTEMPT_HEADER, 0)
        attempt = attempt if isinstance(attempt, int) and attempt >= 0 else 0
        delays = list(names.RETRY_DELAYS_MS)
        label = {"rapport.event.type": self._delivery.label(headers.get("ce-type"))}
        if outcome.settle is Settle.RETRY and attempt < len(delays):
            headers[ATTEMPT_HEADER] = attempt + 1
            self._copies.publish(message, headers, names.retry_exchange(delays[attempt]), queue)
            telemetry.counter(metric_names.EVENTS_RETRIED).add(1, label)
            return
        if self._delivery.is_of_erased(_read(message)):
            # Erased while it was handled: the erasure may have swept the dead letters already.
            return
        headers |= {
            ATTEMPT_HEADER: attempt + 1,
            DEAD_REASON_HEADER: outcome.reason,
            DEAD_HANDLER_HEADER: outcome.handler,
            DEAD_ERROR_HEADER: outcome.error,
            DEAD_TIME_HEADER: datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._copies.publish(message, headers, "", names.dead_queue(self._delivery.service))
        telemetry.counter(metric_names.EVENTS_DEAD).add(1, label | {"rapport.event.reason": outcome.reason})

    def _patiently(self, message: Any, step: Callable[[], Result]) -> Result | None:
        """The step's result, after as many attempts as it takes; None when the message is no longer ours to settle."""
        failures = 0
        try:
            while not self._stopping.is_set() and _ours(message):
                try:
                    return step()
                except InfrastructureTrouble as error:
                    log.warning("holding a message: the database cannot be used (%s)", error)
                except Exception as error:
                    log.warning("holding a message: %s", type(error).__name__, exc_info=error)
                failures += 1
                if failures == 1:
                    self._count_held(1)
                pause = min(_LONGEST_BACK_OFF_S, 0.1 * 2**failures)
                self._stopping.wait(pause * random.uniform(0.5, 1.0))
            return None
        finally:
            if failures:
                self._count_held(-1)

    def _count_held(self, change: int) -> None:
        """Keeps the process unready while any message is held."""
        self._held += change
        if not self._stopping.is_set():
            self._probe.ready(not self._held)


def _ours(message: Any) -> bool:
    """False once the channel is gone: the broker then delivers the message to somebody else."""
    return message.channel is not None and message.channel.connection is not None


def _read(message: Any) -> Message:
    return Message(message.headers, {"content_type": message.content_type}, _raw(message))


def _raw(message: Any) -> bytes:
    """The body as it was published (the client decodes it when the publisher named a text encoding)."""
    body = message.body
    return body.encode(message.content_encoding or "utf-8") if isinstance(body, str) else bytes(body)
