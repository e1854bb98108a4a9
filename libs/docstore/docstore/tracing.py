"""The trace of a write, kept with what it leaves to be done later."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis import telemetry

_propagator = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """W3C traceparent of the current span; None without a trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def continued(traceparent: str | None, name: str) -> Iterator[None]:
    """A span in the trace that `traceparent` names, or in a new one."""
    carrier = {"traceparent": traceparent} if traceparent else {}
    context = _propagator.extract(carrier)
    # The text of an exception may hold personal data.
    with telemetry.tracer().start_as_current_span(
        name, context, SpanKind.CONSUMER, record_exception=False, set_status_on_exception=False
    ):
        yield
