"""schemathesis against the served OpenAPI: no 5xx, no undocumented status or shape, whatever is sent.

That every operation succeeds at least once, as documented, is seen in `test_tenancy`.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings

from e2e import seeds, tenants
from e2e.documented import CHECKS
from e2e.platform import Platform

EXAMPLES = 6
"""Of an operation that takes its path and a few words of a query; twice as many of one that takes a body."""


@pytest.fixture(scope="module")
def tenant(platform: Platform) -> tenants.Tenant:
    return tenants.create(platform.gateway, platform.bootstrap_key, f"openapi-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def names(tenant: tenants.Tenant) -> dict[str, str]:
    return seeds.plant(tenant)


@pytest.fixture(scope="module")
def session(tenant: tenants.Tenant) -> Iterator[requests.Session]:
    """One connection with the tenant's key for all calls: each would open its own, and read the environment anew."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers.clear()
        session.headers.update(tenant.api.headers)
        yield session


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
def test_every_answer_is_as_documented(api: Any, session: requests.Session, subtests: pytest.Subtests) -> None:
    for found in api.get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            every_answer_is_as_documented(operation, session)


def every_answer_is_as_documented(operation: schemathesis.APIOperation, session: requests.Session) -> None:
    examples = EXAMPLES * 2 if operation.body else EXAMPLES

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(session=session, checks=CHECKS)

    call()


def test_no_operation_has_a_default_answer(api: Any) -> None:
    operations = [operation for path in api.raw_schema["paths"].values() for operation in path.values()]
    assert len(operations) > 50
    assert not [operation["operationId"] for operation in operations if "default" in operation["responses"]]
