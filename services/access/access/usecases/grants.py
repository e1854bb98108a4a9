"""Who may give what: permissions exist, roles exist, and nobody gives more than they hold."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache

from access.domain.permission_names import ENTER_TENANTS, closest_permission, permission_exists
from access.store import Principal, Role
from chassis import context
from chassis.errors import InvalidArgument, PermissionDenied, Violation
from chassis.permissions import permits
from contracts import descriptors

MAX_PERMISSIONS = 200
MAX_ROLES = 50
_SHOWN = 10


@cache
def known_permissions() -> frozenset[str]:
    """All permissions: what methods ask for, and the one that lets platform staff into tenants."""
    asked_for = (descriptors.rule(method).permission for method in descriptors.methods())
    return frozenset(filter(None, asked_for)) | {ENTER_TENANTS}


def permission_violations(permissions: Sequence[str], path: str) -> list[Violation]:
    """What is wrong with the permissions of a role; each unknown one with the one that was probably meant."""
    if not permissions:
        return [(path, "Give at least one permission.")]
    if len(permissions) > MAX_PERMISSIONS:
        return [(path, f"At most {MAX_PERMISSIONS} permissions; use wildcards such as `identity.*`.")]
    found: list[Violation] = []
    for index, permission in enumerate(permissions):
        if not permission_exists(permission, known_permissions()):
            closest = closest_permission(permission, known_permissions())
            hint = f"; did you mean `{closest}`?" if closest else "."
            found.append((f"{path}[{index}]", f"No method asks for this permission{hint}"))
    return found


def role_violations(roles: Sequence[str], path: str) -> list[Violation]:
    """What is wrong with a list of role names."""
    if len(roles) > MAX_ROLES:
        return [(path, f"At most {MAX_ROLES} roles.")]
    existing = Role.get_many(_ids(roles))
    return [
        (f"{path}[{index}]", "There is no such role; see ListRoles.")
        for index, role in enumerate(_ids(roles))
        if role not in existing
    ]


def permissions_of(role_ids: Iterable[str]) -> frozenset[str]:
    """The permissions that roles of the current tenant hold together; roles that do not exist hold none."""
    return frozenset(item for role in Role.get_many(role_ids).values() for item in role.permissions)


def roles_behind_issuer(issuer_uri: str) -> set[str]:
    """Ids of all roles that people who sign in at an issuer hold: what the keeper of its keys could act with."""
    return set(Principal.rows().distinct("roles", {"issuer": issuer_uri}))


def require_holding(permissions: Collection[str], action: str) -> None:
    """Raises PermissionDenied ESCALATION unless the caller holds all `permissions`.

    Without it, whoever may write roles, principals, keys or issuers could make themselves an administrator.
    """
    held = context.current().permissions
    missing = sorted(permission for permission in permissions if not permits(held, permission))
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise PermissionDenied(
            "ESCALATION",
            f"{action} would give permissions that you do not hold: {shown}. Ask somebody who holds them.",
            metadata={"missing": shown},
        )


def refuse(violations: Sequence[Violation]) -> None:
    """Raises InvalidArgument INVALID_FIELDS when there are violations."""
    if violations:
        raise refusal(violations)


def refusal(violations: Sequence[Violation]) -> InvalidArgument:
    """The refusal of a request with these violations."""
    named = ", ".join(field for field, _ in violations[:5])
    return InvalidArgument("INVALID_FIELDS", f"The request has invalid fields: {named}.", violations=violations)


def _ids(roles: Iterable[str]) -> list[str]:
    return [role.removeprefix(f"{Role.resource}/") for role in roles]
