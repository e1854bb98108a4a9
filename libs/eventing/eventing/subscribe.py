"""How a service says which events it reacts to.

    class Handlers:
        @subscribe(events_pb2.CustomerMerged)
        @subscribe(events_pb2.CustomerUnmerged)
        def follow_merge(self, event, envelope): ...

A handler changes its own service's state, or records work for the role `run`; it calls no other service. It runs inside
one MongoDB transaction together with the guard that makes it exactly-once, in the tenant of the event, and mostly with
handlers of other events: what one of them has written it reads, except for what was gathered (`docstore`). So it may
run again after a conflict, or when a neighbour fails, must have no other effects, and has 15 seconds. What it raises
decides what becomes of the message: `PermanentFailure` and errors of the request kind (INVALID_ARGUMENT, NOT_FOUND,
FAILED_PRECONDITION, ...) make it a dead letter at once, trouble of the database or the broker holds it, everything else
is retried after 1, 10 and 60 seconds and is then a dead letter.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from google.protobuf.message import Message
from rapport.options.v1 import options_pb2

from contracts import descriptors

_ATTRIBUTE = "__rapport_subscriptions__"

Handler = TypeVar("Handler", bound=Callable[..., None])


class PermanentFailure(Exception):  # noqa: N818 - named for what it is, as gRPC statuses are
    """Raised by a handler for an event that no retry can make good; the message becomes a dead letter.

    `reason` is UPPER_SNAKE and free of personal data: it is kept with the dead letter and shown in listings.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Subscription:
    """One handler of one event type.

    state_of: for STATE events, the name of the state whose highest sequence wins; empty for FACT events.
    """

    event_type: str
    message: type[Message]
    method: str
    state_of: str
    urgent: bool
    history: bool
    some_erased: bool
    erased_too: bool


def subscribe(
    message: type[Message], *, history: bool = False, some_erased: bool = False, erased_too: bool = False
) -> Callable[[Handler], Handler]:
    """Makes a method `(self, event, envelope)` of `class Handlers` a handler of the event; may be stacked.

    FACT events run once per event id. STATE events run only when their sequence is the highest seen for the subject;
    with `history` they run once for every version instead, in any order: for handlers that keep all of them.
    Events about erased people are dropped. An event about others too is handed over without the elements of repeated
    fields that name the erased, and dropped when that cannot be; with `some_erased` it is handed over as it is, and
    the handler leaves out `envelope.erased`. With `erased_too` every event is handed over: for what is told about an
    erasure itself.
    Raises TypeError for a message that is no event.
    """
    name = message.DESCRIPTOR.full_name
    rule = descriptors.event_rule(message.DESCRIPTOR)
    if rule is None or rule.kind == options_pb2.EventRule.KIND_UNSPECIFIED:
        raise TypeError(f"{name} is no event: it has no option (rapport.options.v1.event) with a kind")
    if rule.kind == options_pb2.EventRule.KIND_STATE and not rule.state_of:
        raise TypeError(f"{name} is a STATE event without state_of")
    state_of = rule.state_of if rule.kind == options_pb2.EventRule.KIND_STATE else ""

    def register(handler: Handler) -> Handler:
        if any(item.event_type == name for item in getattr(handler, _ATTRIBUTE, ())):
            raise TypeError(f"{handler.__qualname__} subscribes to {name} twice")
        mine = Subscription(name, message, handler.__name__, state_of, rule.urgent, history, some_erased, erased_too)
        setattr(handler, _ATTRIBUTE, (*getattr(handler, _ATTRIBUTE, ()), mine))
        return handler

    return register


def subscriptions(handlers: type) -> dict[str, tuple[Subscription, ...]]:
    """The subscriptions of a Handlers class by event type, in order of their method names."""
    found: dict[str, tuple[Subscription, ...]] = {}
    for _, method in inspect.getmembers(handlers, inspect.isfunction):
        for item in getattr(method, _ATTRIBUTE, ()):
            found[item.event_type] = (*found.get(item.event_type, ()), item)
    return found


def handlers_of(service: str) -> type[Any] | None:
    """The class `Handlers` of the module `<service>.handlers`, or None for a service that reacts to nothing."""
    if find_spec(f"{service}.handlers") is None:
        return None
    found: type[Any] = import_module(f"{service}.handlers").Handlers
    return found
