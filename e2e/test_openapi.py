"""schemathesis against the served OpenAPI: no 5xx, no undocumented status or shape, whatever is sent."""

import uuid
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from e2e import seeds, tenants
from e2e.platform import Platform

EXAMPLES = 12
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def tenant(platform: Platform) -> tenants.Tenant:
    return tenants.create(platform.gateway, platform.bootstrap_key, f"openapi-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def names(tenant: tenants.Tenant) -> dict[str, str]:
    return seeds.plant(tenant)


@pytest.fixture(scope="module")
def api(platform: Platform, names: dict[str, str]) -> Any:
    """The served document; half of the ids in paths are those of resources that are there."""
    ids = {collection: name.split("/", 1)[1] for collection, name in names.items()}
    schema = schemathesis.openapi.from_url(f"{platform.gateway}/openapi.json")

    @schema.hook
    def map_path_parameters(context: Any, path_parameters: dict[str, str] | None) -> dict[str, str] | None:
        for parameter, drawn in (path_parameters or {}).items():
            planted = next((found for kind, found in ids.items() if _singular(kind) == parameter), None)
            if planted and len(drawn) % 2:
                path_parameters[parameter] = planted
        return path_parameters

    @schema.hook
    def map_headers(context: Any, headers: dict[str, str] | None) -> dict[str, str] | None:
        # Time enough: a call that may take 0.1 s is rightly told when it took longer.
        if headers and "X-Rapport-Timeout" in headers:
            headers["X-Rapport-Timeout"] = "30"
        return headers

    return schema


def _singular(collection: str) -> str:
    word = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in collection)
    return word.removesuffix("es") if word.endswith("ches") else word.removesuffix("s")


@pytest.mark.timeout(400)
def test_every_answer_is_as_documented(api: Any, tenant: tenants.Tenant, subtests: pytest.Subtests) -> None:
    for found in api.get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            every_answer_is_as_documented(operation, tenant)


def every_answer_is_as_documented(operation: schemathesis.APIOperation, tenant: tenants.Tenant) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=tenant.api.headers, checks=CHECKS)

    call()


def test_no_operation_has_a_default_answer(api: Any) -> None:
    operations = [operation for path in api.raw_schema["paths"].values() for operation in path.values()]
    assert len(operations) > 50
    assert not [operation["operationId"] for operation in operations if "default" in operation["responses"]]
