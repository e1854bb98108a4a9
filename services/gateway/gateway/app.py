"""The WSGI application: which handler serves which path, and what every answer carries."""

import json

from flask import Flask, Response, g, redirect, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule
from werkzeug.wrappers import Response as AnyResponse

from chassis import errors as chassis_errors
from chassis.errors import RapportError
from chassis.settings import ConfigurationError
from gateway import admission, draining, errors, idempotency, limits, observation
from gateway.credentials import Exchange
from gateway.openapi import document, reference
from gateway.pages import opt_in
from gateway.segment import endpoint as segment
from gateway.settings import Settings
from gateway.transcoder.endpoint import Transcoder, method_not_allowed, not_found
from gateway.transcoder.routes import RouteTable, all_routes
from gateway.upstreams import Upstreams

_API_POLICY = "default-src 'none'; frame-ancestors 'none'"


def create_app(settings: Settings) -> Flask:
    """The application. Nothing is connected until the first request.

    Raises RouteError when two routes collide, ConfigurationError when a service with routes has no address.
    """
    routes = all_routes()
    missing = {"access", *(route.service for route in routes)} - settings.upstreams.keys()
    if missing:
        raise ConfigurationError(
            settings.environment_names()["upstreams"], f"names no address of {', '.join(sorted(missing))}"
        )
    table = RouteTable(routes, reserved=segment.PATHS)
    app = Flask("gateway")
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count)  # type: ignore[method-assign]
    observation.observe(app)
    upstreams = Upstreams(settings)
    door = admission.admission(settings, Exchange(settings, upstreams))
    collection = segment.EventCollection(settings, door, upstreams)
    _add_api(app, table, settings, door, upstreams, collection)
    _add_pages(app, settings, door, upstreams)
    _add_probes(app, upstreams)
    _add_error_handlers(app)
    _add_headers(app, collection)
    return app


def _add_api(
    app: Flask,
    table: RouteTable,
    settings: Settings,
    door: admission.Admission,
    upstreams: Upstreams,
    collection: segment.EventCollection,
) -> None:
    transcoder = Transcoder(table, settings, door, upstreams)

    # Rules without methods take all of them: what is allowed is for the handlers to say.
    for path in segment.PATHS:
        app.url_map.add(Rule(path, endpoint="collect"))
    app.url_map.add(Rule("/v1/<path:rest>", endpoint="transcode"))
    app.view_functions["collect"] = lambda: collection.handle(request)
    app.view_functions["transcode"] = lambda rest: transcoder.handle(request)  # noqa: ARG005

    described = document.openapi(table.routes, settings)
    as_json = json.dumps(described, ensure_ascii=False)
    pages = reference.Reference(described)

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(as_json, content_type="application/json", headers={"Cache-Control": "no-cache"})

    @app.get("/docs")
    def docs() -> Response:
        return pages.respond()

    @app.get("/")
    def home() -> AnyResponse:
        return redirect("/docs")


def _add_pages(app: Flask, settings: Settings, door: admission.Admission, upstreams: Upstreams) -> None:
    page = opt_in.OptInPage(settings, door, upstreams)
    app.url_map.add(Rule(opt_in.PATH, endpoint="opt_in"))
    app.view_functions["opt_in"] = lambda token: page.handle(request, token)


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


def _add_headers(app: Flask, collection: segment.EventCollection) -> None:
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
        limits.add_headers(response)
        if request.path in segment.PATHS:
            collection.add_cors(request, response)
        if draining.is_draining():
            headers["Connection"] = "close"
        return response
