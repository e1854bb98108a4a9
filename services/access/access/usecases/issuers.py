"""Issuers: outside OpenID providers whose tokens a tenant accepts."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2, issuer_pb2

import docstore
from access.jwk_sets import MalformedJwkSet, read_jwk_set
from access.key_set_source import address_problem
from access.store import Issuer
from access.usecases.grants import (
    permissions_of,
    refuse,
    require_holding,
    role_violations,
    roles_behind_issuer,
)
from chassis.errors import Violation
from docstore import masks, paging

_MAX_AUDIENCE = 500
_MAX_CLAIM = 200
_TRUST = {"jwks", "jwks_uri", "audience", "roles_claim"}
"""Fields that decide whose tokens are believed, and what they bring."""


@docstore.command(Issuer)
def create_issuer(message: issuer_pb2.Issuer, *, loopback: bool) -> Issuer:
    """Creates an issuer. Raises InvalidArgument, AlreadyExists, PermissionDenied ESCALATION."""
    refuse(_violations(message, loopback=loopback))
    issuer = Issuer.new()
    issuer.assign(message)
    _require_holding_all(issuer)
    return issuer.insert()


def get_issuer(uid: str) -> Issuer:
    """An issuer. Raises NotFound."""
    return Issuer.get(uid)


def list_issuers(request: access_service_pb2.ListIssuersRequest) -> tuple[list[Issuer], str]:
    """A page of issuers in order of creation, and the next page's token."""
    return paging.page(Issuer, filter={}, order=[("create_time", 1)], request=request, bind={})


@docstore.command(Issuer)
def update_issuer(uid: str, message: issuer_pb2.Issuer, mask: FieldMask, *, loopback: bool) -> Issuer:
    """Changes an issuer. Raises NotFound, InvalidArgument, Aborted, PermissionDenied ESCALATION."""
    issuer = Issuer.get(uid)
    wanted = issuer.to_proto()
    changed = masks.apply(mask, message, wanted)
    refuse(_violations(wanted, loopback=loopback))
    before = set(issuer.allowed_roles)
    issuer.assign(wanted)
    if _TRUST & changed:
        _require_holding_all(issuer)
    else:
        require_holding(permissions_of(set(issuer.allowed_roles) - before), "The change")
    return issuer.save(message.etag)


@docstore.command(None, replay=Empty.FromString)
def delete_issuer(uid: str, etag: str) -> Empty:
    """Deletes an issuer; its tokens are refused from now on. Raises NotFound, Aborted."""
    Issuer.get(uid).purge(etag)
    return Empty()


def _require_holding_all(issuer: Issuer) -> None:
    """Whoever holds an issuer's keys can sign in as all of its people: that is what trusting it gives away."""
    reachable = roles_behind_issuer(issuer.issuer_uri) | set(issuer.allowed_roles)
    require_holding(permissions_of(reachable), "Trusting the issuer")


def _violations(message: issuer_pb2.Issuer, *, loopback: bool) -> list[Violation]:
    found = role_violations(message.allowed_roles, "issuer.allowed_roles")
    problems = {
        "issuer_uri": address_problem(message.issuer_uri, loopback=loopback),
        "audience": None
        if 0 < len(message.audience) <= _MAX_AUDIENCE
        else f"Must have 1 to {_MAX_AUDIENCE} characters.",
        "roles_claim": None if len(message.roles_claim) <= _MAX_CLAIM else f"At most {_MAX_CLAIM} characters.",
        "jwks_uri": address_problem(message.jwks_uri, loopback=loopback) if message.jwks_uri else None,
        "jwks": _jwks_problem(message.jwks) if message.jwks else None,
    }
    if bool(message.jwks_uri) == bool(message.jwks):
        problems["jwks_uri"] = "Give either `jwks_uri` or `jwks`."
    return found + [(f"issuer.{field}", problem) for field, problem in problems.items() if problem]


def _jwks_problem(jwks: str) -> str | None:
    try:
        keys, problems = read_jwk_set(jwks)
    except MalformedJwkSet as error:
        return str(error)
    if problems:
        return "; ".join(problems[:5]) + "."
    return None if keys else "Holds no keys."
