"""Answers held against the OpenAPI document that the gateway serves."""

from typing import Any

import requests
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Document:
    """The document of one gateway, and which of its operations have succeeded."""

    def __init__(self, gateway: str) -> None:
        schema: Any = schemathesis.openapi.from_url(f"{gateway}/openapi.json")
        found = (operation.ok() for operation in schema.get_all_operations())
        self._operations = {operation.definition.raw["operationId"]: operation for operation in found}
        self._succeeded: set[str] = set()

    def note(self, operation: str, answer: requests.Response) -> None:
        """Notes how an operation was answered. Raises AssertionError when the document does not say so."""
        self._operations[operation].Case().validate_response(answer, checks=CHECKS)
        if answer.ok:
            self._succeeded.add(operation)

    def never_succeeded(self) -> set[str]:
        """Operations that nobody has seen succeed."""
        return set(self._operations) - self._succeeded
