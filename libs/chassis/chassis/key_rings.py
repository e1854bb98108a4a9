"""The text of a keyring (JSON, see chassis.keys): read, made anew, rotated."""

import base64
import binascii
import json
import os
import re
from collections.abc import Collection

KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9.-]{1,32}")


def parse(text: str) -> tuple[str, str, dict[str, bytes]]:
    """The current key's id, the stable one's, and all keys by id. Raises ValueError, without any value in it."""
    try:
        ring = json.loads(text)
    except json.JSONDecodeError:
        raise ValueError("the keyring is not JSON; make one with `python -m chassis.keys new`") from None
    if not isinstance(ring, dict) or not isinstance(ring.get("keys"), dict) or not ring["keys"]:
        raise ValueError('the keyring has no keys: expected {"current": "k1", "keys": {"k1": "<base64>"}}')
    keys: dict[str, bytes] = {}
    for key_id, encoded in ring["keys"].items():
        if not _KEY_ID.fullmatch(key_id):
            raise ValueError("a key id has 1 to 32 letters, digits, dots, dashes")
        try:
            keys[key_id] = base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValueError(f"key {key_id} is not base64") from None
        if len(keys[key_id]) != KEY_BYTES:
            raise ValueError(f"key {key_id} is not {KEY_BYTES} bytes long")
    current = ring.get("current")
    stable = ring.get("stable", next(iter(keys)))
    for role, key_id in (("current", current), ("stable", stable)):
        if not isinstance(key_id, str) or key_id not in keys:
            raise ValueError(f"the keyring's `{role}` names no key in it")
    return str(current), str(stable), keys


def new_ring() -> str:
    """JSON of a fresh keyring: a current key and the one that follows it."""
    return json.dumps({"current": "k1", "stable": "k1", "keys": {"k1": _new_key(), "k2": _new_key()}})


def rotate_ring(text: str, drop: Collection[str] = ()) -> str:
    """JSON of the ring with its newest key made current and a fresh one added; keys in `drop` are gone.

    Raises ValueError when `drop` names the stable key, or the key that becomes current.
    """
    current, stable, _ = parse(text)
    keys = dict(json.loads(text)["keys"])
    newest = list(keys)[-1]  # Is `current` itself when no key is in waiting: then this roll-out only adds one.
    for key_id in drop:
        if key_id in (stable, newest, current):
            raise ValueError(f"{key_id} is in use (current or stable) and cannot be dropped")
        keys.pop(key_id, None)
    number = 1 + max((int(key_id[1:]) for key_id in keys if key_id[1:].isdigit()), default=0)
    keys[f"k{number}"] = _new_key()
    return json.dumps({"current": newest, "stable": stable, "keys": keys})


def _new_key() -> str:
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()
