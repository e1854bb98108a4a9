"""Writes of many callers sent together: one command for each collection instead of one for each caller."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from docstore.connection import database

_gathered: ContextVar[dict[str, list[Any]] | None] = ContextVar("docstore_gathered_writes", default=None)


@contextmanager
def gathered_writes() -> Iterator[None]:
    """Within the block `TenantCollection.gather` only notes writes; they are sent when it ends, unless it raises.

    For a transaction that several callers share. Writes of one collection keep their order; reads of the block do not
    see them.
    """
    writes: dict[str, list[Any]] = {}
    token = _gathered.set(writes)
    try:
        yield
    finally:
        _gathered.reset(token)
    for name, operations in writes.items():
        database()[name].bulk_write(operations)


def gather(name: str, operations: Sequence[Any]) -> bool:
    """Notes writes, bound to their tenant already, for the end of the block; False outside of one."""
    writes = _gathered.get()
    if writes is None:
        return False
    writes.setdefault(name, []).extend(operations)
    return True
