"""Tenants: created, listed and changed by the platform, read and changed by themselves."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2, events_pb2, tenant_pb2

import docstore
from access import tenant_settings
from access.domain.slugs import PLATFORM, RESERVED_TENANTS, slug_problem
from access.store import Tenant
from access.usecases.built_in_roles import create_built_in_roles
from access.usecases.grants import refuse
from chassis import clock, tenancy
from chassis.errors import NotFound, PermissionDenied, Violation
from docstore import masks, paging


def create_tenant(tenant_id: str, message: tenant_pb2.Tenant) -> Tenant:
    """Creates a tenant with its built-in roles. Raises PermissionDenied PLATFORM_ONLY, AlreadyExists."""
    _require_platform()
    violations: list[Violation] = []
    if problem := slug_problem(tenant_id):
        violations.append(("tenant_id", problem))
    elif tenant_id in RESERVED_TENANTS:
        violations.append(("tenant_id", "This id is taken by the platform itself; choose another one."))
    refuse([*violations, *_violations(message)])
    return _create_tenant(tenant_id, message)


@docstore.command(None)
def _create_tenant(tenant_id: str, message: tenant_pb2.Tenant) -> Tenant:
    tenant = Tenant.new(tenant_id)
    tenant.assign(message)
    tenant.create_time = clock.now()
    tenant.emit(events_pb2.TenantCreated(tenant=tenant.published()))
    tenant.insert()
    with tenancy.service_context(tenant_id):
        create_built_in_roles()
    return tenant


def get_tenant(uid: str) -> Tenant:
    """A tenant: any for the platform, the own one for everybody else. Raises NotFound."""
    _enter_owner(uid)
    return Tenant.get(uid)


def list_tenants(request: access_service_pb2.ListTenantsRequest) -> tuple[list[Tenant], str]:
    """A page of tenants in order of creation, and the next page's token. Raises PermissionDenied PLATFORM_ONLY."""
    _require_platform()
    return paging.page(Tenant, filter={}, order=[("create_time", 1)], request=request, bind={})


def update_tenant(uid: str, message: tenant_pb2.Tenant, mask: FieldMask) -> Tenant:
    """Changes a tenant: any for the platform, the own one for everybody else. Raises NotFound, Aborted."""
    _enter_owner(uid)
    return _update_tenant(uid, message, mask)


@docstore.command(Tenant)
def _update_tenant(uid: str, message: tenant_pb2.Tenant, mask: FieldMask) -> Tenant:
    tenant = Tenant.get(uid)
    wanted = tenant.to_proto()
    changed = masks.apply(mask, message, wanted)
    refuse(_violations(wanted))
    tenant.assign(wanted)
    if changed:
        tenant.emit(events_pb2.TenantUpdated(tenant=tenant.published()))
    return tenant.save(message.etag)


def _violations(message: tenant_pb2.Tenant) -> list[Violation]:
    found = tenant_settings.violations(message.settings)
    if not 0 < len(message.display_name) <= 200:
        found.append(("tenant.display_name", "Must have 1 to 200 characters."))
    return found


def _require_platform() -> None:
    if tenancy.tenant() != PLATFORM:
        raise PermissionDenied(
            "PLATFORM_ONLY",
            "Only principals of the tenant `platform` create and list tenants; your own one is readable by its name.",
        )


def _enter_owner(uid: str) -> None:
    """Enters the tenant that owns tenant documents, after making sure that the caller may see this one."""
    if tenancy.tenant() not in (PLATFORM, uid):
        name = Tenant.described(uid)
        raise NotFound("NOT_FOUND", f"{name} does not exist.", metadata={"resource": name})
    tenancy.enter(PLATFORM)
