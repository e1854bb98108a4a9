"""Principals."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2, principal_pb2

import docstore
from access.store import Key, Principal
from access.usecases.grants import permissions_of, refuse, require_holding, role_violations
from chassis import clock
from chassis.errors import FailedPrecondition, Violation
from docstore import masks, paging

_MAX_DISPLAY_NAME = 200
_MAX_SUBJECT = 255
_MAX_ISSUER = 2000


@docstore.command(Principal)
def create_principal(message: principal_pb2.Principal) -> Principal:
    """Creates a principal. Raises InvalidArgument, AlreadyExists, PermissionDenied ESCALATION."""
    refuse(_violations(message))
    principal = Principal.new()
    principal.assign(message)
    require_holding(permissions_of(principal.roles), "The principal")
    return principal.insert()


def get_principal(uid: str) -> Principal:
    """A principal. Raises NotFound."""
    return Principal.get(uid)


def list_principals(request: access_service_pb2.ListPrincipalsRequest) -> tuple[list[Principal], str]:
    """A page of principals in order of creation, and the next page's token."""
    return paging.page(Principal, filter={}, order=[("create_time", 1)], request=request, bind={})


@docstore.command(Principal)
def update_principal(uid: str, message: principal_pb2.Principal, mask: FieldMask) -> Principal:
    """Changes a principal. Raises NotFound, InvalidArgument, AlreadyExists, Aborted, PermissionDenied ESCALATION."""
    principal = Principal.get(uid)
    wanted = principal.to_proto()
    changed = masks.apply(mask, message, wanted)
    refuse(_violations(wanted))
    before = set(principal.roles)
    principal.assign(wanted)
    given = set(principal.roles) - before
    # Whoever binds a principal to another identity, or lets it in again, gives somebody all of its roles.
    if {"issuer", "subject"} & changed or ("disabled" in changed and not principal.disabled):
        given = set(principal.roles)
    require_holding(permissions_of(given), "The change")
    return principal.save(message.etag)


@docstore.command(None, replay=Empty.FromString)
def delete_principal(uid: str, etag: str) -> Empty:
    """Deletes a principal. Raises NotFound, Aborted, FailedPrecondition PRINCIPAL_HAS_KEYS."""
    principal = Principal.get(uid)
    active = Key.rows().count({"principal": uid, "revoke_time": None, "expire_time": {"$gt": clock.real_now()}})
    if active:
        raise FailedPrecondition(
            "PRINCIPAL_HAS_KEYS",
            f"{principal.name} has {active} active keys; revoke them first, or set `disabled` to keep it out at once.",
            metadata={"keys": str(active)},
            preconditions=[("PRINCIPAL_HAS_KEYS", principal.name, "The principal has no active keys.")],
        )
    principal.purge(etag)
    return Empty()


def _violations(message: principal_pb2.Principal) -> list[Violation]:
    found = role_violations(message.roles, "principal.roles")
    if not 0 < len(message.display_name) <= _MAX_DISPLAY_NAME:
        found.append(("principal.display_name", f"Must have 1 to {_MAX_DISPLAY_NAME} characters."))
    if bool(message.issuer) != bool(message.subject):
        missing = "subject" if message.issuer else "issuer"
        found.append((f"principal.{missing}", "Give `issuer` and `subject` together, or neither."))
    if len(message.issuer) > _MAX_ISSUER:
        found.append(("principal.issuer", f"At most {_MAX_ISSUER} characters."))
    if len(message.subject) > _MAX_SUBJECT:
        found.append(("principal.subject", f"At most {_MAX_SUBJECT} characters."))
    return found
