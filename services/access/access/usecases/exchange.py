"""Exchanges outside credentials for internal tokens: the one place where strangers become principals."""

import hmac
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt

from access import outside_tokens
from access.domain.key_text import SECRET_BYTES, KeyText, hash_secret, parse_key
from access.domain.permission_names import ENTER_TENANTS
from access.domain.slugs import PLATFORM, slug_problem
from access.jwk_sets import read_jwk_set
from access.key_sets import KeySets
from access.store import Issuer, Key, Principal, Role, Tenant
from access.store.keys import API, WRITE
from access.usecases.grants import refusal
from access.usecases.keys import WRITE_PERMISSION
from chassis import clock, metric_names, telemetry, tenancy
from chassis.errors import FailedPrecondition, PermissionDenied, RapportError, Unauthenticated
from chassis.keys import TOKEN_TTL_MAX_S, keyring
from chassis.permissions import permits
from contracts import descriptors

SERVICE = "access"
_MAX_TOKEN_PERMISSIONS_LENGTH = 6000
"""Characters; gRPC refuses calls with more than 8 KiB of metadata."""
_PSEUDONYM_LENGTH = 32

# A malformed key takes the same way as one that does not exist, so that no answer comes sooner than another.
_NO_KEY = KeyText(PLATFORM, "00000000-0000-0000-0000-000000000000", secrets.token_bytes(SECRET_BYTES))
_NO_HASH = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a credential belongs to, and what it opens in which tenant."""

    tenant: str
    principal: str
    permissions: frozenset[str]
    expires: datetime
    """When the credential runs out; no token outlives it."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class InternalToken:
    """A signed internal token and what it says."""

    token: str
    expires: datetime
    caller: Caller


@contextmanager
def counted(kind: str) -> Iterator[None]:
    """Counts the exchange of a credential of this kind by what becomes of it: EXCHANGED, or the reason of a refusal."""
    outcome = "FAILED"
    try:
        yield
        outcome = "EXCHANGED"
    except RapportError as error:
        outcome = error.reason
        raise
    finally:
        labels = {"rapport.access.kind": kind, "rapport.access.outcome": outcome}
        telemetry.counter(metric_names.CREDENTIALS_EXCHANGED).add(1, labels)


def exchange_api_key(text: str, tenant: str, audience: str) -> InternalToken:
    """A token for the principal of an API key, in the key's tenant or, for platform staff, in `tenant`.

    Raises Unauthenticated (KEY_*, PRINCIPAL_DISABLED), PermissionDenied (NO_ROLES, TENANT_NOT_ENTERED), NotFound when
    there is no tenant to enter, InvalidArgument for an unknown audience.
    """
    _check_audience(audience)
    key, row = _opened_key(text, API)
    with tenancy.service_context(key.tenant):
        uid = row["principal"]
        found = Principal.rows().find_one({"uid": uid}, {"roles": 1, "disabled": 1})
        caller = Caller(key.tenant, Principal.described(uid), _permissions(found), row["expire_time"])
    return _mint(_in_tenant(caller, tenant), audience)


def exchange_write_key(text: str, tenant: str, audience: str) -> InternalToken:
    """A token that opens nothing but event ingestion, in the key's tenant (which `tenant` may name).

    Raises Unauthenticated (KEY_*), PermissionDenied TENANT_NOT_ENTERED, InvalidArgument.
    """
    _check_audience(audience)
    key, row = _opened_key(text, WRITE)
    caller = Caller(
        key.tenant, Key.described(key.uid), frozenset({WRITE_PERMISSION}), row["expire_time"], row["source"]
    )
    return _mint(_in_tenant(caller, tenant), audience)


def exchange_jwt(token: str, tenant: str, audience: str, key_sets: KeySets) -> InternalToken:
    """A token for a person who signed in at an issuer that `tenant` trusts.

    A principal with the token's `iss` and `sub` acts with its own roles alone; without one, the token's roles count as
    far as the issuer is allowed them. Raises Unauthenticated (TOKEN_*, ISSUER_UNKNOWN, PRINCIPAL_DISABLED),
    PermissionDenied NO_ROLES, Unavailable ISSUER_UNREACHABLE, InvalidArgument.
    """
    _check_audience(audience)
    if slug_problem(tenant):
        raise refusal([("tenant", "Name the tenant to act in (HTTP: the header X-Rapport-Tenant).")])
    claimed = outside_tokens.peek(token)
    with tenancy.service_context(tenant):
        row = Issuer.rows().find_one({"issuer_uri": claimed.issuer})
        if row is None:
            raise Unauthenticated(
                "ISSUER_UNKNOWN", "The tenant does not accept tokens of this issuer; an administrator can add it."
            )
        issuer = Issuer.from_row(row)
        key = _key_of(issuer, claimed.key_id, key_sets)
        claims = outside_tokens.verify(token, key, issuer=issuer.issuer_uri, audience=issuer.audience)
        return _mint(_signed_in(issuer, claims), audience)


