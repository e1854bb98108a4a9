"""The parts of the API's description that all operations share."""

from typing import Any

from gateway import idempotency, reads_of_writes, timeouts
from gateway.credentials import TENANT_HEADER

INTRODUCTION = """\
Customers, consent and access of a Rapport installation, as JSON over HTTP.

Names are lowerCamelCase; snake_case is read too. Instants are RFC 3339 in UTC, integers of 64 bits are strings.
Resources follow Google's API Improvement Proposals: names such as `customers/{id}`, lists by page, changes by field
mask. Send `Authorization: Bearer` with an API key or a signed token of an issuer the tenant accepts.

A refusal is `{"error": {code, status, message, details}}`; `details` holds one `ErrorInfo` whose `reason` is stable.
Send an `Idempotency-Key` with a mutation and repeat it freely. Send `If-Match` with the `ETag` you read, and nobody's
change is lost."""

SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`rk...`) or a signed token (JWT) of an issuer the tenant accepts.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
    "writeKey": {
        "type": "http",
        "scheme": "basic",
        "description": "A write key as the user name, no password. `writeKey` in the body does as well.",
    },
}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


PARAMETERS: dict[str, Any] = {
    idempotency.HEADER: _parameter(
        idempotency.HEADER,
        "Makes repeats safe: the same key gives the same answer for a day. A UUID, or any other text.",
        {"type": "string", "minLength": 1, "maxLength": idempotency.KEY_MAX, "pattern": idempotency.KEY_PATTERN},
    ),
    "If-Match": _parameter(
        "If-Match",
        "The `ETag` the change is based on; refused with 409 ABORTED when somebody changed the resource since.",
        {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*")$'},
    ),
    "If-None-Match": _parameter(
        "If-None-Match",
        "Answers 304 when the resource still has one of these etags.",
        {"type": "string"},
    ),
    reads_of_writes.TOKEN_HEADER: _parameter(
        reads_of_writes.TOKEN_HEADER,
        "The token a mutation answered with. What shows other services' work, such as a timeline or agent view, then "
        "waits up to half a second until it shows what was written.",
        {"type": "string", "maxLength": reads_of_writes.TOKEN_MAX, "pattern": f"^{reads_of_writes.TOKEN_PATTERN}$"},
    ),
    timeouts.HEADER: _parameter(
        timeouts.HEADER,
        f"Seconds the call may take, {timeouts.TIMEOUT_MIN_S:g} to {timeouts.TIMEOUT_MAX_S:g}; 10 if not given.",
        {"type": "number", "minimum": timeouts.TIMEOUT_MIN_S},
    ),
    TENANT_HEADER: _parameter(
        TENANT_HEADER,
        "The id of the tenant to act in, for credentials that are good for several.",
        {"type": "string"},
    ),
    "traceparent": _parameter("traceparent", "Continues a trace (W3C Trace Context).", {"type": "string"}),
}

HEADERS: dict[str, Any] = {
    "X-Trace-Id": {"description": "Names the request in logs and traces.", "schema": {"type": "string"}},
    "ETag": {"description": "Changes with every change of the resource.", "schema": {"type": "string"}},
    idempotency.HEADER: {"description": "The key the mutation was done under.", "schema": {"type": "string"}},
    reads_of_writes.TOKEN_HEADER: {
        "description": "Names what was written, for reads that are to show it; absent when nothing was.",
        "schema": {"type": "string"},
    },
    reads_of_writes.STALE_HEADER: {
        "description": "`true` when what the consistency token names is not shown yet; absent else.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "Seconds to wait before a repeat.", "schema": {"type": "integer", "minimum": 1}},
    "RateLimit-Limit": {"description": "Requests allowed at once.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "Requests still allowed now.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Seconds until all are allowed again.", "schema": {"type": "integer"}},
    "Content-Disposition": {"description": "Always `attachment`, with the file's name.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to authenticate (RFC 9110).", "schema": {"type": "string"}},
}

_RESPONSES: dict[int, str] = {
    400: "The request is wrong (INVALID_ARGUMENT, OUT_OF_RANGE), or the state of things forbids it "
    "(FAILED_PRECONDITION). `BadRequest` and `PreconditionFailure` in the details say what to mend.",
    401: "The credential is missing or does not hold (UNAUTHENTICATED).",
    403: "The principal lacks the permission (PERMISSION_DENIED).",
    404: "The resource does not exist in the tenant (NOT_FOUND).",
    409: "Somebody changed the resource meanwhile (ABORTED), or it exists, or the Idempotency-Key was used for another "
    "request (ALREADY_EXISTS).",
    413: "The body is larger than the method takes; `max_bytes` in the details.",
    415: "The body is not JSON, or packed otherwise than by gzip.",
    429: "Too many requests (RESOURCE_EXHAUSTED).",
    499: "The call was cancelled (CANCELLED).",
    500: "The platform failed (INTERNAL); `error_id` in the details helps its operator.",
    501: "The platform runs a version without this method (UNIMPLEMENTED).",
    503: "A part of the platform does not answer now (UNAVAILABLE).",
    504: "The time was over (DEADLINE_EXCEEDED).",
}

SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "description": "A refusal: `google.rpc.Status` as JSON (AIP-193).",
        "required": ["error"],
        "additionalProperties": False,
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "status", "message", "details"],
                "additionalProperties": False,
                "properties": {
                    "code": {"type": "integer", "description": "The HTTP status."},
                    "status": {"type": "string", "description": "The canonical code, such as `ABORTED`."},
                    "message": {"type": "string", "description": "What is wrong and how to mend it, for developers."},
                    "details": {
                        "type": "array",
                        "description": "`ErrorInfo`, then `BadRequest`, `PreconditionFailure`, `RetryInfo` where apt.",
                        "items": {
                            "type": "object",
                            "required": ["@type"],
                            "properties": {
                                "@type": {
                                    "type": "string",
                                    "description": "Such as `type.googleapis.com/google.rpc.RetryInfo`.",
                                },
                                "reason": {"type": "string", "description": "Of ErrorInfo: stable, for programs."},
                                "domain": {"type": "string", "description": "Of ErrorInfo: the service that refused."},
                                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                                "fieldViolations": {"type": "array", "items": {"type": "object"}},
                                "violations": {"type": "array", "items": {"type": "object"}},
                                "retryDelay": {"type": "string", "description": "Of RetryInfo: such as `1s`."},
                            },
                        },
                    },
                },
            }
        },
    }
}


def responses() -> dict[str, Any]:
    """The responses operations refer to by status."""
    found: dict[str, Any] = {
        "304": {"description": "The caller has this version already.", "headers": _refs("ETag", "X-Trace-Id")}
    }
    # These two the HTTP server gives before any of ours runs.
    found["414"] = {"description": "The URL is longer than 8190 bytes."}
    found["431"] = {"description": "A header is longer than 8190 bytes, or there are more than 100."}
    for status, description in _RESPONSES.items():
        more = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
        found[str(status)] = {
            "description": description,
            "headers": _refs("X-Trace-Id", *more),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return found


def _refs(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
