"""What happens to one delivered message, without the broker: find the handlers, guard, run, say how to settle.

Exactly-once state: the guard row (`eventing.guards`) and whatever the handler writes are one transaction.
"""

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import pymongo
import pymongo.errors
from google.protobuf.message import DecodeError
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import docstore
from chassis import errors, metric_names, telemetry, tenancy
from eventing import guards, tombstones
from eventing.envelope import Envelope, UndecodableEvent
from eventing.pruning import erasure_types, pruned
from eventing.subscribe import PermanentFailure, Subscription, subscriptions

log = logging.getLogger(__name__)

_PERMANENT = (
    errors.InvalidArgument,
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.PermissionDenied,
    errors.Unauthenticated,
    errors.OutOfRange,
)
_RETRYABLE_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
# Codes of mongod that speak of the server or the credentials, not of the operation: host unreachable or not found,
# network timeout, not authorised, authentication failed, shutting down, no primary, interrupted, disk full, time limit.
_SERVER_CODES = frozenset({6, 7, 89, 9001, 13, 18, 91, 189, 262, 10107, 11600, 11602, 13435, 13436, 14031})


HANDLER_LIMIT_S = 15.0
"""What one transaction of handlers may take; the driver would try for two minutes to commit without a database."""


class InfrastructureTrouble(Exception):  # noqa: N818
    """The database cannot be used now. The message must be held and tried again; it is not to blame."""


class Settle(Enum):
    """How the broker is to be told."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How to settle a message. reason: UPPER_SNAKE. error: type and place of the exception, never its text."""

    settle: Settle
    reason: str = ""
    handler: str = ""
    error: str = ""


DONE = Outcome(Settle.DONE)


