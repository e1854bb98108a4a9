"""What is kept of how a choice came in: enough to prove it, no more (GDPR articles 5 (1) (c) and 7 (1))."""

import ipaddress
from dataclasses import dataclass

ORIGIN_MAX = 500
USER_AGENT_MAX = 500

METHOD_IMPORT = "METHOD_IMPORT"
METHOD_CONFIRMED_LINK = "METHOD_CONFIRMED_LINK"
METHOD_UNSPECIFIED = "METHOD_UNSPECIFIED"


class BadEvidence(ValueError):  # noqa: N818 - reads as what is the matter
    """A part of the evidence cannot be kept. field: its name. The text says how to mend it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a choice came in, as kept. method: the contract's name. ip_address: masked."""

    method: str
    origin: str = ""
    ip_address: str = ""
    user_agent: str = ""
    language_code: str = ""


def checked(evidence: Evidence) -> Evidence:
    """The evidence with its address masked. Raises BadEvidence for a part that is missing, malformed or too long."""
    if evidence.method == METHOD_UNSPECIFIED:
        raise BadEvidence("method", "Say how the choice came in, such as METHOD_FORM.")
    if len(evidence.origin) > ORIGIN_MAX:
        raise BadEvidence("origin", f"At most {ORIGIN_MAX} characters.")
    if len(evidence.user_agent) > USER_AGENT_MAX:
        raise BadEvidence("user_agent", f"At most {USER_AGENT_MAX} characters.")
    return Evidence(
        evidence.method,
        evidence.origin,
        mask_address(evidence.ip_address),
        evidence.user_agent,
        evidence.language_code,
    )


def mask_address(address: str) -> str:
    """The network of an address: the first 24 bits of IPv4, 48 of IPv6, such as `192.0.2.0/24`; empty stays empty.

    An IPv4 address mapped into IPv6 is treated as IPv4. Raises BadEvidence for anything else.
    """
    if not address:
        return ""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise BadEvidence("ip_address", "Not an IPv4 or IPv6 address.") from None
    if isinstance(parsed, ipaddress.IPv6Address):
        # The number alone, without the zone of a link-local address.
        parsed = parsed.ipv4_mapped or ipaddress.IPv6Address(int(parsed))
    bits = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, bits), strict=False))
