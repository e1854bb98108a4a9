"""Secrets of a local platform: made once, kept in the state folder, in no repository."""

import base64
import json
import secrets
import time
import uuid
from pathlib import Path


class Secrets:
    """Secrets of this machine's platform, each made once and kept in `secrets.json` (mode 600)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name: str) -> str:
        """The secret of that name, made on first use: 32 random bytes, url-safe."""
        return self._once(name, secrets.token_urlsafe(32))

    def peek(self, name: str) -> str | None:
        """The secret of that name, if it was made already."""
        return self._known.get(name)

    def keyring(self) -> str:
        """Keyring JSON as the services' key setting wants it: one key of 32 random bytes."""
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        return self._once("keyring", json.dumps({"current": "k1", "stable": "k1", "keys": {"k1": key}}))

    def api_key(self, name: str) -> str:
        """An API key of the tenant `platform`, as the access service reads it: rk.platform.{UUIDv7}.{32 bytes}."""
        bits = time.time_ns() // 1_000_000 << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
        return self._once(name, f"rk.platform.{uuid.UUID(int=bits)}.{secrets.token_urlsafe(32)}")

    def _once(self, name: str, value: str) -> str:
        if name not in self._known:
            self._known[name] = value
            fresh = self._path.with_suffix(".new")
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(self._known, indent=2))
            fresh.replace(self._path)
        return self._known[name]
