"""Reads JWK sets (RFC 7517): which keys in them may verify a token, and what is wrong with the others."""

import json
from typing import Any

import jwt

MAX_KEYS = 100
_LEAST_RSA_BITS = 2048

_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""The one algorithm each kind of key is used with. That the key decides, never the token, is what stops a token signed
with HS256 and an RSA public key as its secret (RFC 8725, section 2.1)."""

ACCEPTED_ALGORITHMS = tuple(_ALGORITHMS.values())


class MalformedJwkSet(ValueError):  # noqa: N818
    """The document as a whole is no JWK set."""


def read_jwk_set(document: str | bytes) -> tuple[dict[str, jwt.PyJWK], list[str]]:
    """The usable keys by `kid`, and a line per key that is not. Raises MalformedJwkSet.

    Published sets may hold keys for other purposes, so a fetched set is fine as long as one key is usable.
    """
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise MalformedJwkSet("Not JSON.") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise MalformedJwkSet('Not a JWK set: expected {"keys": [...]} (RFC 7517).')
    if len(entries) > MAX_KEYS:
        raise MalformedJwkSet(f"At most {MAX_KEYS} keys.")
    keys: dict[str, jwt.PyJWK] = {}
    problems: list[str] = []
    for index, entry in enumerate(entries):
        key, problem = _read_key(entry)
        if key is not None and key.key_id in keys:
            problem = "has the kid of another key"
        if problem or key is None or key.key_id is None:
            problems.append(f"keys[{index}] {problem}")
        else:
            keys[key.key_id] = key
    return keys, problems


def _read_key(entry: Any) -> tuple[jwt.PyJWK | None, str]:
    if not isinstance(entry, dict):
        return None, "is not a JSON object"
    if not isinstance(entry.get("kid"), str) or not entry["kid"]:
        return None, "has no `kid`"
    kind = entry.get("kty")
    curve = entry.get("crv")
    algorithm = _ALGORITHMS.get((str(kind), None if kind == "RSA" else str(curve)))
    if algorithm is None:
        return None, "is neither RSA, EC P-256 nor Ed25519"
    if "d" in entry:
        return None, "is a private key; give the public part only and replace the key, it is no secret any more"
    if entry.get("use", "sig") != "sig":
        return None, "is not for signatures (`use`)"
    if entry.get("alg", algorithm) != algorithm:
        return None, f"is not for {algorithm} (`alg`)"
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm)
    # A set is foreign text, and cryptography refuses odd numbers in it with several kinds of exception.
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        return None, "cannot be read"
    if kind == "RSA" and key.key.key_size < _LEAST_RSA_BITS:
        return None, f"has fewer than {_LEAST_RSA_BITS} bits"
    return key, ""
