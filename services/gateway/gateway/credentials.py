"""Who calls: outside credentials, exchanged at access for short-lived internal tokens and kept for seconds."""

import base64
import binascii
import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cachetools import TTLCache
from flask import Request
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from rapport.access.v1 import access_service_pb2 as access_pb2

from chassis import clock
from chassis.errors import DeadlineExceeded, RapportError, Unauthenticated, Unavailable
from gateway.errors import RpcRefusal, status_of
from gateway.settings import Settings
from gateway.upstreams import Upstreams

TENANT_HEADER = "X-Rapport-Tenant"

_EXCHANGE_TIMEOUT_S = 5.0
_REFUSED_KEPT_S = 2.0
_CREDENTIAL_MAX = 8192
_API_KEY_PREFIX = "rk"
_RPC = "/rapport.access.v1.AccessService/ExchangeCredential"
_REFUSALS = frozenset(
    (code_pb2.UNAUTHENTICATED, code_pb2.PERMISSION_DENIED, code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND)
)


@dataclass(frozen=True, slots=True)
class Credential:
    """What the caller presented. Its representation hides the secret."""

    kind: Literal["api_key", "write_key", "jwt"]
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.kind})"

    def fingerprint(self, *parts: str) -> bytes:
        """SHA-256 over the credential and what else tells uses of it apart."""
        return hashlib.sha256("\0".join((self.kind, self.secret, *parts)).encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True, slots=True)
class Grant:
    """What access gave for a credential; it ends no later than the credential does."""

    token: str
    source: str
    expires: datetime


def from_headers(request: Request) -> Credential | None:
    """The credential of an API call: `Authorization: Bearer` with a JWT or an API key, or `X-Api-Key`.

    Raises Unauthenticated for a malformed one, or two; None when there is none.
    """
    authorization, api_key = request.headers.get("Authorization"), request.headers.get("X-Api-Key")
    if authorization and api_key:
        raise _unauthenticated("Send either Authorization or X-Api-Key, not both.")
    if api_key:
        return _checked("api_key", api_key)
    if not authorization:
        return None
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthenticated("Use Authorization: Bearer with an API key or a signed token (JWT).")
    secret = secret.strip()
    return _checked("api_key" if secret.startswith(_API_KEY_PREFIX) else "jwt", secret)


def write_key_from_headers(request: Request) -> Credential | None:
    """The write key of an event collection call: the user name of Basic authentication (RFC 7617).

    Raises Unauthenticated for another scheme or a malformed header; None when there is none.
    """
    authorization = request.headers.get("Authorization")
    if not authorization:
        return None
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _unauthenticated("Send the write key as the user name of Basic authentication, with no password.")
    try:
        user = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")[0]
    except (binascii.Error, ValueError):
        raise _unauthenticated("The Basic authentication header is malformed (RFC 7617).") from None
    return write_key(user) if user else None


def write_key(secret: str) -> Credential:
    """A write key given in a body. Raises Unauthenticated for what cannot be one."""
    return _checked("write_key", secret)


class Exchange:
    """Exchanges credentials at access, and remembers what it said: grants for seconds, refusals for 2 s."""

    def __init__(self, settings: Settings, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._kept_for = timedelta(seconds=settings.credential_cache_s)
        self._grants: TTLCache[bytes, Grant] = TTLCache(settings.credential_cache_size, settings.credential_cache_s)
        self._refused: TTLCache[bytes, Status] = TTLCache(settings.credential_cache_size, _REFUSED_KEPT_S)
        self._lock = threading.Lock()

    def kept(self, credential: Credential, audience: str, tenant: str) -> Grant | None:
        """The grant of an earlier exchange, if it is still trusted."""
        return self._trusted(credential.fingerprint(audience, tenant))

    def grant(self, credential: Credential, audience: str, tenant: str, deadline: float) -> Grant:
        """The grant for calls to the service `audience`. `tenant` chooses one where a JWT leaves it open.

        Raises what access refuses with, and Unavailable when access cannot be asked.
        """
        key = credential.fingerprint(audience, tenant)
        if (kept := self._trusted(key)) is not None:
            return kept
        with self._lock:
            refused = self._refused.get(key)
        if refused is not None:
            raise RpcRefusal(refused)
        trusted_until = clock.real_now() + self._kept_for  # From the question on: a revocation may overtake the answer.
        request = access_pb2.ExchangeCredentialRequest(tenant=tenant, audience=audience)
        setattr(request, credential.kind, credential.secret)
        try:
            answer = self._upstreams.call(
                "access",
                _RPC,
                request,
                access_pb2.ExchangeCredentialResponse.FromString,
                deadline=min(deadline, time.monotonic() + _EXCHANGE_TIMEOUT_S),
                token=None,
            )
        except RapportError as error:
            if time.monotonic() >= deadline:
                raise
            raise self._refusal(key, error) from error
        grant = Grant(answer.token, answer.source, min(trusted_until, answer.expire_time.ToDatetime(UTC)))
        with self._lock:
            self._grants[key] = grant
        return grant

    def _trusted(self, key: bytes) -> Grant | None:
        with self._lock:
            grant = self._grants.get(key)
        return grant if grant is not None and clock.real_now() < grant.expires else None

    def _refusal(self, key: bytes, error: RapportError) -> RapportError:
        status = status_of(error)
        if isinstance(error, DeadlineExceeded) or status.code == code_pb2.DEADLINE_EXCEEDED:
            return Unavailable("ACCESS_UNAVAILABLE", "Credentials cannot be checked now; repeat.", retry_after_s=1)
        if status.code in _REFUSALS:
            with self._lock:
                self._refused[key] = status
        return error


def _checked(kind: Literal["api_key", "write_key", "jwt"], secret: str) -> Credential:
    if not secret or len(secret) > _CREDENTIAL_MAX or not secret.isascii() or not secret.isprintable():
        raise _unauthenticated("The credential is empty, too long or holds characters that no credential has.")
    return Credential(kind, secret)


def _unauthenticated(message: str) -> Unauthenticated:
    return Unauthenticated("INVALID_CREDENTIAL", message)
