"""What happens to delivered messages, without the broker: find the handlers, guard, run, say how to settle.

Exactly-once state: the guard rows (`eventing.guards`) and whatever the handlers write are one transaction. Messages
that waited together share one, for a transaction costs more than what most handlers write; when that fails, nothing
came of it, and each handler of each event runs in one of its own. An event that must wait for something holds up none
of those it came with.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pymongo
from google.protobuf.message import DecodeError
from opentelemetry.trace import Span, SpanKind, StatusCode, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import docstore
from chassis import metric_names, telemetry, tenancy
from eventing import guards, tombstones
from eventing.envelope import Envelope, UndecodableEvent
from eventing.pruning import erasure_types, pruned
from eventing.subscribe import Subscription, subscriptions
from eventing.verdicts import DONE, HELD, InfrastructureTrouble, Outcome, Settle, is_infrastructure, judge

log = logging.getLogger(__name__)

TOGETHER = 25
"""Messages of a queue that are handled together at most: those that arrived while others were being handled."""
TOGETHER_BYTES = 256 * 1024
"""The size of their bodies at which no further one is added."""
BATCHES = 2
"""How many such batches are handled at once."""
PREFETCH = BATCHES * TOGETHER

HANDLER_LIMIT_S = 15.0
"""What one transaction of handlers may take; the driver would try for two minutes to commit without a database."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the broker delivers it."""

    headers: Mapping[str, Any] | None
    properties: Mapping[str, Any]
    body: bytes


@dataclass(slots=True)
class _Event:
    """A message with handlers, while it is handled."""

    envelope: Envelope
    handled: tuple[Subscription, ...]
    span: Span
    started: float = field(default_factory=time.perf_counter)
    outcome: Outcome = HELD


