"""What all pages share: headers, languages, and what a refusal means to somebody who followed a link."""

from typing import Any

from flask import Request, Response, render_template
from google.rpc import code_pb2

from chassis.errors import RapportError
from gateway import errors
from gateway.pages.texts import LANGUAGES, TEXTS

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_FOREVER_BROKEN = frozenset(
    (code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND, code_pb2.UNAUTHENTICATED, code_pb2.FAILED_PRECONDITION)
)


def page(
    request: Request, template: str, kind: str, status: int, headers: dict[str, str] | None = None, **values: Any
) -> Response:
    """A page in the reader's language; `kind` chooses its texts (`<kind>_title`, `<kind>_lead`, ...)."""
    language = language_of(request)
    html = render_template(template, kind=kind, language=language, text=TEXTS[language], **values)
    response = Response(html, status, content_type="text/html; charset=utf-8", headers=headers)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Language"] = language
    response.headers["Vary"] = "Accept-Language"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def language_of(request: Request) -> str:
    """The language of the page, by Accept-Language; English unless another one is known."""
    return request.accept_languages.best_match(LANGUAGES, LANGUAGES[0])


def is_forever_broken(error: RapportError) -> bool:
    """Whether the link will not work later either."""
    return errors.status_of(error).code in _FOREVER_BROKEN


def passing_failure(error: RapportError) -> tuple[int, dict[str, str]]:
    """HTTP status and headers of a failure that may be over soon."""
    refusal = errors.response(error)
    return refusal.status_code, {"Retry-After": refusal.headers.get("Retry-After", "60")}
