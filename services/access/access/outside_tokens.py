"""Verifies tokens of outside issuers (JWT, RFC 7519; best current practice, RFC 8725)."""

from dataclasses import dataclass
from typing import Any

import jwt

from access.jwk_sets import ACCEPTED_ALGORITHMS
from chassis.errors import Unauthenticated

LEEWAY_S = 60
_MAX_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token claims about itself, to find the key it must be verified with. Trust nothing here."""

    key_id: str
    issuer: str


def peek(token: str) -> Unverified:
    """Key id and issuer of a token. Raises Unauthenticated TOKEN_INVALID for a token we would never accept."""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        raise _invalid("it is not a JWT in compact form") from None
    if header.get("alg") not in ACCEPTED_ALGORITHMS:
        raise _invalid(f"its algorithm is none of {', '.join(ACCEPTED_ALGORITHMS)}")
    key_id, issuer = header.get("kid"), claims.get("iss")
    if not isinstance(key_id, str) or not key_id:
        raise _invalid("its header has no `kid`")
    if not isinstance(issuer, str) or not issuer:
        raise _invalid("it has no `iss`")
    return Unverified(key_id, issuer)


def verify(token: str, key: jwt.PyJWK, *, issuer: str, audience: str) -> dict[str, Any]:
    """The claims of a token signed with `key`: `sub`, `exp` and whatever else the issuer says.

    Real time, 60 seconds of leeway. Raises Unauthenticated TOKEN_EXPIRED or TOKEN_INVALID.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_S,
            options={"require": ["iss", "aud", "sub", "exp", "iat"]},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("TOKEN_EXPIRED", "The token has expired; sign in again.") from None
    except jwt.ImmatureSignatureError:
        raise _invalid("its `nbf` or `iat` lies in the future; check the clock of the issuer") from None
    except jwt.InvalidAudienceError:
        raise _invalid("its `aud` is not the audience set for the issuer") from None
    except jwt.MissingRequiredClaimError as error:
        raise _invalid(f"it has no `{error.claim}`") from None
    except jwt.InvalidSignatureError:
        raise _invalid("its signature does not match") from None
    except (jwt.PyJWTError, RecursionError):
        raise _invalid("one of its claims or its header is malformed") from None
    if not claims["sub"] or len(claims["sub"]) > _MAX_SUBJECT:
        raise _invalid(f"its `sub` is empty or longer than {_MAX_SUBJECT} characters")
    return claims


def claimed_roles(claims: dict[str, Any], claim: str) -> frozenset[str]:
    """Role ids in a claim: a list of texts, or one text with spaces between them as in `scope` (RFC 8693)."""
    value = claims.get(claim)
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(item for item in value if isinstance(item, str))
    return frozenset()


def _invalid(problem: str) -> Unauthenticated:
    return Unauthenticated("TOKEN_INVALID", f"The token is refused: {problem}.")
