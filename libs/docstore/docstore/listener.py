"""Proof, in tests, that no command reaches the database without a tenant."""

import threading
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from chassis import tenancy
from docstore.scope import in_platform_scope

_FILTERED = {"find": "filter", "count": "query", "distinct": "query", "findAndModify": "query"}
_WRITES = {"insert": "documents", "update": "updates", "delete": "deletes"}


class TenantlessCommand(BaseException):
    """A command without the tenant was about to be sent. No Exception, because pymongo swallows those of listeners."""


class TenantGuard(CommandListener):
    """Stops every data command that is not bound to the current tenant, unless sent inside `platform_scope()`.

    The command raises TenantlessCommand where it is sent; `check()` at the end of a test also tells of those in other
    threads. One guard a connection: `docstore.connect(settings, event_listeners=[guard])`.
    """

    def __init__(self) -> None:
        self._violations: list[str] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises AssertionError that names the commands stopped since the last check and where they were sent."""
        with self._lock:
            violations, self._violations = self._violations, []
        assert not violations, "commands without the tenant:\n" + "\n".join(violations)

    def started(self, event: CommandStartedEvent) -> None:
        """Look at a command that is about to be sent."""
        if in_platform_scope():
            return
        try:
            tenant: str | None = tenancy.tenant()
        except tenancy.TenantMissing:
            tenant = None
        name, command = event.command_name, event.command
        if name == "explain":
            command = command["explain"]
            name = next(iter(command))
        problem = next((f for f in _bound_parts(name, command) if tenant is None or not _bound(f, tenant)), None)
        if problem is None:
            return
        where = next(
            (
                frame
                for frame in reversed(traceback.extract_stack())
                if "/site-packages/" not in frame.filename
                and not frame.filename.endswith(("docstore/listener.py", "docstore/tenanted.py"))
            ),
            None,
        )
        place = f"{where.filename}:{where.lineno}" if where else "?"
        reason = "no tenant in the context" if tenant is None else f"not bound to tenant {tenant}"
        violation = f"{name} on {command.get(name)}: {reason}, sent from {place}"
        with self._lock:
            self._violations.append(violation)
        raise TenantlessCommand(violation)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to see."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to see."""


def _bound_parts(name: str, command: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The filters and documents of a data command, each of which must name the tenant; none for other commands."""
    if name in _FILTERED:
        yield command.get(_FILTERED[name]) or {}
    elif name == "aggregate":
        pipeline = command.get("pipeline") or [{}]
        yield pipeline[0].get("$match") or {}
        for stage in pipeline:
            if "$unionWith" in stage:
                joined = stage["$unionWith"]
                inner = joined.get("pipeline") if isinstance(joined, Mapping) else None
                yield (inner or [{}])[0].get("$match") or {}
    elif name in _WRITES:
        for item in command.get(_WRITES[name], ()):
            yield item if name == "insert" else item.get("q") or {}


def _bound(part: Mapping[str, Any], tenant: str) -> bool:
    return part.get("tenant") == tenant
