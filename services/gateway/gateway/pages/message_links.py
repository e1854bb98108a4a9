"""The links in messages: tracked ones lead on, pictures are counted, unsubscribing takes a button or one click.

The one click is that of a mail program (RFC 8058): a POST to the address in the message's List-Unsubscribe header.
GET changes nothing about unsubscribing, for mail scanners follow links.
"""

import base64
from collections.abc import Callable
from typing import Any

from flask import Request, Response
from google.protobuf.empty_pb2 import Empty
from rapport.campaigns.v1 import campaigns_service_pb2

from chassis.errors import RapportError
from gateway import timeouts
from gateway.admission import Admission
from gateway.pages.answers import is_forever_broken, page, passing_failure
from gateway.settings import Settings
from gateway.upstreams import Upstreams

LINK_PATH, PICTURE_PATH, UNSUBSCRIBE_PATH = "/l/<token>", "/o/<token>", "/u/<token>"

_SERVICE = "/rapport.campaigns.v1.CampaignsService"
_TEMPLATE = "unsubscribe.html"
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


class MessageLinks:
    """Serves the links in messages."""

    def __init__(self, settings: Settings, admission: Admission, upstreams: Upstreams) -> None:
        self._settings = settings
        self._admission = admission
        self._upstreams = upstreams

    def follow(self, request: Request, token: str) -> Response:
        """Leads on to where the message said (302); HEAD is refused, for it must not count."""
        if request.method != "GET":
            return page(request, _TEMPLATE, "failed", 405, {"Allow": "GET"})
        try:
            self._admission.anonymous(request)
            answer = self._call(
                request,
                "FollowLink",
                campaigns_service_pb2.FollowLinkRequest(token=token),
                campaigns_service_pb2.FollowLinkResponse.FromString,
            )
        except RapportError as error:
            return _failure(request, error)
        return Response(status=302, headers={"Location": answer.target_url, "Cache-Control": "no-store"})

    def picture(self, request: Request, token: str) -> Response:
        """A picture of one transparent point, whatever becomes of the count: a message must not look broken."""
        if request.method == "GET":
            try:
                self._admission.anonymous(request)
                message = campaigns_service_pb2.RecordOpenRequest(token=token)
                self._call(request, "RecordOpen", message, Empty.FromString)
            except RapportError:
                pass
        headers = {"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "cross-origin"}
        return Response(_PIXEL, content_type="image/gif", headers=headers)

    def unsubscribe(self, request: Request, token: str) -> Response:
        """Answers with a page: GET asks, POST unsubscribes."""
        message: Any
        try:
            self._admission.anonymous(request)
            if request.method in ("GET", "HEAD"):
                message = campaigns_service_pb2.ViewUnsubscribeRequest(token=token)
                found = self._unsubscription(request, "ViewUnsubscribe", message)
            elif request.method == "POST":
                message = campaigns_service_pb2.UnsubscribeRequest(token=token)
                found = self._unsubscription(request, "Unsubscribe", message)
            else:
                return page(request, _TEMPLATE, "failed", 405, {"Allow": "GET, HEAD, POST"})
        except RapportError as error:
            return _failure(request, error)
        kind = "unsubscribed" if found.unsubscribed else "unsubscribe"
        return page(request, _TEMPLATE, kind, 200, about=found)

    def _unsubscription(self, request: Request, rpc: str, message: Any) -> campaigns_service_pb2.Unsubscription:
        found: campaigns_service_pb2.Unsubscription = self._call(
            request, rpc, message, campaigns_service_pb2.Unsubscription.FromString
        )
        return found

    def _call(self, request: Request, rpc: str, message: Any, deserializer: Callable[[bytes], Any]) -> Any:
        deadline = timeouts.deadline_of(request, self._settings.default_timeout_s)
        return self._upstreams.call(
            "campaigns", f"{_SERVICE}/{rpc}", message, deserializer, deadline=deadline, token=None
        )


def _failure(request: Request, error: RapportError) -> Response:
    if is_forever_broken(error):
        return page(request, _TEMPLATE, "gone", 410 if error.reason == "LINK_EXPIRED" else 404)
    status, headers = passing_failure(error)
    return page(request, _TEMPLATE, "failed", status, headers)