class Delivery:
    """Handles the messages of one service with an instance of its Handlers class."""

    def __init__(self, service: str, handlers: type) -> None:
        self.service = service
        self._handlers = handlers()
        self._subscriptions = subscriptions(handlers)
        self._tracer = telemetry.tracer()

    def process(self, messages: Sequence[Message], go_on: Callable[[], bool] = lambda: True) -> list[Outcome]:
        """Runs every handler of the events that has not handled them yet; one outcome a message.

        HELD is what the database, or a part that its handler needs, cannot be used for now, and what was not begun
        because `go_on`, asked before each event that runs alone, said no. Given again, what is done stays done.
        """
        opened = [self._opened(message) for message in messages]
        groups: dict[str, list[_Event]] = defaultdict(list)
        for each in opened:
            if isinstance(each, _Event):
                groups[each.envelope.tenant].append(each)
        try:
            for tenant, events in groups.items():
                first = events[0]
                with (
                    # Commands for several events are told in the trace of the first. The text of an exception may hold
                    # personal data.
                    use_span(first.span, record_exception=False, set_status_on_exception=False),
                    tenancy.service_context(tenant, f"services/{self.service}", method=first.envelope.type),
                ):
                    self._handle(events, go_on)
        except InfrastructureTrouble as error:
            for events in groups.values():
                for event in events:
                    if event.outcome is HELD:
                        event.outcome = replace(HELD, error=str(error))
        finally:
            for events in groups.values():
                for event in events:
                    if event.outcome.settle is not Settle.DONE:
                        event.span.set_status(StatusCode.ERROR, event.outcome.reason or event.outcome.settle.value)
                    event.span.end()
        return [self._outcome(each) if isinstance(each, _Event) else each for each in opened]

    def is_of_erased(self, message: Message) -> bool:
        """Whether the message names erased people and cannot be told without them. Raises InfrastructureTrouble."""
        try:
            envelope = Envelope.from_amqp(message.headers, message.properties, message.body)
        except UndecodableEvent:
            return False
        if envelope.type in erasure_types():
            return False
        with tenancy.service_context(envelope.tenant, f"services/{self.service}", method=envelope.type):
            erased = _guarded(lambda: tombstones.erased(envelope.datasubjects))
        return bool(erased) and pruned(envelope.type, envelope.body, envelope.datasubjects, erased) is None

    def label(self, event_type: object) -> str:
        """The event type as a metric label: only types with a handler, for anybody may have sent the message."""
        return event_type if isinstance(event_type, str) and event_type in self._subscriptions else "unknown"

    def _opened(self, message: Message) -> _Event | Outcome:
        """The event with its handlers and its span, or why it can have none."""
        try:
            envelope = Envelope.from_amqp(message.headers, message.properties, message.body)
        except UndecodableEvent as error:
            return Outcome(Settle.DEAD, f"UNDECODABLE_{error.reason}")
        handled = self._subscriptions.get(envelope.type)
        span = self._span(envelope)
        event = _Event(envelope, handled or (), span)
        if not handled:
            return self._refused(event, Outcome(Settle.DEAD, "UNKNOWN_TYPE"))
        try:
            handled[0].message.FromString(envelope.body)
        except DecodeError:
            return self._refused(event, Outcome(Settle.DEAD, "UNDECODABLE_BODY"))
        return event

    def _span(self, envelope: Envelope) -> Span:
        attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": self.service,
            "messaging.message.id": envelope.id,
            "rapport.event.type": envelope.type,
            "rapport.tenant": envelope.tenant,
        }
        parent = TraceContextTextMapPropagator().extract({"traceparent": envelope.traceparent})
        return self._tracer.start_span(
            f"process {self.service}", context=parent, kind=SpanKind.CONSUMER, attributes=attributes
        )

    def _refused(self, event: _Event, outcome: Outcome) -> Outcome:
        event.outcome = outcome
        self._outcome(event)
        event.span.end()
        return outcome

    def _outcome(self, event: _Event) -> Outcome:
        """The event's outcome, also told to its metrics once it is settled."""
        if event.outcome.settle is Settle.HELD:
            return event.outcome
        labels = {
            "rapport.event.type": self.label(event.envelope.type),
            "rapport.event.outcome": event.outcome.settle.value,
        }
        telemetry.histogram(metric_names.EVENT_PROCESS_DURATION).record(time.perf_counter() - event.started, labels)
        return event.outcome

    def _handle(self, events: Sequence[_Event], go_on: Callable[[], bool]) -> None:
        """Handles events of the current tenant, and notes their outcomes. Raises InfrastructureTrouble."""
        several = len(events) > 1 or len(events[0].handled) > 1
        for event in self._handled_together(events) if several else events:
            if not go_on():
                return
            with use_span(event.span, record_exception=False, set_status_on_exception=False):
                try:
                    event.outcome = self._handle_alone(event)
                except InfrastructureTrouble as error:
                    event.outcome = replace(HELD, error=str(error))
                    _require_database(error)
                except Exception as error:
                    log.exception("event %s of type %s could not be handled", event.envelope.id, event.envelope.type)
                    event.outcome = judge(error, "")

    def _handled_together(self, events: Sequence[_Event]) -> Sequence[_Event]:
        """Handles the events about nobody erased in one transaction; returns those that are left to handle."""
        left: Sequence[_Event] = events

        def of_living() -> None:
            nonlocal left
            subjects = dict.fromkeys(subject for event in events for subject in event.envelope.datasubjects)
            erased = tombstones.erased(subjects)
            others = [event for event in events if not erased.isdisjoint(event.envelope.datasubjects)]
            living = [event for event in events if erased.isdisjoint(event.envelope.datasubjects)]
            asked = [(subscription, event) for event in living for subscription in event.handled]
            docstore.in_transaction(lambda: self._run(asked))
            left = others
            for event in living:
                event.outcome = DONE

        try:
            _guarded(of_living)
        except InfrastructureTrouble as error:
            # One of them may wait for something, or be contended for.
            _require_database(error)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is judged where it runs alone
            log.debug("%d events cannot be handled together: %s", len(events), type(error).__name__)
        return left

    def _handle_alone(self, event: _Event) -> Outcome:
        """Runs each handler of one event in a transaction of its own."""
        worst = DONE
        for subscription in event.handled:
            outcome = self._handle_of_living(subscription, event)
            if outcome.settle is Settle.RETRY or worst.settle is Settle.DONE:
                worst = outcome
        return worst

    def _handle_of_living(self, subscription: Subscription, event: _Event) -> Outcome:
        """Handles what is left of an event when the erased are left out."""
        # For each handler anew: it then ends within HANDLER_LIMIT_S of this look, on which erasing rests.
        envelope = event.envelope
        erased = _guarded(lambda: tombstones.erased(envelope.datasubjects))
        envelope = replace(envelope, erased=erased)
        if erased and not _wanted_of_erased(subscription, envelope):
            rest = pruned(envelope.type, envelope.body, envelope.datasubjects, erased)
            if rest is None:
                return DONE
            envelope = replace(envelope, body=rest.body, datasubjects=rest.datasubjects)
        left = replace(event, envelope=envelope)
        try:
            _guarded(lambda: docstore.in_transaction(lambda: self._run([(subscription, left)])))
        except InfrastructureTrouble:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises decides what becomes of the message
            return _failure(error, subscription, envelope)
        return DONE

    def _run(self, asked: Sequence[tuple[Subscription, _Event]]) -> None:
        """Runs handlers inside the transaction, those that have not handled their event."""
        with docstore.gathered_writes():
            fresh = guards.take([(subscription, event.envelope) for subscription, event in asked])
            for place in fresh:
                self._call(*asked[place])

    def _call(self, subscription: Subscription, event: _Event) -> None:
        envelope = event.envelope
        with (
            use_span(event.span, record_exception=False, set_status_on_exception=False),
            tenancy.service_context(envelope.tenant, f"services/{self.service}", method=envelope.type),
        ):
            getattr(self._handlers, subscription.method)(subscription.message.FromString(envelope.body), envelope)


def _failure(error: Exception, subscription: Subscription, envelope: Envelope) -> Outcome:
    outcome = judge(error, subscription.method)
    log.warning(
        "event %s of type %s failed in %s: %s (%s)",
        *(envelope.id, envelope.type, subscription.method, outcome.reason, outcome.error),
    )
    return outcome


def _wanted_of_erased(subscription: Subscription, envelope: Envelope) -> bool:
    """Whether the handler gets an event about erased people as it is."""
    return subscription.erased_too or (subscription.some_erased and envelope.erased < set(envelope.datasubjects))


def _require_database(trouble: InfrastructureTrouble) -> None:
    """Raises `trouble` when the database does not answer: other events would fare no better."""
    try:
        docstore.ping()
    except pymongo.errors.PyMongoError:
        raise trouble from None


def _guarded(action: Callable[[], Any]) -> Any:
    """The result of a database action; its infrastructure errors become InfrastructureTrouble."""
    try:
        with pymongo.timeout(HANDLER_LIMIT_S):
            return action()
    except Exception as error:
        if is_infrastructure(error):
            raise InfrastructureTrouble(type(error).__name__) from error
        raise
