"""The HTTP interface against real gRPC servers."""

import gzip
import json
import threading
import uuid

import pytest
from rapport.access.v1 import access_service_pb2, tenant_pb2
from rapport.identity.v1 import customer_pb2, identity_service_pb2

from chassis import consistency, tenancy
from chassis.consistency import Written
from chassis.errors import Aborted, FailedPrecondition, ResourceExhausted, Unavailable
from gateway.transcoder.routes import all_routes

ALL, NONE = "rk.acme.all", "rk.acme.none"
ROUTES = all_routes()


def url_of(route):
    identifier = "0195d0a4-7b1e-7c3a-9f52-1f0e6b9f2c11"
    path = "/" + "/".join(identifier if part == "*" else part for part in route.template.segments)
    return path + (f":{route.template.verb}" if route.template.verb else "")


def send(client, route, **headers):
    body = {} if route.body else None
    return client.open(url_of(route), method=route.http_method, json=body, headers=headers)


def error(response):
    return response.json["error"]


def reason(response):
    return error(response)["details"][0]["reason"]


PROTECTED = [route for route in ROUTES if not route.public]


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: route.rpc.name)
def test_every_route_asks_for_a_credential_and_its_permission(client, services, route):
    missing = send(client, route)
    assert (missing.status_code, reason(missing)) == (401, "CREDENTIAL_MISSING")
    wrong = send(client, route, Authorization="Bearer rk.acme.wrong")
    assert (wrong.status_code, reason(wrong)) == (401, "CREDENTIAL_UNKNOWN")
    assert "Bearer" in wrong.headers["WWW-Authenticate"]
    assert send(client, route, Authorization=f"Bearer {NONE}").status_code == 403
    # Let in: an answer, or a refusal of the empty request by the service's field check.
    assert send(client, route, Authorization=f"Bearer {ALL}").status_code in (200, 400)


def test_public_routes_ask_for_none(client, services):
    public = [route for route in ROUTES if route.public]
    assert {"ViewOptIn", "ConfirmOptIn"} <= {route.rpc.name for route in public}
    assert client.get("/v1/optIns:view?token=t").status_code == 200
    assert services.requests("ViewOptIn")[0].token == "t"
    assert "authorization" not in services.metadata("ViewOptIn")
    assert services.requests("ExchangeCredential") == []


def test_carries_path_body_and_query_to_the_service_and_its_answer_back(client, services, auth):
    services.answers["UpdateCustomer"] = lambda request: customer_pb2.Customer(
        name=request.customer.name, email=request.customer.email, traits={"vip": True, "score": 7}, etag='"2"'
    )
    identifier = str(uuid.uuid4())
    answer = client.patch(
        f"/v1/customers/{identifier}?updateMask=email,traits",
        json={"email": "ada@example.com", "traits": {"vip": True}},
        headers=auth,
    )
    assert answer.status_code == 200
    assert answer.json["name"] == f"customers/{identifier}"
    assert answer.json["traits"] == {"vip": True, "score": 7}
    assert answer.json["identifiers"] == []
    assert answer.headers["ETag"] == '"2"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.headers["X-Trace-Id"]) == 32
    (request,) = services.requests("UpdateCustomer")
    assert request.customer.email == "ada@example.com"
    assert list(request.update_mask.paths) == ["email", "traits"]


def test_an_encoded_id_reaches_the_service_decoded(client, services, auth):
    assert client.get("/v1/tenants/a%2Db", headers=auth).status_code == 200
    assert services.requests("GetTenant")[0].name == "tenants/a-b"
    assert client.get("/v1/tenants/a%2Fb", headers=auth).status_code == 200
    assert services.requests("GetTenant")[1].name == "tenants/a%2Fb"
    assert client.get("/v1/tenants/%FF", headers=auth).status_code == 400


