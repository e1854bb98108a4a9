"""Roles."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2, role_pb2

import docstore
from access.domain.slugs import slug_problem
from access.store import Issuer, Principal, Role
from access.usecases.grants import permission_violations, refuse, require_holding
from chassis.errors import FailedPrecondition, Violation
from docstore import masks, paging

_MAX_DISPLAY_NAME = 200


@docstore.command(Role)
def create_role(role_id: str, message: role_pb2.Role) -> Role:
    """Creates a role. Raises InvalidArgument, AlreadyExists, PermissionDenied ESCALATION."""
    problem = slug_problem(role_id)
    refuse([*([("role_id", problem)] if problem else []), *_violations(message)])
    require_holding(message.permissions, "The role")
    role = Role.new(role_id)
    role.assign(message)
    return role.insert()


def get_role(uid: str) -> Role:
    """A role. Raises NotFound."""
    return Role.get(uid)


def list_roles(request: access_service_pb2.ListRolesRequest) -> tuple[list[Role], str]:
    """A page of roles in order of creation, and the next page's token."""
    return paging.page(Role, filter={}, order=[("create_time", 1)], request=request, bind={})


@docstore.command(Role)
def update_role(uid: str, message: role_pb2.Role, mask: FieldMask) -> Role:
    """Changes a role.

    Only what it gains needs to be held by the caller. Raises NotFound, InvalidArgument, Aborted, PermissionDenied
    ESCALATION, FailedPrecondition ROLE_BUILT_IN.
    """
    role = Role.get(uid)
    _require_own(role)
    wanted = role.to_proto()
    masks.apply(mask, message, wanted)
    refuse(_violations(wanted))
    require_holding(set(wanted.permissions) - set(role.permissions), "The change")
    role.assign(wanted)
    return role.save(message.etag)


@docstore.command(None, replay=Empty.FromString)
def delete_role(uid: str, etag: str) -> Empty:
    """Deletes a role. Raises NotFound, Aborted, FailedPrecondition ROLE_BUILT_IN or ROLE_IN_USE."""
    role = Role.get(uid)
    _require_own(role)
    principals = Principal.rows().count({"roles": uid})
    issuers = Issuer.rows().count({"allowed_roles": uid})
    if principals or issuers:
        raise FailedPrecondition(
            "ROLE_IN_USE",
            f"{role.name} is held by {principals} principals and allowed by {issuers} issuers; take it from them.",
            metadata={"principals": str(principals), "issuers": str(issuers)},
            preconditions=[("ROLE_IN_USE", role.name, "No principal holds the role and no issuer allows it.")],
        )
    role.purge(etag)
    return Empty()


def _require_own(role: Role) -> None:
    if role.built_in:
        raise FailedPrecondition(
            "ROLE_BUILT_IN",
            f"{role.name} is built in and follows the platform's releases; create a role of your own instead.",
            preconditions=[("ROLE_BUILT_IN", role.name, "The role is one of the tenant's own.")],
        )


def _violations(message: role_pb2.Role) -> list[Violation]:
    found = permission_violations(message.permissions, "role.permissions")
    if len(message.display_name) > _MAX_DISPLAY_NAME:
        found.append(("role.display_name", f"At most {_MAX_DISPLAY_NAME} characters."))
    return found
