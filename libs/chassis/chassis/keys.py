"""The one keyring: internal tokens, public links, sealed page tokens, fingerprints, signatures.

A keyring is JSON, `{"current": "k1", "stable": "k1", "keys": {"k1": "<base64 of 32 bytes>", "k2": ...}}`:
new things are made under `current`, old ones are read under whatever key they name. `stable` makes the fingerprints,
which must not change when keys rotate. Every use has a subkey of its own (HKDF-SHA256, RFC 5869). Expiry is real time.

Rotate without refusing anything, with two roll-outs: `python -m chassis.keys rotate < ring` makes the newest key
current and adds a fresh one that every process learns before it is used.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chassis import key_rings

if TYPE_CHECKING:
    from chassis.settings import Settings

TOKEN_TTL_MAX_S = 300
LINK_TTL_MAX = timedelta(days=731)
_NONCE_BYTES = 12
_CLOCK_SKEW_S = 5
_TOKEN_MAX_LENGTH = 16_384
_TOKENS_REMEMBERED = 1_000
"""A caller sends one token with many requests, and verifying it costs more than many a request."""
_ALGORITHM = "HS256"


class InvalidToken(Exception):  # noqa: N818
    """Made by nobody we know, changed on the way, or meant for another use."""


class ExpiredToken(InvalidToken):
    """Was valid once."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an internal token says about its bearer."""

    tenant: str
    principal: str
    permissions: frozenset[str]
    audience: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """What a public link carries."""

    tenant: str
    data: dict[str, Any]


