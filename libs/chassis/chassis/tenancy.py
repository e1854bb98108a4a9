"""The tenant of what is being done now. Stores ask here, so that no query can forget it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from chassis import context

if TYPE_CHECKING:
    from chassis.settings import Settings

_service_principal = "services/unnamed"


class TenantMissing(RuntimeError):  # noqa: N818 - reads as what is the matter
    """Tenant-bound code ran without a tenant: a defect, not a user's mistake."""


def configure(settings: "Settings") -> None:
    """Names the process: work on its own account is done as `services/<service>`."""
    global _service_principal
    _service_principal = f"services/{settings.service}"


def service_principal() -> str:
    """The principal of this process's own work."""
    return _service_principal


def tenant() -> str:
    """Id of the current tenant. Raises TenantMissing when there is none."""
    current = context.current_or_none()
    if current is None or current.tenant is None:
        raise TenantMissing("no tenant here: enter one with tenancy.service_context or tenancy.enter")
    return current.tenant


def enter(tenant: str) -> None:
    """Gives the current request another tenant until it ends.

    For methods of public links (the tenant is in the opened link) and for creating a tenant. Raises NoContext
    outside a request.
    """
    context.replace(replace(context.current(), tenant=_checked(tenant)))


@contextmanager
def service_context(
    tenant: str, principal: str | None = None, *, method: str = "", deadline: float | None = None
) -> Iterator[context.RequestContext]:
    """The context of work a service does by itself for one tenant: event handlers, timers, jobs.

    `principal` is this process's `services/<service>` unless given; it may do everything within its own service.
    """
    principal = principal or _service_principal
    own = principal.removeprefix("services/")
    with context.use(
        context.RequestContext(
            tenant=_checked(tenant),
            principal=principal,
            permissions=frozenset({f"{own}.*"}),
            method=method,
            deadline=deadline,
        )
    ) as entered:
        yield entered


def _checked(tenant: str) -> str:
    if not tenant or "/" in tenant:
        raise TenantMissing("a tenant is a non-empty id without slashes")
    return tenant