class Delivery:
    """Handles the messages of one service with an instance of its Handlers class."""

    def __init__(self, service: str, handlers: type) -> None:
        self.service = service
        self._handlers = handlers()
        self._subscriptions = subscriptions(handlers)
        self._tracer = telemetry.tracer()

    def process(self, headers: Mapping[str, Any] | None, properties: Mapping[str, Any], body: bytes) -> Outcome:
        """Runs every handler of the event that has not handled it yet. Raises InfrastructureTrouble."""
        try:
            envelope = Envelope.from_amqp(headers, properties, body)
        except UndecodableEvent as error:
            return Outcome(Settle.DEAD, f"UNDECODABLE_{error.reason}")
        started = time.perf_counter()
        parent = TraceContextTextMapPropagator().extract({"traceparent": envelope.traceparent})
        attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": self.service,
            "messaging.message.id": envelope.id,
            "rapport.event.type": envelope.type,
            "rapport.tenant": envelope.tenant,
        }
        with self._tracer.start_as_current_span(
            f"process {self.service}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            # The text of an exception may hold personal data.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                outcome = self._dispatch(envelope)
            except InfrastructureTrouble:
                span.set_status(StatusCode.ERROR, "held")
                raise
            except Exception as error:
                log.exception("event %s of type %s could not be dispatched", envelope.id, envelope.type)
                outcome = _judge(error, "")
            if outcome.settle is not Settle.DONE:
                span.set_status(StatusCode.ERROR, outcome.reason)
        labels = {"rapport.event.type": self.label(envelope.type), "rapport.event.outcome": outcome.settle.value}
        telemetry.histogram(metric_names.EVENT_PROCESS_DURATION).record(time.perf_counter() - started, labels)
        return outcome

    def is_of_erased(self, headers: Mapping[str, Any] | None, properties: Mapping[str, Any], body: bytes) -> bool:
        """Whether the message names erased people and cannot be told without them. Raises InfrastructureTrouble."""
        try:
            envelope = Envelope.from_amqp(headers, properties, body)
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

    def _dispatch(self, envelope: Envelope) -> Outcome:
        handled = self._subscriptions.get(envelope.type)
        if not handled:
            return Outcome(Settle.DEAD, "UNKNOWN_TYPE")
        try:
            handled[0].message.FromString(envelope.body)
        except DecodeError:
            return Outcome(Settle.DEAD, "UNDECODABLE_BODY")
        worst = DONE
        with tenancy.service_context(envelope.tenant, f"services/{self.service}", method=envelope.type):
            decided = self._handle_together(handled, envelope) if len(handled) > 1 else {}
            for subscription in handled:
                outcome = decided.get(subscription.method) or self._handle_of_living(subscription, envelope)
                if outcome.settle is Settle.RETRY or worst.settle is Settle.DONE:
                    worst = outcome
        return worst

    def _handle_together(self, handled: Sequence[Subscription], envelope: Envelope) -> dict[str, Outcome]:
        """Runs all handlers of an event about nobody erased in one transaction; what became of which method.

        A transaction costs more than what most handlers write. When one fails, nothing came of it but that one's
        outcome: the others then run by themselves.
        """
        running = handled[0]

        def once() -> None:
            nonlocal running
            for running in handled:
                self._run(running, envelope)

        def of_living() -> bool:
            if tombstones.erased(envelope.datasubjects):
                return False
            docstore.in_transaction(once)
            return True

        try:
            return dict.fromkeys((each.method for each in handled), DONE) if _guarded(of_living) else {}
        except InfrastructureTrouble:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises decides what becomes of the message
            return {running.method: _failure(error, running, envelope)}

    def _handle_of_living(self, subscription: Subscription, envelope: Envelope) -> Outcome:
        """Handles what is left of an event when the erased are left out."""
        # For each handler anew: it then ends within HANDLER_LIMIT_S of this look, on which erasing rests.
        erased = _guarded(lambda: tombstones.erased(envelope.datasubjects))
        envelope = replace(envelope, erased=erased)
        if erased and not _wanted_of_erased(subscription, envelope):
            rest = pruned(envelope.type, envelope.body, envelope.datasubjects, erased)
            if rest is None:
                return DONE
            envelope = replace(envelope, body=rest.body, datasubjects=rest.datasubjects)
        return self._handle(subscription, envelope)

    def _handle(self, subscription: Subscription, envelope: Envelope) -> Outcome:
        try:
            _guarded(lambda: docstore.in_transaction(lambda: self._run(subscription, envelope)))
        except InfrastructureTrouble:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises decides what becomes of the message
            return _failure(error, subscription, envelope)
        return DONE

    def _run(self, subscription: Subscription, envelope: Envelope) -> None:
        """Runs a handler inside the transaction, unless it has handled the event."""
        if guards.take(subscription, envelope):
            getattr(self._handlers, subscription.method)(subscription.message.FromString(envelope.body), envelope)


def _failure(error: Exception, subscription: Subscription, envelope: Envelope) -> Outcome:
    outcome = _judge(error, subscription.method)
    log.warning(
        "event %s of type %s failed in %s: %s (%s)",
        *(envelope.id, envelope.type, subscription.method, outcome.reason, outcome.error),
    )
    return outcome


def _wanted_of_erased(subscription: Subscription, envelope: Envelope) -> bool:
    """Whether the handler gets an event about erased people as it is."""
    return subscription.erased_too or (subscription.some_erased and envelope.erased < set(envelope.datasubjects))


def _guarded(action: Callable[[], Any]) -> Any:
    """The result of a database action; its infrastructure errors become InfrastructureTrouble."""
    try:
        with pymongo.timeout(HANDLER_LIMIT_S):
            return action()
    except Exception as error:
        if is_infrastructure(error):
            raise InfrastructureTrouble(type(error).__name__) from error
        raise


def is_infrastructure(error: BaseException) -> bool:
    """True for errors that say the database (or a part the service needs) cannot be used now, wrapped or not."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, errors.Unavailable | pymongo.errors.ConnectionFailure | pymongo.errors.WTimeoutError):
            return True
        if isinstance(seen, errors.Aborted) and seen.reason == "TRANSACTION_CONTENTION":
            return True
        if isinstance(seen, pymongo.errors.PyMongoError) and any(map(seen.has_error_label, _RETRYABLE_LABELS)):
            return True
        if isinstance(seen, pymongo.errors.OperationFailure) and seen.code in _SERVER_CODES:
            return True
        # mongoengine hides pymongo's error as the context of its own.
        hidden = seen.__context__ if type(seen).__module__.startswith("mongoengine") else None
        seen = seen.__cause__ or hidden
    return False


def _judge(error: Exception, handler: str) -> Outcome:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    kind = f"{type(error).__qualname__}{place}"
    if isinstance(error, PermanentFailure):
        return Outcome(Settle.DEAD, error.reason, handler, kind)
    if isinstance(error, _PERMANENT):
        return Outcome(Settle.DEAD, error.reason, handler, kind)
    return Outcome(Settle.RETRY, "ATTEMPTS_EXHAUSTED", handler, kind)
