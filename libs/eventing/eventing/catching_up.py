"""A read that shows what its caller has just written elsewhere: it waits until this service has handled the events.

A servicer calls `catching_up.wait("identity", call)` before it reads.
"""

import time
from collections.abc import Mapping
from functools import cache

import grpc

from chassis import consistency
from eventing import guards
from eventing.subscribe import Subscription, handlers_of, subscriptions

WAIT_S = 0.5
"""How long a read waits at most; then it answers with what there is, and says that it is stale."""

_LOOK_EVERY_S = 0.02


def wait(service: str, call: grpc.ServicerContext) -> None:
    """Waits for what the call's consistency token names, if it has one; marks an answer that comes before it as stale.

    service: the one that reads. Events it does not hear are not waited for. Raises InvalidArgument
    INVALID_CONSISTENCY_TOKEN.
    """
    token = dict(call.invocation_metadata()).get(consistency.TOKEN_METADATA)
    if isinstance(token, str) and not caught_up(service, token):
        call.set_trailing_metadata(((consistency.STALE_METADATA, "true"),))


def caught_up(service: str, token: str, wait_s: float = WAIT_S) -> bool:
    """Whether the service has handled, within `wait_s`, all that a token names."""
    heard = _heard(service)
    waiting = [(item, event) for event in consistency.events_of(token) for item in heard.get(event.type, ())]
    until = time.monotonic() + wait_s
    while waiting := guards.unhandled(waiting):
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


@cache
def _heard(service: str) -> Mapping[str, tuple[Subscription, ...]]:
    handlers = handlers_of(service)
    return subscriptions(handlers) if handlers else {}
