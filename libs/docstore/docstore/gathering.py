"""What many callers of one transaction write is sent together, and what several of them ask is asked once."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from chassis import tenancy
from docstore.connection import database

T = TypeVar("T")


@dataclass
class _Block:
    tenant: str
    writes: dict[str, list[Any]] = field(default_factory=dict)
    answers: dict[Hashable, Any] = field(default_factory=dict)


_block: ContextVar[_Block | None] = ContextVar("docstore_gathered", default=None)


@contextmanager
def gathered_writes() -> Iterator[None]:
    """Within the block `TenantCollection.gather` only notes writes; they are sent when it ends, unless it raises.

    For a transaction that several callers share. Writes of one collection keep their order; reads of the block do not
    see them. It belongs to the current tenant: what is done for another one is done at once.
    """
    block = _Block(tenancy.tenant())
    token = _block.set(block)
    try:
        yield
    finally:
        _block.reset(token)
    for name, operations in block.writes.items():
        database()[name].bulk_write(operations)


def gather(name: str, operations: Sequence[Any]) -> bool:
    """Notes writes, bound to their tenant already, for the end of the block; False outside of one."""
    block = _current()
    if block is None:
        return False
    block.writes.setdefault(name, []).extend(operations)
    return True


def asked_once(key: Hashable, question: Callable[[], T]) -> T:
    """The answer to a question, within a block the one first given for this key.

    For what is asked for every one of many events and does not change by what their transaction writes.
    """
    block = _current()
    if block is None:
        return question()
    if key not in block.answers:
        block.answers[key] = question()
    return cast(T, block.answers[key])


def _current() -> _Block | None:
    block = _block.get()
    return block if block is not None and block.tenant == tenancy.tenant() else None
