"""The text form of keys: `rk.{tenant}.{key uid}.{secret}`."""

import base64
import hashlib
import re
from dataclasses import dataclass, field

from access.domain.slugs import SLUG

SECRET_BYTES = 32

_MAX_LENGTH = 160
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TEXT = re.compile(rf"rk\.({SLUG})\.({_UUID})\.([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as its holder knows it. The secret is left out of its representation, so that no log shows it."""

    tenant: str
    uid: str
    secret: bytes = field(repr=False)

    def text(self) -> str:
        """What the holder sends."""
        secret = base64.urlsafe_b64encode(self.secret).rstrip(b"=").decode()
        return f"rk.{self.tenant}.{self.uid}.{secret}"


def parse_key(text: str) -> KeyText | None:
    """The parts of a key, None for anything else.

    43 characters hold two bits more than a secret; a text whose surplus bits are set is refused, so that each key has
    one text only.
    """
    if len(text) > _MAX_LENGTH:
        return None
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    key = KeyText(match[1], match[2], base64.urlsafe_b64decode(match[3] + "="))
    return key if key.text() == text else None


def hash_secret(secret: bytes) -> bytes:
    """What is stored of a secret: SHA-256. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret).digest()
