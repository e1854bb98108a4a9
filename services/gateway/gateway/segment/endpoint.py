"""The views of event collection."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Request, Response
from rapport.identity.v1 import identity_service_pb2 as identity_pb2

from chassis import clock
from chassis.errors import InvalidArgument
from gateway import bodies, credentials, idempotency, timeouts
from gateway.admission import Admission
from gateway.credentials import Credential
from gateway.segment import events
from gateway.segment.events import Unreadable
from gateway.settings import Settings
from gateway.transcoder import json_text
from gateway.transcoder.endpoint import method_not_allowed
from gateway.upstreams import Upstreams

BATCH_MAX = 500
"""Events in one batch."""
PATHS: Mapping[str, int | None] = {**{f"/v1/{name}": kind for name, kind in events.KINDS.items()}, "/v1/batch": None}
"""Path -> the kind of the one event in the body; None for a batch."""

# Segment's browser library sends text/plain, which spares it the preflight request.
_TYPES = ("application/json", "text/plain")
_RPC = "/rapport.identity.v1.IdentityService/IngestEvents"
_PREFLIGHT_KEPT_S = 600


class EventCollection:
    """Serves the Segment-shaped endpoints."""

    def __init__(self, settings: Settings, admission: Admission, upstreams: Upstreams) -> None:
        self._settings = settings
        self._admission = admission
        self._upstreams = upstreams

    def handle(self, request: Request) -> Response:
        """Answers a request to one of PATHS. Raises RapportError when all of it is refused."""
        if request.method == "OPTIONS":
            return self._preflight()
        if request.method != "POST":
            raise method_not_allowed(["OPTIONS", "POST"])
        deadline = timeouts.deadline_of(request, self._settings.default_timeout_s)
        credential = credentials.write_key_from_headers(request)
        # A key in the body is found by reading it: that counts against the address.
        grant = self._admission.known(request, credential, "identity", deadline) if credential else None
        if grant is None:
            self._admission.anonymous(request)
        body = bodies.read(request, self._settings.body_max_bytes, _TYPES)
        payload = json_text.loads(body, unique_keys=False)
        if type(payload) is not dict:
            raise InvalidArgument("INVALID_FIELD", "The body must be a JSON object.")
        if grant is None:
            grant = self._admission.known(request, _write_key_in(payload), "identity", deadline)
        ingest = _request(payload, PATHS[request.path], check_size=len(body) > events.EVENT_MAX_BYTES)
        ingest.source = grant.source
        idempotency.apply(request, ingest)
        rejected: Iterable[Any] = ()
        if ingest.events or ingest.unreadable_events:
            answer = self._upstreams.call(
                "identity",
                _RPC,
                ingest,
                identity_pb2.IngestEventsResponse.FromString,
                deadline=deadline,
                token=grant.token,
            )
            rejected = answer.rejected_events
        return _answer(rejected)

    def add_cors(self, request: Request, response: Response) -> None:
        """Lets web pages of the configured origins read the answer (Fetch standard, CORS protocol)."""
        allowed = self._settings.cors_origins
        origin = request.headers.get("Origin")
        if "*" in allowed:
            response.headers["Access-Control-Allow-Origin"] = "*"
        else:
            response.headers.add("Vary", "Origin")
            if origin not in allowed:
                return
            response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Trace-Id, Idempotency-Key"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    def _preflight(self) -> Response:
        headers = {
            "Allow": "OPTIONS, POST",
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, Idempotency-Key",
            "Access-Control-Max-Age": str(_PREFLIGHT_KEPT_S),
        }
        return Response(status=204, headers=headers)


def _write_key_in(payload: dict[str, Any]) -> Credential | None:
    key = payload.get("writeKey")
    return credentials.write_key(key) if type(key) is str and key else None


def _request(payload: dict[str, Any], kind: int | None, *, check_size: bool) -> Any:
    """The ingestion request of a body. Raises InvalidArgument when all of it is refused."""
    raws: Any
    if kind is not None:
        raws, shared, sent_at = [payload], None, None
    else:
        raws, shared, sent_at = payload.get("batch"), payload.get("context"), payload.get("sentAt")
        if type(raws) is not list:
            raise InvalidArgument(
                "INVALID_FIELD", "`batch` must be an array of events.", violations=[("batch", "expected an array")]
            )
        if len(raws) > BATCH_MAX:
            raise InvalidArgument(
                "BATCH_TOO_LARGE",
                f"A batch holds at most {BATCH_MAX} events; split it.",
                metadata={"max_events": str(BATCH_MAX)},
                violations=[("batch", f"at most {BATCH_MAX} events")],
            )
        if type(shared) is not dict:
            shared = None
    request: Any = identity_pb2.IngestEventsRequest()
    received_at = clock.real_now()
    for index, raw in enumerate(raws):
        try:
            event = events.read(
                raw, kind, received_at=received_at, sent_at=sent_at, context=shared, check_size=check_size
            )
        except Unreadable as error:
            request.unreadable_events.append(events.unreadable_event(index, raw, error))
        else:
            request.events.append(event)
    return request


def _answer(rejected: Iterable[Any]) -> Response:
    body: dict[str, Any] = {"success": True}
    told = [
        {
            "index": event.index,
            "messageId": event.message_id,
            "reason": event.reason,
            "field": event.field,
            "description": event.description,
        }
        for event in rejected
    ]
    if told:
        body["rejected"] = told
    return Response(json.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})
