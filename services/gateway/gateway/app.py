"""The WSGI application: which handler serves which path, and what every answer carries."""

import json
import threading
from functools import cache

from flask import Flask, Response, g, redirect, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule
from werkzeug.wrappers import Response as AnyResponse

from chassis import errors as chassis_errors
from chassis.errors import RapportError
from chassis.settings import ConfigurationError
from contracts import descriptors
from gateway import admission, bodies, draining, errors, idempotency, limits, observation, reads_of_writes
from gateway.credentials import Exchange
from gateway.openapi import document, reference
from gateway.pages import message_links, opt_in
from gateway.segment import endpoint as segment
from gateway.settings import Settings
from gateway.transcoder.endpoint import Transcoder, method_not_allowed, not_found
from gateway.transcoder.routes import RouteTable, all_routes
from gateway.upstreams import Upstreams

_API_POLICY = "default-src 'none'; frame-ancestors 'none'"


def create_app(settings: Settings) -> Flask:
    """The application: the routes of the services that have an address. Nothing is connected until the first request.

    Raises RouteError when two routes collide, ConfigurationError when access has no address or a name is no service's.
    """
    _check_upstreams(settings)
    app = Flask("gateway")
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count)  # type: ignore[method-assign]
    observation.observe(app)
    upstreams = Upstreams(settings)
    door = admission.admission(settings, Exchange(settings, upstreams))
    # Rules without methods take all of them: what is allowed is for the handlers to say.
    if "identity" in settings.upstreams:
        _add_collection(app, segment.EventCollection(settings, door, upstreams))
    if "consent" in settings.upstreams:
        page = opt_in.OptInPage(settings, door, upstreams)
        app.url_map.add(Rule(opt_in.PATH, endpoint="opt_in"))
        app.view_functions["opt_in"] = lambda token: page.handle(request, token)
    if "campaigns" in settings.upstreams:
        _add_message_links(app, message_links.MessageLinks(settings, door, upstreams))
    _add_api(app, settings, door, upstreams)
    _add_probes(app, upstreams)
    _add_error_handlers(app)
    _add_headers(app)
    return app


def _check_upstreams(settings: Settings) -> None:
    variable = settings.environment_names()["upstreams"]
    if "access" not in settings.upstreams:
        raise ConfigurationError(variable, "names no address of access, which checks every credential")
    known = sorted(service.file.package.split(".")[1] for service in descriptors.services())
    if unknown := sorted(settings.upstreams.keys() - set(known)):
        raise ConfigurationError(variable, f"names {', '.join(unknown)}; known are {', '.join(known)}")


def _add_collection(app: Flask, collection: segment.EventCollection) -> None:
    for path in segment.PATHS:
        app.url_map.add(Rule(path, endpoint="collect"))
    app.view_functions["collect"] = lambda: collection.handle(request)

    @app.after_request
    def let_web_pages_read(response: Response) -> Response:
        if request.path in segment.PATHS:
            collection.add_cors(request, response)
        return response


def _add_message_links(app: Flask, links: message_links.MessageLinks) -> None:
    served = {
        message_links.LINK_PATH: ("follow_link", links.follow),
        message_links.PICTURE_PATH: ("picture", links.picture),
        message_links.UNSUBSCRIBE_PATH: ("unsubscribe", links.unsubscribe),
    }
    for path, (endpoint, serve) in served.items():
        app.url_map.add(Rule(path, endpoint=endpoint))
        app.view_functions[endpoint] = lambda token, serve=serve: serve(request, token)


def _add_api(app: Flask, settings: Settings, door: admission.Admission, upstreams: Upstreams) -> None:
    served = (route for route in all_routes() if route.service in settings.upstreams)
    table = RouteTable(served, reserved=segment.PATHS)
    transcoder = Transcoder(table, settings, door, upstreams)
    app.url_map.add(Rule("/v1/<path:rest>", endpoint="transcode"))
    app.view_functions["transcode"] = lambda rest: transcoder.handle(request)  # noqa: ARG005

    # Written when they are first asked for: no start waits for them. Anybody may ask: who comes meanwhile waits.
    writing = threading.Lock()
    described = cache(lambda: document.openapi(table.routes, settings))
    as_json = cache(lambda: json.dumps(described(), ensure_ascii=False))
    pages = cache(lambda: reference.Reference(described()))

    @app.get("/openapi.json")
    def openapi() -> Response:
        with writing:
            written = as_json()
        return Response(written, content_type="application/json", headers={"Cache-Control": "no-cache"})

    @app.get("/docs")
    def docs() -> Response:
        with writing:
            return pages().respond()

    @app.get("/")
    def home() -> AnyResponse:
        return redirect("/docs")


def _add_probes(app: Flask, upstreams: Upstreams) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        good, found = upstreams.probe()
        good = good and not draining.is_draining()
        state = {service: "reachable" if reachable else "unreachable" for service, reachable in found.items()}
        return {"status": "ready" if good else "not ready", "upstreams": state}, 200 if good else 503


def _add_error_handlers(app: Flask) -> None:
    @app.errorhandler(RapportError)
    def refused(error: RapportError) -> Response:
        return errors.response(error)

    @app.errorhandler(HTTPException)
    def refused_by_framework(error: HTTPException) -> AnyResponse:
        if isinstance(error, NotFound):
            return errors.response(not_found())
        if isinstance(error, MethodNotAllowed):
            return errors.response(method_not_allowed(sorted(error.valid_methods or ())))
        status = error.code or 500
        if status < 400:
            return error.get_response()
        if status >= 500:
            return errors.response(chassis_errors.from_exception(error))
        return errors.response(errors.HttpRefusal(status, "BAD_REQUEST", "The request cannot be understood."))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        return errors.response(chassis_errors.from_exception(error))


def _add_headers(app: Flask) -> None:
    @app.after_request
    def common(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", _API_POLICY)
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["X-Frame-Options"] = "DENY"
        if request.is_secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        if key := g.get("idempotency_key"):
            headers[idempotency.HEADER] = key
        reads_of_writes.add_headers(response)
        limits.add_headers(response)
        if draining.is_draining() or bodies.left_unread(request):
            headers["Connection"] = "close"
        return response
