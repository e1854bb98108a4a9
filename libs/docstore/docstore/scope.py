"""Whose data an operation may touch: one tenant's (the rule) or the whole platform's (the exception)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_platform: ContextVar[bool] = ContextVar("docstore_platform_scope", default=False)


@contextmanager
def platform_scope() -> Iterator[None]:
    """Lift the tenant rule inside the block.

    Only for work that serves all tenants at once: the relay, timers, batch claims, migrations, the dead-letter tool.
    """
    token = _platform.set(True)
    try:
        yield
    finally:
        _platform.reset(token)


def in_platform_scope() -> bool:
    """True inside `platform_scope()`."""
    return _platform.get()
