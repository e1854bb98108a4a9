"""The page behind a confirmation link (double opt-in): GET shows what it is about, POST confirms."""

import ipaddress
from collections.abc import Callable
from typing import Any

from flask import Request, Response
from rapport.consent.v1 import consent_pb2, consent_service_pb2

from chassis.errors import RapportError
from gateway import timeouts
from gateway.admission import Admission
from gateway.pages.answers import is_forever_broken, page, passing_failure
from gateway.settings import Settings
from gateway.upstreams import Upstreams

PATH = "/c/<token>"
_SERVICE = "/rapport.consent.v1.ConsentService"
_USER_AGENT_MAX = 500
_BROKEN_LINKS = {
    "LINK_EXPIRED": ("expired", 410),
    "LINK_SUPERSEDED": ("superseded", 410),
    "LINK_INVALID": ("invalid", 404),
}


class OptInPage:
    """Serves confirmation links."""

    def __init__(self, settings: Settings, admission: Admission, upstreams: Upstreams) -> None:
        self._settings = settings
        self._admission = admission
        self._upstreams = upstreams

    def handle(self, request: Request, token: str) -> Response:
        """Answers with a page, whatever happens."""
        try:
            self._admission.anonymous(request)
            if request.method in ("GET", "HEAD"):
                return self._show(request, token)
            if request.method == "POST":
                return self._confirm(request, token)
            return _page(request, "failed", 405, {"Allow": "GET, HEAD, POST"})
        except RapportError as error:
            return _failure(request, error)

    def _show(self, request: Request, token: str) -> Response:
        opt_in = self._call(
            request,
            "ViewOptIn",
            consent_service_pb2.ViewOptInRequest(token=token),
            consent_service_pb2.OptIn.FromString,
        )
        confirmed = opt_in.state == consent_pb2.Consent.STATE_GRANTED
        return _page(request, "confirmed" if confirmed else "question", 200, opt_in=opt_in)

    def _confirm(self, request: Request, token: str) -> Response:
        opt_in = self._call(
            request,
            "ConfirmOptIn",
            consent_service_pb2.ConfirmOptInRequest(
                token=token,
                ip_address=masked_address(request.remote_addr),
                user_agent=(request.user_agent.string or "")[:_USER_AGENT_MAX].encode("utf-8", "ignore").decode(),
            ),
            consent_service_pb2.OptIn.FromString,
        )
        return _page(request, "confirmed", 200, opt_in=opt_in)

    def _call(self, request: Request, rpc: str, message: Any, deserializer: Callable[[bytes], Any]) -> Any:
        deadline = timeouts.deadline_of(request, self._settings.default_timeout_s)
        return self._upstreams.call(
            "consent", f"{_SERVICE}/{rpc}", message, deserializer, deadline=deadline, token=None
        )


def masked_address(address: str | None) -> str:
    """The network an address is in (/24 for IPv4, /48 for IPv6): enough as evidence, too little to find a person."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = mapped or parsed
    network = ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False)
    return str(network.network_address)


def _failure(request: Request, error: RapportError) -> Response:
    if error.reason in _BROKEN_LINKS:
        kind, status = _BROKEN_LINKS[error.reason]
        return _page(request, kind, status)
    if is_forever_broken(error):
        return _page(request, "invalid", 404)
    status, headers = passing_failure(error)
    return _page(request, "failed", status, headers)


def _page(
    request: Request, kind: str, status: int, headers: dict[str, str] | None = None, opt_in: Any = None
) -> Response:
    return page(request, "opt_in.html", kind, status, headers, opt_in=opt_in)
