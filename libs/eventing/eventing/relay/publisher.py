"""Publishing with pipelined confirms: bursts of messages over one connection, driven by a thread of its own."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.channel import Channel
from pika.exceptions import AMQPError

log = logging.getLogger(__name__)

WINDOW = 500
"""Messages published and not yet confirmed; a lost connection repeats at most so many."""

_STALLED_S = 30.0
_LONGEST_BACK_OFF_S = 5.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; `properties` as of `Envelope.to_properties`, with a message_id that names it."""

    exchange: str
    routing_key: str
    properties: dict[str, Any]
    body: bytes

    @property
    def id(self) -> str:
        """The message id, under which the outcome is told."""
        return str(self.properties["message_id"])


@dataclass(slots=True)
class Burst:
    """Messages on their way. Read the outcome after `Publisher.wait`.

    confirmed: ids that the broker has taken responsibility for, and put in at least one queue. returned: ids that no
    queue took. All others must be sent again.
    """

    messages: Sequence[Outgoing]
    confirmed: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)
    done: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    settled: int = 0
    progress: float = field(default_factory=time.monotonic)


class Publisher:
    """One connection to the broker, opened in the background and reopened whenever it is lost.

    Messages of a burst are published in their order, bursts one after another.
    """

    def __init__(self, amqp_uri: str, name: str) -> None:
        self._parameters = pika.URLParameters(amqp_uri)
        self._parameters.client_properties = {"connection_name": name}
        self._parameters.heartbeat = 20
        self._parameters.blocked_connection_timeout = None
        self._connection: pika.SelectConnection | None = None
        self._channel: Channel | None = None
        self._unconfirmed: dict[int, str] = {}
        self._tag = 0
        self._burst: Burst | None = None
        self._blocked = False
        self._open = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether a burst can be sent now."""
        return self._open.is_set()

    def is_alive(self) -> bool:
        """Whether the thread works at all."""
        return self._thread.is_alive()

    def wait_connected(self, timeout: float) -> bool:
        """Waits until a burst can be sent; False when that takes longer."""
        return self._open.wait(timeout)

    def send(self, messages: Sequence[Outgoing]) -> Burst:
        """Starts a burst; `wait` for it before the next one. Without a connection it ends at once, unconfirmed."""
        burst = Burst(messages)
        connection = self._connection
        if not messages or not self._open.is_set() or connection is None:
            burst.done.set()
        else:
            connection.ioloop.add_callback_threadsafe(lambda: self._begin(burst))
        return burst

    def wait(self, burst: Burst) -> Burst:
        """Returns when every message is settled, or the connection is lost, or the broker does not answer for 30 s.

        While the broker blocks publishers (its disk or memory alarm) it waits on.
        """
        while not burst.done.wait(1.0):
            if not self._open.is_set():
                # Sent between the loss of the connection and its notice.
                burst.done.set()
            elif self._blocked:
                burst.progress = time.monotonic()
            elif time.monotonic() - burst.progress > _STALLED_S:
                log.error("the broker has not confirmed anything for %.0f s: connecting again", _STALLED_S)
                self._drop_connection()
                burst.done.set()
        return burst

    def close(self) -> None:
        """Ends the connection and the thread."""
        self._closing.set()
        self._drop_connection()
        self._thread.join(10)

    def _drop_connection(self) -> None:
        connection = self._connection
        self._open.clear()
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(lambda: _close(connection))

    # Everything below runs in the connection's thread.

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            opened_before = self._tag
            try:
                self._connection = pika.SelectConnection(
                    self._parameters,
                    on_open_callback=self._on_open,
                    on_open_error_callback=self._on_gone,
                    on_close_callback=self._on_gone,
                )
                self._connection.ioloop.start()
            except (AMQPError, OSError) as error:
                log.warning("the broker does not answer (%s)", type(error).__name__)
            self._lost()
            failures = 1 if self._tag > opened_before else failures + 1
            self._closing.wait(min(_LONGEST_BACK_OFF_S, 0.25 * 2**failures))

    def _on_open(self, connection: pika.SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_confirming)

    def _on_confirming(self, _frame: Any) -> None:
        self._unconfirmed.clear()
        self._tag = 0
        self._open.set()

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if not self._closing.is_set():
            log.warning("the broker closed the channel: %r", reason)
        _close(channel.connection)

    def _on_gone(self, connection: pika.SelectConnection, reason: Exception | str) -> None:
        if not self._closing.is_set():
            log.warning("the connection to the broker is lost (%s)", type(reason).__name__)
        connection.ioloop.stop()

    def _on_blocked(self, _connection: Any, _method: Any) -> None:
        log.warning("the broker blocks publishers (disk or memory alarm)")
        self._blocked = True

    def _on_unblocked(self, _connection: Any, _method: Any) -> None:
        self._blocked = False

    def _lost(self) -> None:
        self._open.clear()
        self._channel = None
        self._blocked = False
        self._unconfirmed.clear()
        burst, self._burst = self._burst, None
        if burst is not None:
            burst.done.set()

    def _begin(self, burst: Burst) -> None:
        if not self._open.is_set():
            burst.done.set()
            return
        self._burst = burst
        burst.progress = time.monotonic()
        self._pump(burst)

    def _pump(self, burst: Burst) -> None:
        channel = self._channel
        while channel is not None and burst.sent < len(burst.messages) and len(self._unconfirmed) < WINDOW:
            message = burst.messages[burst.sent]
            burst.sent += 1
            self._tag += 1
            self._unconfirmed[self._tag] = message.id
            channel.basic_publish(
                message.exchange,
                message.routing_key,
                message.body,
                pika.BasicProperties(**message.properties),
                mandatory=True,
            )

    def _on_return(self, _channel: Channel, _method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        # The broker confirms a returned message too, right after this.
        if self._burst is not None:
            self._burst.returned.add(str(properties.message_id))

    def _on_confirm(self, frame: Any) -> None:
        tag, burst = frame.method.delivery_tag, self._burst
        tags = [tag]
        if frame.method.multiple:
            tags = []
            for earlier in self._unconfirmed:
                if earlier > tag:
                    break
                tags.append(earlier)
        settled = [self._unconfirmed.pop(each) for each in tags if each in self._unconfirmed]
        if burst is None:
            return
        if isinstance(frame.method, pika.spec.Basic.Ack):
            burst.confirmed.update(id for id in settled if id not in burst.returned)
        burst.settled += len(settled)
        burst.progress = time.monotonic()
        if burst.settled == len(burst.messages):
            self._burst = None
            burst.done.set()
        else:
            self._pump(burst)


def _close(connection: pika.SelectConnection) -> None:
    if connection.is_open:
        connection.close()
    elif not connection.is_closed and not connection.is_closing:
        connection.ioloop.stop()
