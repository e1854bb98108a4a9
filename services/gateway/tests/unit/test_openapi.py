import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from openapi_spec_validator import validate

from contracts import descriptors
from gateway import app as app_module
from gateway.app import create_app
from gateway.openapi import reference, samples
from gateway.settings import Settings
from gateway.transcoder.routes import all_routes
from testkit.keys import TEST_KEYRING

UPSTREAMS = dict.fromkeys((service.full_name.split(".")[1] for service in descriptors.services()), "127.0.0.1:1")


@pytest.fixture(scope="module")
def app():
    return create_app(Settings(keys=TEST_KEYRING, upstreams=UPSTREAMS))


@pytest.fixture(scope="module")
def document(app):
    return app.test_client().get("/openapi.json").json


def operations(document):
    return {item["operationId"]: item for methods in document["paths"].values() for item in methods.values()}


def test_is_valid_openapi(document):
    validate(document)
    assert document["openapi"] == "3.1.0"


def test_many_who_ask_first_have_it_written_once(monkeypatch):
    written, rendered = [], []
    write, render = app_module.document.openapi, reference.Reference._render
    monkeypatch.setattr(app_module.document, "openapi", lambda *given: written.append(1) or write(*given))
    monkeypatch.setattr(reference.Reference, "_render", lambda *given: rendered.append(1) or render(*given))
    app = create_app(Settings(keys=TEST_KEYRING, upstreams={name: UPSTREAMS[name] for name in ("access", "consent")}))
    ready = threading.Barrier(4)

    def ask(path):
        ready.wait(10)
        return app.test_client().get(path).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, ["/openapi.json", "/docs"] * 2)) == [200] * 4
    assert (len(written), len(rendered)) == (1, 1)


def test_describes_every_route_and_segment_endpoint(document):
    found = operations(document)
    assert {route.rpc.name for route in all_routes()} <= set(found)
    assert {"collectBatch", "collectTrack"} <= set(found)
    count = sum(len(methods) for methods in document["paths"].values())
    assert len(found) == count == len(all_routes()) + 7


def test_everything_is_described_by_the_contracts_comments(document):
    for item in operations(document).values():
        assert item["summary"]
        assert item["description"]
        for parameter in item["parameters"]:
            assert samples.resolve(parameter, document)["description"], (item["operationId"], parameter)
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, item in schema.get("properties", {}).items():
            assert item.get("description") or name in ("Error", "CollectionAnswer") or "$ref" in item, (name, field)


def test_tells_paths_parameters_headers_and_statuses(document):
    update = document["paths"]["/v1/customers/{customer}"]["patch"]
    names = [samples.resolve(item, document)["name"] for item in update["parameters"]]
    assert names == [
        "customer",
        "updateMask",
        "If-Match",
        "Idempotency-Key",
        "X-Rapport-Tenant",
        "X-Rapport-Timeout",
        "traceparent",
    ]
    assert " ".join(sorted(update["responses"])) == ("200 400 401 403 404 409 413 414 415 429 431 499 500 501 503 504")
    get = document["paths"]["/v1/customers/{customer}"]["get"]
    assert "304" in get["responses"]
    assert "ETag" in get["responses"]["200"]["headers"]
    assert all("default" not in item["responses"] for item in operations(document).values())
    assert document["paths"]["/v1/optIns:view"]["get"]["security"] == []
    assert update["security"] == [{"bearer": []}, {"apiKey": []}]


def test_required_fields_are_demanded_of_creation_only(document):
    schemas = document["components"]["schemas"]
    assert set(schemas["TenantInput"]["required"]) == {"displayName", "settings"}
    assert "required" not in schemas["Tenant"]
    assert schemas["TenantInput"]["properties"]["settings"]["$ref"].endswith("/TenantSettingsInput")
    assert schemas["Tenant"]["properties"]["createTime"]["readOnly"] is True
    assert schemas["MergeCustomerRequest"]["additionalProperties"] is False
    assert "name" not in schemas["MergeCustomerRequest"]["properties"]


def test_the_page_shows_every_operation_and_asks_nothing_of_others(app, document):
    client = app.test_client()
    page = client.get("/docs")
    html = page.get_data(as_text=True)
    for item in operations(document).values():
        assert f'id="{item["operationId"]}"' in html
    for name in document["components"]["schemas"]:
        assert f'id="{reference.anchor("type-" + name)}"' in html
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in html
    assert "<script>" not in html
    assert 'src="http' not in html
    for asset in ("/static/reference.css", "/static/reference.js", "/static/page.css"):
        assert client.get(asset).status_code == 200
    assert client.get("/docs", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304


def test_samples_are_complete_commands(app):
    html = app.test_client().get("/docs").get_data(as_text=True)
    assert "curl -X POST &#34;http://localhost/v1/customers&#34;" in html
    assert "&#34;type&#34;: &#34;track&#34;" in html


def test_home_leads_to_the_page(app):
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")


def test_comments_cannot_inject_markup():
    assert str(reference.prose("<b> `<i>`\n\n- a\n- `b`")) == (
        "<p>&lt;b&gt; <code>&lt;i&gt;</code></p>\n<ul><li>a</li><li><code>b</code></li></ul>"
    )


def test_describes_only_what_is_served():
    settings = Settings(keys=TEST_KEYRING, upstreams={"access": "127.0.0.1:1"})
    client = create_app(settings).test_client()
    found = client.get("/openapi.json").json
    validate(found)
    assert [tag["name"] for tag in found["tags"]] == ["access"]
    assert client.get("/v1/customers").status_code == 404
    assert client.post("/v1/track", json={}).status_code == 404
    assert client.get("/c/x").status_code == 404
    assert client.get("/v1/roles").status_code == 401
