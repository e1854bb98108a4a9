"""Keys: made, listed, revoked. How they are checked is in `access.usecases.exchange`."""

import secrets
from datetime import UTC

from rapport.access.v1 import access_service_pb2, events_pb2, key_pb2

import docstore
from access.domain.key_lifetime import DEFAULT_LIFETIME, expiry_problem
from access.domain.key_text import KeyText, hash_secret
from access.domain.slugs import slug_problem
from access.store import Key, Principal
from access.store.keys import API, WRITE
from access.usecases.grants import permissions_of, refusal, refuse, require_holding
from chassis import clock, context, tenancy
from chassis.errors import NotFound, Violation
from chassis.keys import keyring
from docstore import paging

WRITE_PERMISSION = "identity.events.ingest"
"""All that a write key opens."""

_MAX_DISPLAY_NAME = 200


def create_key(message: key_pb2.Key) -> tuple[Key, str]:
    """Creates a key; returns it with its text, which is told this once.

    The secret is a keyed hash of the key's id and the request id (a random one when the caller gave none). So a caller
    that lost the answer gets the same text by repeating the request, although only a hash of the secret is stored;
    nobody else can make the secret again, because it takes the keyring and the request id, which is stored nowhere.

    Raises InvalidArgument, PermissionDenied ESCALATION, AlreadyExists REQUEST_ID_REUSED.
    """
    nonce = context.current().request_id or secrets.token_hex(32)
    key = _create_key(message, nonce)
    return key, KeyText(key.tenant, key.uid, _secret(key.uid, nonce)).text()


@docstore.command(Key)
def _create_key(message: key_pb2.Key, nonce: str) -> Key:
    now = clock.real_now()
    refuse(_violations(message))
    key = Key.new(display_name=message.display_name)
    key.expire_time = now + DEFAULT_LIFETIME
    if message.HasField("expire_time"):
        key.expire_time = message.expire_time.ToDatetime(UTC)
        if problem := expiry_problem(key.expire_time, now):
            refuse([("key.expire_time", problem)])
    if message.kind == key_pb2.Key.KIND_API:
        key.kind, key.principal = API, message.principal.removeprefix(f"{Principal.resource}/")
        require_holding(permissions_of(_principal(key.principal).roles), "The key")
    else:
        key.kind, key.source = WRITE, message.source
        require_holding({WRITE_PERMISSION}, "The key")
    key.secret_hash = hash_secret(_secret(key.uid, nonce))
    return key.insert()


def get_key(uid: str) -> Key:
    """A key, without its secret. Raises NotFound."""
    return Key.get(uid)


def list_keys(request: access_service_pb2.ListKeysRequest) -> tuple[list[Key], str]:
    """A page of keys in order of creation, and the next page's token."""
    return paging.page(Key, filter={}, order=[("create_time", 1)], request=request, bind={})


@docstore.command(Key)
def revoke_key(uid: str, etag: str) -> Key:
    """Revokes a key; one that is revoked already stays as it is. Raises NotFound, Aborted."""
    key = Key.get(uid)
    if not key.revoke_time:
        key.revoke_time = clock.real_now()
        key.emit(events_pb2.KeyRevoked(key=key.name, revoke_time=key.revoke_time))
    return key.save(etag)


def _secret(uid: str, nonce: str) -> bytes:
    return bytes.fromhex(keyring().fingerprint("key-secret", f"{tenancy.tenant()}/{uid}/{nonce}"))


def _principal(uid: str) -> Principal:
    try:
        return Principal.get(uid)
    except NotFound:
        raise refusal([("key.principal", "There is no such principal; see ListPrincipals.")]) from None


def _violations(message: key_pb2.Key) -> list[Violation]:
    found: list[Violation] = []
    if len(message.display_name) > _MAX_DISPLAY_NAME:
        found.append(("key.display_name", f"At most {_MAX_DISPLAY_NAME} characters."))
    if message.kind == key_pb2.Key.KIND_API:
        if not message.principal:
            found.append(("key.principal", "An API key acts as a principal; name it."))
        if message.source:
            found.append(("key.source", "Only write keys have a source."))
    else:
        if problem := slug_problem(message.source):
            found.append(("key.source", problem))
        if message.principal:
            found.append(("key.principal", "Only API keys have a principal."))
    return found
