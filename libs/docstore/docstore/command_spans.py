"""Database commands as spans of the trace they belong to.

Every command of a share of the traces, and of the others the slow and the failed ones. All commands of all traces
would be most spans of the platform, and cost more processor time than many a command itself.
"""

import time
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from chassis import telemetry

SLOW_S = 0.1
"""A command that took so long is always told."""


class CommandSpans(CommandListener):
    """Makes spans of commands that ran inside a recorded span; a sweep or a poll of no request makes none.

    share: of the recorded traces, those that hold every command (0 to 1), chosen by trace id: all processes agree.
    """

    def __init__(self, share: float) -> None:
        # The other half of the id than the one by which traces are chosen to be recorded.
        self._bound = round(share * 2**64)
        self._collections: dict[tuple[Any, int], str] = {}
        self._tracer = telemetry.tracer()

    def started(self, event: CommandStartedEvent) -> None:
        """Keeps the name of the collection, which the later events do not tell."""
        if trace.get_current_span().is_recording():
            named = event.command.get(event.command_name) if event.command_name != "getMore" else None
            collection = named or event.command.get("collection")
            self._collections[_key(event)] = collection if isinstance(collection, str) else ""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Records the command if it was slow or everything is wanted."""
        collection = self._collections.pop(_key(event), None)
        if collection is None:
            return
        if event.duration_micros >= SLOW_S * 1e6 or self._wanted():
            self._record(event, collection)

    def failed(self, event: CommandFailedEvent) -> None:
        """Records the command with the server's code; its message may quote a key."""
        collection = self._collections.pop(_key(event), None)
        if collection is not None:
            self._record(event, collection, Status(StatusCode.ERROR, event.failure.get("codeName", "failed")))

    def _wanted(self) -> bool:
        return trace.get_current_span().get_span_context().trace_id >> 64 < self._bound

    def _record(
        self, event: CommandSucceededEvent | CommandFailedEvent, collection: str, status: Status | None = None
    ) -> None:
        attributes = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": event.command_name,
        }
        if collection:
            attributes["db.collection.name"] = collection
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{event.command_name} {collection}".rstrip(),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=ended - event.duration_micros * 1000,
        )
        if status is not None:
            span.set_status(status)
        span.end(ended)


def _key(event: CommandStartedEvent | CommandSucceededEvent | CommandFailedEvent) -> tuple[Any, int]:
    return event.connection_id, event.request_id
