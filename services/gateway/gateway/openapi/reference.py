"""The reference page `/docs`: rendered here from the OpenAPI document, without anything from elsewhere."""

import hashlib
import re
from typing import Any
from urllib.parse import quote

from flask import Response, render_template, request
from markupsafe import Markup, escape

from gateway.openapi import samples

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Reference:
    """The page, rendered once for each address the gateway is reached under."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._groups = _groups(document)
        self._rendered: tuple[str, str] = ("", "")

    def respond(self) -> Response:
        """The page as an answer; 304 when the browser has it."""
        base = self._document["servers"][0]["url"]
        base = request.url_root.rstrip("/") if base == "/" else base.rstrip("/")
        known, html = self._rendered
        if known != base:
            html = self._render(base)
            self._rendered = (base, html)
        response = Response(html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Cache-Control"] = "no-cache"
        response.set_etag(hashlib.sha256(html.encode()).hexdigest()[:32])
        response.make_conditional(request)
        return response

    def _render(self, base: str) -> str:
        return render_template(
            "reference.html",
            info=self._document["info"],
            groups=self._groups,
            schemas=self._document["components"]["schemas"],
            base=base,
            curl=lambda operation: samples.curl(operation, base, self._document),
            prose=prose,
            type_of=type_of,
            anchor=anchor,
        )


def prose(text: str) -> Markup:
    """A comment as HTML: paragraphs, lists of lines with a dash, and code in backticks."""
    blocks = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if all(line.startswith("- ") for line in lines):
            items = Markup("").join(Markup("<li>{}</li>").format(_code(line[2:])) for line in lines)
            blocks.append(Markup("<ul>{}</ul>").format(items))
        else:
            blocks.append(Markup("<p>{}</p>").format(_code(" ".join(lines))))
    return Markup("\n").join(blocks)


def type_of(schema: dict[str, Any]) -> Markup:
    """A schema's type in words, linked to its own entry."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return Markup('<a href="#{}">{}</a>').format(anchor(f"type-{name}"), name)
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    if kind == "array":
        return Markup("list of {}").format(type_of(schema.get("items", {})))
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return Markup("map to {}").format(type_of(schema["additionalProperties"]))
    words = f"{kind} ({schema['format']})" if "format" in schema else str(kind)
    return Markup(escape(words))


def anchor(text: str) -> str:
    """A text as a fragment identifier."""
    return quote(re.sub(r"[^A-Za-z0-9._-]+", "-", text))


def _code(text: str) -> Markup:
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Operations by tag, each with its parameters resolved."""
    groups = {tag["name"]: {**tag, "operations": []} for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            resolved = [samples.resolve(parameter, document) for parameter in operation["parameters"]]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            good = next(iter(operation["responses"]["200"]["content"].values()))["schema"]
            text = f"{method} {path} {operation['operationId']} {operation['summary']} {operation['tags'][0]}"
            groups[operation["tags"][0]]["operations"].append(
                {
                    **operation,
                    "method": method.upper(),
                    "path": path,
                    "parameters": resolved,
                    "body": body,
                    "answer": good,
                    "search": text.lower(),
                    "statuses": [status for status in operation["responses"] if status != "200"],
                }
            )
    return [group for group in groups.values() if group["operations"]]