def _opened_key(text: str, kind: str) -> tuple[KeyText, dict[str, Any]]:
    key = parse_key(text) or _NO_KEY
    with tenancy.service_context(key.tenant):
        row = Key.rows().find_one({"uid": key.uid}, {"outbox": 0, "requests": 0})
    stored = row["secret_hash"] if row else _NO_HASH
    if not hmac.compare_digest(hash_secret(key.secret), stored) or row is None:
        raise Unauthenticated("KEY_UNKNOWN", "The key is not known; check that it was copied whole.")
    if row.get("revoke_time"):
        raise Unauthenticated("KEY_REVOKED", "The key was revoked; create another one.")
    if row["expire_time"] <= clock.real_now():
        raise Unauthenticated("KEY_EXPIRED", "The key has expired; create another one.")
    if row["kind"] != kind:
        hint = "send it as a write key, to event collection" if row["kind"] == WRITE else "write keys alone fit here"
        raise Unauthenticated("KEY_WRONG_KIND", f"The key is of another kind: {hint}.")
    return key, row


def _permissions(principal: dict[str, Any] | None) -> frozenset[str]:
    """The permissions of a stored principal of the current tenant."""
    if principal is None or principal.get("disabled"):
        raise Unauthenticated("PRINCIPAL_DISABLED", "The principal is disabled; an administrator can enable it.")
    return _permissions_of(
        principal.get("roles", ()), "The principal holds no roles; an administrator can give it some."
    )


def _permissions_of(roles: Collection[str], problem: str) -> frozenset[str]:
    """The union of what roles permit, without what a wildcard among them covers anyway."""
    rows = Role.rows().find({"uid": {"$in": list(roles)}}, {"permissions": 1}) if roles else ()
    union = frozenset(permission for row in rows for permission in row.get("permissions", ()))
    if not union:
        raise PermissionDenied("NO_ROLES", problem)
    return frozenset(item for item in union if not permits(union - {item}, item))


def _in_tenant(caller: Caller, tenant: str) -> Caller:
    """The caller in the wished tenant: the own one, or, as a guest, another one for platform staff who may enter."""
    if tenant in ("", caller.tenant):
        return caller
    if caller.tenant != PLATFORM or not permits(caller.permissions, ENTER_TENANTS):
        raise PermissionDenied(
            "TENANT_NOT_ENTERED",
            f"A key acts in its own tenant; only those of `platform` with {ENTER_TENANTS} enter others.",
            metadata={"permission": ENTER_TENANTS},
        )
    if problem := slug_problem(tenant):
        raise refusal([("tenant", problem)])
    with tenancy.service_context(PLATFORM):
        Tenant.get(tenant)
    host = Tenant.described(PLATFORM)
    return Caller(tenant, f"{host}/{caller.principal}", caller.permissions, caller.expires)


def _key_of(issuer: Issuer, key_id: str, key_sets: KeySets) -> jwt.PyJWK:
    if issuer.jwks:
        found = read_jwk_set(issuer.jwks)[0].get(key_id)
    else:
        found = key_sets.key(issuer.id, issuer.jwks_uri, key_id)
    if found is None:
        raise Unauthenticated("TOKEN_INVALID", "The token is refused: the issuer has no key with its `kid`.")
    return found


def _signed_in(issuer: Issuer, claims: dict[str, Any]) -> Caller:
    subject = claims["sub"]
    now = clock.real_now()
    # Capped first: `exp` may be any number, and an instant may not.
    expires = datetime.fromtimestamp(min(int(claims["exp"]), int(now.timestamp()) + TOKEN_TTL_MAX_S), UTC)
    found = Principal.rows().find_one(
        {"issuer": issuer.issuer_uri, "subject": subject}, {"uid": 1, "roles": 1, "disabled": 1}
    )
    if found is not None:
        return Caller(tenancy.tenant(), Principal.described(found["uid"]), _permissions(found), expires)
    brought: frozenset[str] = frozenset()
    if issuer.roles_claim:
        brought = outside_tokens.claimed_roles(claims, issuer.roles_claim) & frozenset(issuer.allowed_roles)
    permissions = _permissions_of(
        brought,
        "Nothing is open to you here: there is no principal with the token's `iss` and `sub`, and the token brings no "
        "role that the issuer is allowed. An administrator can create the one or allow the other.",
    )
    pseudonym = keyring().fingerprint("issuer-subject", f"{issuer.issuer_uri}\n{subject}")[:_PSEUDONYM_LENGTH]
    return Caller(tenancy.tenant(), f"{issuer.name}/subjects/{pseudonym}", permissions, expires)


def _mint(caller: Caller, audience: str) -> InternalToken:
    """Signs a token. Access itself sees all permissions, because it guards what may be given; others see their own."""
    permissions = {
        permission
        for permission in caller.permissions
        if audience == SERVICE or permission == "*" or permission.startswith(f"{audience}.")
    }
    if sum(map(len, permissions)) > _MAX_TOKEN_PERMISSIONS_LENGTH:
        raise FailedPrecondition(
            "TOO_MANY_PERMISSIONS",
            "The principal's roles hold more permissions than a token can carry; use wildcards such as `identity.*`.",
        )
    now = clock.real_now()
    lifetime = max(1.0, min(TOKEN_TTL_MAX_S, (caller.expires - now).total_seconds()))
    token = keyring().mint_token(
        tenant=caller.tenant,
        principal=caller.principal,
        permissions=permissions,
        audience=audience,
        ttl_s=lifetime,
    )
    return InternalToken(token, now + timedelta(seconds=lifetime), caller)


def _check_audience(audience: str) -> None:
    if audience not in _audiences():
        raise refusal([("audience", f"Not a service; one of {', '.join(sorted(_audiences()))}.")])


@cache
def _audiences() -> frozenset[str]:
    return frozenset(service.file.package.split(".")[1] for service in descriptors.services())
