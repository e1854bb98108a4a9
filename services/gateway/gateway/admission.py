"""Letting a request in: its rate, then its credential."""

import ipaddress
from dataclasses import dataclass

from flask import Request

from chassis.errors import Unauthenticated
from gateway import limits
from gateway.credentials import TENANT_HEADER, Credential, Exchange, Grant
from gateway.limits import TokenBuckets
from gateway.settings import Settings

_IPV6_SITE = 64


@dataclass(frozen=True)
class Admission:
    """Rates and credentials together: a request counts against its credential once that is known to be good, and
    against its client's address before, so that nobody can try out credentials at the credentials' rate."""

    exchange: Exchange
    by_credential: TokenBuckets
    by_address: TokenBuckets

    def anonymous(self, request: Request) -> None:
        """Lets in a request that needs no credential. Raises ResourceExhausted."""
        limits.enforce(self.by_address.take(_network(request.remote_addr)))

    def known(self, request: Request, credential: Credential | None, audience: str, deadline: float) -> Grant:
        """Lets in a request to the service `audience`. Raises ResourceExhausted, Unauthenticated and what the exchange
        raises."""
        if credential is None:
            self.anonymous(request)
            raise Unauthenticated(
                "CREDENTIAL_MISSING", "Send Authorization: Bearer with an API key or a signed token (JWT)."
            )
        tenant = request.headers.get(TENANT_HEADER, "")
        grant = self.exchange.kept(credential, audience, tenant)
        if grant is None:
            self.anonymous(request)
            grant = self.exchange.grant(credential, audience, tenant, deadline)
        limits.enforce(self.by_credential.take(credential.fingerprint()))
        return grant


def admission(settings: Settings, exchange: Exchange) -> Admission:
    """Admission with the rates of the settings."""
    return Admission(
        exchange,
        TokenBuckets(settings.rate_per_s, settings.rate_burst, settings.rate_limit_entries),
        TokenBuckets(settings.address_rate_per_s, settings.address_rate_burst, settings.rate_limit_entries),
    )


def _network(address: str | None) -> str:
    """What one client holds: an IPv4 address (mapped into IPv6 or not), or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))