class Signer:
    """An Ed25519 key of one use (RFC 8032), the same in every process that holds the keyring."""

    def __init__(self, key_id: str, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.key_id = key_id
        self.public_key_pem = (
            private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        return self._private_key.sign(data)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raises InvalidToken unless `signature` is this key's for `data`."""
        try:
            self._private_key.public_key().verify(signature, data)
        except InvalidSignature:
            raise InvalidToken("the signature does not match") from None


class Keyring:
    """All keys of an installation. Raises ValueError, without any value in it, when `text` is no keyring."""

    def __init__(self, text: str) -> None:
        self._current, self._stable, self._keys = key_rings.parse(text)
        self._subkey = cache(self._derive)
        self._signer = cache(self._make_signer)
        self._verified = lru_cache(_TOKENS_REMEMBERED)(self._verify)

    # Internal tokens: JWT (RFC 7519), HMAC-SHA256.

    def mint_token(
        self,
        *,
        tenant: str,
        principal: str,
        permissions: Collection[str],
        audience: str,
        ttl_s: float = 60,
    ) -> str:
        """A token for one audience (a service's short name). Raises ValueError for a life beyond 300 s."""
        if not 0 < ttl_s <= TOKEN_TTL_MAX_S:
            raise ValueError(f"a token lives more than 0 and at most {TOKEN_TTL_MAX_S} s")
        if not (tenant and principal and audience):
            raise ValueError("a token names its tenant, principal and audience")
        now = time.time()
        claims = {
            "tnt": tenant,
            "sub": principal,
            "prm": sorted(permissions),
            "aud": audience,
            "iat": int(now),
            "exp": int(now + ttl_s + 0.999),
        }
        key = self._subkey(self._current, "token")
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": self._current})

    def open_token(self, token: str, audience: str) -> Claims:
        """The claims of a token meant for `audience`. Raises InvalidToken, ExpiredToken."""
        if len(token) > _TOKEN_MAX_LENGTH:
            raise InvalidToken("the token is too long")
        claims = self._verified(token, audience)
        if claims.expires.timestamp() <= time.time() - _CLOCK_SKEW_S:
            raise ExpiredToken("the token has expired")
        return claims

    def _verify(self, token: str, audience: str) -> Claims:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            if not isinstance(key_id, str) or key_id not in self._keys:
                raise InvalidToken("the token's key is not in the keyring")
            claims = jwt.decode(
                token,
                self._subkey(key_id, "token"),
                algorithms=[_ALGORITHM],
                audience=audience,
                leeway=_CLOCK_SKEW_S,
                options={"require": ["exp", "iat", "aud", "sub", "tnt", "prm"]},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise InvalidToken("the token is for another service") from None
        except jwt.PyJWTError:
            raise InvalidToken("the token does not verify") from None
        if claims["exp"] - claims["iat"] > TOKEN_TTL_MAX_S + 1:
            raise InvalidToken("the token lives too long")
        return Claims(
            tenant=claims["tnt"],
            principal=claims["sub"],
            permissions=frozenset(claims["prm"]),
            audience=audience,
            expires=datetime.fromtimestamp(claims["exp"], UTC),
        )

    # Public links: encrypted, because their data is nobody's business on the way.

    def mint_link(self, purpose: str, tenant: str, data: dict[str, Any], expires_in: timedelta) -> str:
        """A token for a public address, of URL-safe characters. Raises ValueError for a life beyond 731 days."""
        if not timedelta() < expires_in <= LINK_TTL_MAX:
            raise ValueError(f"a link lives more than 0 and at most {LINK_TTL_MAX.days} days")
        payload = {"t": tenant, "d": data, "e": int(time.time() + expires_in.total_seconds())}
        sealed = self.seal("link", json.dumps(payload, separators=(",", ":")).encode(), purpose.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open_link(self, token: str, purpose: str) -> Link:
        """What a link carries. Raises InvalidToken (also when made for another purpose), ExpiredToken."""
        try:
            # validate: the lenient decoder skips foreign characters, and many spellings of one token would open.
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidToken("the link is damaged") from None
        if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
            raise InvalidToken("the link is damaged")
        payload = json.loads(self.open("link", sealed, purpose.encode()))
        if time.time() >= payload["e"]:
            raise ExpiredToken("the link has expired")
        return Link(tenant=payload["t"], data=payload["d"])

    # Sealing: AES-256-GCM, 96-bit random nonces, so rotate before some 2^32 seals of one use (NIST SP 800-38D, 8.3).

    def seal(self, use: str, plaintext: bytes, aad: bytes = b"") -> bytes:
        """Encrypts for one use, bound to `aad`: key id, nonce, ciphertext and tag."""
        key_id = self._current.encode()
        prefix = bytes([len(key_id)]) + key_id
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return prefix + nonce + AESGCM(self._subkey(self._current, f"seal:{use}")).encrypt(nonce, plaintext, aad)

    def open(self, use: str, sealed: bytes, aad: bytes = b"") -> bytes:
        """What was sealed for this use with this `aad`. Raises InvalidToken."""
        start = 1 + sealed[0] if sealed else 0
        key_id = sealed[1:start].decode("ascii", "replace")
        if len(sealed) < start + _NONCE_BYTES or key_id not in self._keys:
            raise InvalidToken("sealed with a key that is not in the keyring, or damaged")
        nonce, ciphertext = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            return AESGCM(self._subkey(key_id, f"seal:{use}")).decrypt(nonce, ciphertext, aad)
        except (InvalidTag, ValueError):
            raise InvalidToken("sealed for another use, or damaged") from None

    # Fingerprints and signatures.

    def fingerprint(self, use: str, value: str) -> str:
        """HMAC-SHA256 of `value` in hex: equal for equal values, useless without the keyring, stable over rotation."""
        key = self._subkey(self._stable, f"fingerprint:{use}")
        return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()

    def signer(self, use: str, key_id: str | None = None) -> Signer:
        """The signing key of one use: the current one, or the one that an older signature names.

        Raises InvalidToken when `key_id` is not in the keyring.
        """
        if key_id is not None and key_id not in self._keys:
            raise InvalidToken("signed with a key that is not in the keyring")
        return self._signer(key_id or self._current, use)

    def _make_signer(self, key_id: str, use: str) -> Signer:
        return Signer(key_id, Ed25519PrivateKey.from_private_bytes(self._subkey(key_id, f"sign:{use}")))

    def _derive(self, key_id: str, use: str) -> bytes:
        return HKDF(hashes.SHA256(), key_rings.KEY_BYTES, salt=None, info=f"rapport/{use}".encode()).derive(
            self._keys[key_id]
        )


_keyring: Keyring | None = None


def configure(settings: "Settings") -> None:
    """Loads the keyring of the process. Raises ConfigurationError."""
    from chassis.settings import ConfigurationError

    global _keyring
    try:
        _keyring = Keyring(settings.keys.get_secret_value())
    except ValueError as error:
        raise ConfigurationError(settings.environment_names()["keys"], str(error)) from None


def keyring() -> Keyring:
    """The keyring of the process. Raises RuntimeError before `configure`."""
    if _keyring is None:
        raise RuntimeError("no keyring: call chassis.keys.configure(settings) first")
    return _keyring


def _main() -> None:
    import argparse
    import sys

    parser = argparse.ArgumentParser(prog="python -m chassis.keys", description="Makes and rotates keyrings.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("new", help="print a fresh keyring")
    rotate = commands.add_parser("rotate", help="read a keyring on standard input, print the rotated one")
    rotate.add_argument("--drop", action="append", default=[], metavar="KEY", help="remove an old key for good")
    arguments = parser.parse_args()
    try:
        ring = (
            key_rings.new_ring()
            if arguments.command == "new"
            else key_rings.rotate_ring(sys.stdin.read(), arguments.drop)
        )
    except ValueError as error:
        sys.exit(f"chassis.keys: {error}")
    sys.stdout.write(ring + "\n")


if __name__ == "__main__":
    _main()