@pytest.mark.parametrize(
    ("body", "kind", "status", "told", "words"),
    [
        (b'{"email": 1}', None, 400, "INVALID_FIELD", "customer.email: expected a string, got a number"),
        (b'{"emial": "x"}', None, 400, "UNKNOWN_FIELD", "did you mean email?"),
        (b'{"email": "a"\n"phone": "b"}', None, 400, "INVALID_JSON", "line 2, column 1"),
        (b'{"email": "a", "email": "b"}', None, 400, "DUPLICATE_KEY", "given twice"),
        (b"[]", None, 400, "INVALID_FIELD", "customer: expected an object, got an array"),
        (b"<a/>", "text/xml", 415, "UNSUPPORTED_MEDIA_TYPE", "application/json"),
        (b"{" + b" " * (1 << 20) + b"}", None, 413, "BODY_TOO_LARGE", "1048576"),
    ],
)
def test_refuses_bodies_precisely(client, services, auth, body, kind, status, told, words):
    answer = client.post("/v1/customers", data=body, content_type=kind or "application/json", headers=auth)
    assert (answer.status_code, reason(answer)) == (status, told)
    assert words in error(answer)["message"]
    assert services.requests("CreateCustomer") == []


def test_refuses_a_gzip_bomb(client, auth):
    bomb = gzip.compress(b" " * (64 << 20))
    headers = {**auth, "Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert client.post("/v1/customers", data=bomb, headers=headers).status_code == 413


def test_refuses_deep_nesting(client, auth):
    body = b'{"traits": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}"
    answer = client.post("/v1/customers", data=body, content_type="application/json", headers=auth)
    assert answer.status_code == 400


def test_refuses_wrong_queries_and_surplus_bodies(client, auth):
    unknown = client.get("/v1/customers?page_sise=1", headers=auth)
    assert (unknown.status_code, reason(unknown)) == (400, "UNKNOWN_FIELD")
    assert "pageSize" in error(unknown)["message"]
    assert client.get("/v1/customers?pageSize=%FF", headers=auth).status_code == 400
    assert client.get("/v1/customers?" + "&".join(["pageSize=1"] * 300), headers=auth).status_code == 400
    surplus = client.delete("/v1/roles/agent", json={"etag": "x"}, headers=auth)
    assert (surplus.status_code, reason(surplus)) == (400, "UNEXPECTED_BODY")


def test_a_name_in_the_body_must_be_that_of_the_path(client, services, auth):
    path = f"customers/{uuid.uuid4()}"
    assert client.patch(f"/v1/{path}", json={"name": path, "email": "a@b.co"}, headers=auth).status_code == 200
    differs = client.patch(f"/v1/{path}", json={"name": f"customers/{uuid.uuid4()}"}, headers=auth)
    assert differs.status_code == 400
    assert error(differs)["details"][1]["fieldViolations"][0]["field"] == "customer.name"


def test_unknown_paths_and_methods_are_told_in_the_same_shape(client, auth):
    for path in ("/v1/nothing", "/v1/customers/a:nothing", "/v1/customers/", "/nothing", "/v1", "/v1/customers//x"):
        answer = client.get(path, headers=auth)
        assert (answer.status_code, error(answer)["status"], reason(answer)) == (404, "NOT_FOUND", "ROUTE_NOT_FOUND")
    answer = client.put("/v1/customers/x", headers=auth)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, PATCH")
    assert client.open("/v1/customers", method="BREW").status_code == 405
    options = client.options("/v1/customers/x:merge")
    assert (options.status_code, options.headers["Allow"]) == (204, "OPTIONS, POST")
    assert client.get("/v1/track").headers["Allow"] == "OPTIONS, POST"
    assert client.post("/docs").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_internal_methods_are_not_routed(client, auth):
    path = "/rapport.access.v1.AccessService/ExchangeCredential"
    assert client.post(path, json={}, headers=auth).status_code == 404
    assert client.post(f"/v1{path}", json={}, headers=auth).status_code == 404


def test_head_is_get_without_its_body(client, services, auth):
    services.answers["GetTenant"] = lambda request: tenant_pb2.Tenant(name=request.name, etag='"1"')
    answer = client.head("/v1/tenants/acme", headers=auth)
    assert (answer.status_code, answer.headers["ETag"], answer.data) == (200, '"1"', b"")


@pytest.mark.parametrize(
    ("raised", "status", "name"),
    [
        (Aborted("ETAG_MISMATCH", "Read it again."), 409, "ABORTED"),
        (
            FailedPrecondition("NOT_NOW", "No.", preconditions=[("STATE", "tenants/a", "open")]),
            400,
            "FAILED_PRECONDITION",
        ),
        (ResourceExhausted("QUOTA", "Full."), 429, "RESOURCE_EXHAUSTED"),
    ],
)
def test_tells_refusals_as_the_service_did(client, services, auth, raised, status, name):
    def refuse(_):
        raise raised

    services.answers["GetTenant"] = refuse
    answer = client.get("/v1/tenants/acme", headers=auth)
    assert answer.status_code == status
    assert (error(answer)["code"], error(answer)["status"]) == (status, name)
    assert error(answer)["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": raised.reason,
        "domain": "access.rapport",
        **({"metadata": raised.metadata} if raised.metadata else {}),
    }


def test_says_when_to_repeat(client, services, auth):
    def refuse(_):
        raise Unavailable("OUTBOX_FULL", "Later.", retry_after_s=7)

    services.answers["GetTenant"] = refuse
    answer = client.get("/v1/tenants/acme", headers=auth)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")


def test_defects_leak_nothing(client, services, auth, monkeypatch):
    def fail(_):
        raise KeyError("secret of ada@example.com")

    services.answers["GetTenant"] = fail
    answer = client.get("/v1/tenants/acme", headers=auth)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert error(answer)["details"][0]["metadata"]["error_id"]
    monkeypatch.setattr("gateway.transcoder.endpoint.write_message", fail)
    services.answers.pop("GetTenant")
    answer = client.get("/v1/tenants/acme", headers=auth)
    assert (answer.status_code, "secret" in answer.text, reason(answer)) == (500, False, "INTERNAL")


def test_an_unchanged_resource_is_not_sent_again(client, services, auth):
    services.answers["GetTenant"] = lambda request: tenant_pb2.Tenant(name=request.name, etag='"5"')
    first = client.get("/v1/tenants/acme", headers=auth)
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get("/v1/tenants/acme", headers={**auth, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", '"5"')
    assert client.get("/v1/tenants/acme", headers={**auth, "If-None-Match": '"4"'}).status_code == 200


def test_if_match_becomes_the_etag_of_the_request(client, services, auth):
    headers = {**auth, "If-Match": '"3"'}
    client.delete("/v1/roles/agent", headers=headers)
    assert services.requests("DeleteRole")[0].etag == '"3"'
    client.patch("/v1/roles/agent", json={"displayName": "A", "etag": '"3"'}, headers=headers)
    assert services.requests("UpdateRole")[0].role.etag == '"3"'
    differs = client.patch("/v1/roles/agent", json={"etag": '"4"'}, headers=headers)
    assert (differs.status_code, reason(differs)) == (400, "INVALID_IF_MATCH")
    useless = client.get("/v1/roles/agent", headers=headers)
    assert (useless.status_code, reason(useless)) == (400, "UNEXPECTED_IF_MATCH")


def test_the_idempotency_key_is_the_request_id(client, services, auth):
    customer = {"displayName": "Ada"}
    known = str(uuid.uuid4())
    answer = client.post("/v1/customers", json=customer, headers={**auth, "Idempotency-Key": known})
    assert answer.headers["Idempotency-Key"] == known
    for _ in range(2):
        answer = client.post("/v1/customers", json=customer, headers={**auth, "Idempotency-Key": "order 17"})
        assert answer.headers["Idempotency-Key"] == "order 17"
    made = client.post("/v1/customers", json=customer, headers=auth).headers["Idempotency-Key"]
    in_query = client.post(f"/v1/customers?requestId={known}", json=customer, headers=auth)
    assert in_query.headers["Idempotency-Key"] == known
    ids = [request.request_id for request in services.requests("CreateCustomer")]
    assert ids[0] == known == ids[4]
    assert ids[1] == ids[2] != known
    assert ids[3] == made
    uuid.UUID(ids[1])
    both = client.post("/v1/customers?requestId=x", json=customer, headers={**auth, "Idempotency-Key": "y"})
    assert (both.status_code, reason(both)) == (400, "INVALID_IDEMPOTENCY_KEY")
    for bad in ("k" * 256, "", "k\xfc"):
        assert client.post("/v1/customers", json=customer, headers={**auth, "Idempotency-Key": bad}).status_code == 400
    broken = client.post("/v1/customers:x", query_string={"requestId": "a\r\nb"}, headers=auth)
    assert broken.status_code == 404
    broken = client.post("/v1/customers", query_string={"requestId": "a\r\nSet-Cookie: b"}, json={}, headers=auth)
    assert broken.status_code == 400


def test_who_has_written_reads_by_the_token_of_the_answer(client, services, auth):
    wrote = Written("e1", "rapport.identity.v1.CustomerCreated", "customers/c", 1, 0)

    def create(_request):
        consistency.note([wrote])
        return customer_pb2.Customer(name="customers/c")

    services.answers["CreateCustomer"] = create
    token = client.post("/v1/customers", json={}, headers=auth).headers["X-Consistency-Token"]
    with tenancy.service_context("acme"):
        assert consistency.events_of(token) == [wrote]
    read = client.get("/v1/customers/c:agentView", headers={**auth, "X-Consistency-Token": token})
    assert services.metadata("ViewCustomer")["x-consistency-token"] == token
    assert not {"X-Stale", "X-Consistency-Token"} & set(read.headers.keys())
    services.beside["ViewCustomer"] = (("x-stale", "true"),)
    assert client.get("/v1/customers/c:agentView", headers=auth).headers["X-Stale"] == "true"
    for malformed in ("a b", "x" * 9000, ""):
        refused = client.get("/v1/customers/c:agentView", headers={**auth, "X-Consistency-Token": malformed})
        assert (refused.status_code, reason(refused)) == (400, "INVALID_CONSISTENCY_TOKEN")


def test_the_time_limit_and_the_trace_reach_the_service(client, services, auth):
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {**auth, "X-Rapport-Timeout": "3", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = client.get("/v1/tenants/acme", headers={**headers, "baggage": "email=ada"})
    assert answer.headers["X-Trace-Id"] == trace
    metadata = services.metadata("GetTenant")
    assert trace in metadata["traceparent"]
    assert "baggage" not in metadata
    assert 2 < metadata["remaining"] < 3.5
    client.get("/v1/tenants/acme", headers={**auth, "X-Rapport-Timeout": "500"})
    assert 28 < services.metadata("GetTenant")["remaining"] < 30.5
    assert client.get("/v1/tenants/acme", headers={**auth, "X-Rapport-Timeout": "soon"}).status_code == 400


def test_a_call_that_takes_too_long_is_answered_in_time(client, services, auth):
    released = threading.Event()

    def wait(_):
        released.wait(5)
        return tenant_pb2.Tenant()

    services.answers["GetTenant"] = wait
    answer = client.get("/v1/tenants/acme", headers={**auth, "X-Rapport-Timeout": "0.2"})
    released.set()
    assert (answer.status_code, reason(answer)) == (504, "DEADLINE_EXCEEDED")


def test_free_text_and_lists_come_back_as_they_went(client, services, auth):
    services.answers["ListCustomers"] = lambda _: identity_service_pb2.ListCustomersResponse(
        customers=[customer_pb2.Customer(display_name="Zoë 🜁")]
    )
    answer = client.get("/v1/customers", headers=auth)
    assert answer.json["customers"][0]["displayName"] == "Zoë 🜁"
    assert answer.json["nextPageToken"] == ""
    assert "Zoë".encode() in answer.data
    empty = client.get("/v1/roles", headers=auth)
    assert empty.json == {"roles": [], "nextPageToken": ""}
    assert client.delete("/v1/roles/agent", headers=auth).json == {}


def test_every_answer_carries_the_security_headers(client, auth):
    for path in ("/v1/customers", "/docs", "/healthz", "/nothing", "/c/x", "/openapi.json"):
        headers = client.get(path, headers=auth).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["X-Trace-Id"]


def test_the_access_log_holds_no_query_token_or_address(client, services, auth, caplog):
    caplog.set_level("INFO", logger="gateway.access")
    client.get("/v1/customers:lookup?kind=KIND_EMAIL&value=ada@example.com", headers=auth)
    client.get("/c/very-secret-token")
    lines = [json.dumps(vars(record), default=str) for record in caplog.records if record.name == "gateway.access"]
    assert len(lines) == 2
    assert '"http_route": "/v1/customers:lookup"' in lines[0]
    assert '"http_status": 200' in lines[0]
    assert '"http_route": "/c/<token>"' in lines[1]
    for line in lines:
        assert "ada@example.com" not in line
        assert "secret" not in line
        assert "127.0.0.1" not in line
        assert ALL not in line


def test_only_the_exchange_sees_the_outside_credential(client, services, auth):
    client.get("/v1/tenants/acme", headers={**auth, "X-Rapport-Tenant": "acme"})
    (exchanged,) = services.requests("ExchangeCredential")
    assert exchanged == access_service_pb2.ExchangeCredentialRequest(api_key=ALL, tenant="acme", audience="access")
    assert ALL not in str(services.metadata("GetTenant"))
