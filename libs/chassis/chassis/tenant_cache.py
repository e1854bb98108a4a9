"""What a process knows of each tenant for a moment, so that not every request reads it anew."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cachetools import TTLCache

from chassis import tenancy

T = TypeVar("T")

_TENANTS_MAX = 1_000


class TenantCache(Generic[T]):
    """The answer of `read` (never None) for the current tenant, kept for `kept_s` seconds, of at most 1,000 tenants.

    What another process has changed within that time may be missing; a process that changes it itself calls `forget`
    after its write, and reads the new state from then on.
    """

    def __init__(self, read: Callable[[], T], kept_s: float) -> None:
        self._read = read
        self._known: TTLCache[str, T] = TTLCache(maxsize=_TENANTS_MAX, ttl=kept_s)
        self._forgotten = 0
        self._lock = threading.Lock()

    def get(self) -> T:
        """The answer for the current tenant. Raises TenantMissing without one, and whatever `read` raises."""
        tenant = tenancy.tenant()
        with self._lock:
            known = self._known.get(tenant)
            if known is not None:
                return known
            before = self._forgotten
        found = self._read()
        with self._lock:
            # What was read while somebody forgot may be older than their write.
            if before == self._forgotten:
                self._known[tenant] = found
        return found

    def forget(self) -> None:
        """Lets this process read the current tenant's answer anew."""
        with self._lock:
            self._known.pop(tenancy.tenant(), None)
            self._forgotten += 1
