"""Traces and metrics by OpenTelemetry, pushed as OTLP over HTTP; nothing is collected when there is nobody to send to.

OTLP over HTTP, because the gRPC exporter would stall a monkey-patched worker.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from chassis.metric_names import Metric

if TYPE_CHECKING:
    from chassis.settings import Settings

_SCOPE = "rapport"
_EXPORT_INTERVAL_MS = 30_000
_EXPORT_TIMEOUT_S = 3
_SHUTDOWN_S = 5.0

logger = logging.getLogger(__name__)
_shutdowns: list[Callable[[], None]] = []


def setup(settings: "Settings") -> None:
    """Installs the providers of the process; call once, before stores and servers are made.

    Without `otlp_endpoint` spans are not recorded (trace ids still travel and appear in logs) and metrics are no-ops.
    """
    if settings.otlp_endpoint is None:
        trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
        return
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    base = settings.otlp_endpoint.rstrip("/")
    resource = Resource.create(resource_attributes(settings))
    sampler = ParentBased(_NoLoneClientCalls(settings.trace_ratio))
    tracer_provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    tracer_provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=_EXPORT_TIMEOUT_S))
    )
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=_EXPORT_TIMEOUT_S),
        export_interval_millis=_EXPORT_INTERVAL_MS,
        export_timeout_millis=_EXPORT_TIMEOUT_S * 1000,
    )
    meter_provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    _shutdowns.extend((tracer_provider.shutdown, meter_provider.shutdown))


class _NoLoneClientCalls(Sampler):
    """Records the given share of new traces, but none that a client call would begin.

    A query that belongs to no request is a sweep or a poll: several a second in an idle platform, of use to nobody.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if kind is SpanKind.CLIENT:
            return SamplingResult(Decision.DROP)
        return self._ratio.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"NoLoneClientCalls({self._ratio.get_description()})"


def resource_attributes(settings: "Settings") -> dict[str, str]:
    """What identifies the process (OpenTelemetry semantic conventions for resources)."""
    return {
        "service.name": settings.service,
        "service.namespace": "rapport",
        "service.version": settings.version,
        "service.instance.id": settings.instance,
        "deployment.environment.name": settings.environment,
        "rapport.role": settings.role,
    }


def shutdown() -> None:
    """Sends what is left and stops, within 5 s whatever the collector does."""
    waiting = [threading.Thread(target=stop, name="telemetry-shutdown", daemon=True) for stop in _shutdowns]
    _shutdowns.clear()
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(_SHUTDOWN_S)
    if any(thread.is_alive() for thread in waiting):
        logger.warning("telemetry was not delivered within %s s", _SHUTDOWN_S)


@cache
def tracer() -> trace.Tracer:
    """The tracer of the platform's own spans."""
    return trace.get_tracer(_SCOPE)


def meter() -> metrics.Meter:
    """The meter under which the registry's instruments are made."""
    return metrics.get_meter(_SCOPE)


@cache
def counter(metric: Metric) -> Counter:
    """The counter of a registered metric; `.add(1, {label: value})`."""
    return meter().create_counter(metric.name, metric.unit, metric.description)


@cache
def histogram(metric: Metric) -> Histogram:
    """The histogram of a registered metric; `.record(value, {label: value})`."""
    return meter().create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=list(metric.buckets)
    )


def gauge(metric: Metric, observe: Callable[[], Iterable[tuple[float, dict[str, str]]]]) -> None:
    """Reports a registered metric by asking `observe` for (value, labels) at every export."""

    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, labels) for value, labels in observe()]

    meter().create_observable_gauge(metric.name, [callback], metric.unit, metric.description)
