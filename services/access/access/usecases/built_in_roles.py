"""The built-in roles of every tenant: made with it, and brought up to date by `migrate`."""

from collections.abc import Iterable

from access.domain.built_in_roles import BuiltInRole, built_in_roles
from access.domain.slugs import PLATFORM
from access.store import Role, Tenant
from access.usecases.grants import known_permissions
from chassis import tenancy

PLATFORM_ADMIN = BuiltInRole("platform-admin", "Platform administrator", ("*",))


def create_built_in_roles() -> None:
    """Gives the current tenant, a new one, its built-in roles."""
    for wanted in _wanted():
        _new(wanted).insert()


def refresh_built_in_roles() -> None:
    """Brings the built-in roles of all tenants up to this release. Safe to repeat."""
    with tenancy.service_context(PLATFORM):
        tenants = [row["uid"] for row in Tenant.rows().find({}, {"uid": 1})]
    for tenant in tenants:
        with tenancy.service_context(tenant):
            _refresh()


def _refresh() -> None:
    wanted = {role.id: role for role in _wanted()}
    stored = Role.get_many(wanted)
    for role_id, role in wanted.items():
        document = stored.get(role_id)
        if document is None:
            _new(role).insert()
        elif document.built_in:
            # A role of the tenant's own that bears the name of a newer built-in one stays what it is.
            document.display_name = role.display_name
            document.permissions = list(role.permissions)
            document.save()


def _wanted() -> Iterable[BuiltInRole]:
    return (PLATFORM_ADMIN,) if tenancy.tenant() == PLATFORM else built_in_roles(known_permissions())


def _new(role: BuiltInRole) -> Role:
    return Role.new(role.id, display_name=role.display_name, permissions=list(role.permissions), built_in=True)
