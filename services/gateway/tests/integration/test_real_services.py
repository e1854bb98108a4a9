"""The gateway in front of the real access, identity and ticketing services, on a real MongoDB."""

import base64
import os
import uuid
from contextlib import ExitStack
from email import policy
from email.message import EmailMessage

import pytest
from pymongo import MongoClient

from access.bootstrap_key import new_bootstrap_key
from chassis import client as chassis_client
from contracts import descriptors
from gateway.app import create_app
from gateway.transcoder.routes import all_routes
from testkit import eventually
from testkit.roles import RoleProcess

TENANT = {"displayName": "Acme", "settings": {"timeZone": "Europe/Berlin", "currencyCode": "EUR"}}


@pytest.fixture(scope="module")
def bootstrap_key():
    return new_bootstrap_key()


@pytest.fixture(scope="module")
def client(settings, settings_for, mongodb, amqp, bootstrap_key, tmp_path_factory):
    logs = tmp_path_factory.mktemp("services")
    upstreams = {}
    mails = {"mail_from": "Shop <help@shop.example>", "smtp_port": 1, "upstreams": upstreams}
    with ExitStack() as stack:
        database = stack.enter_context(MongoClient(mongodb))
        for service, role, more in (
            ("access", "serve", {"bootstrap_key": bootstrap_key}),
            ("identity", "serve", {}),
            ("ticketing", "serve", {}),
            ("ticketing", "run", mails),
        ):
            told = settings_for(service, role=role, **({} if service == "access" else more))
            if role == "serve":
                RoleProcess(settings_for(service, role="migrate", **more), logs / f"{service}-migrate.log").run()
                stack.callback(database.drop_database, told.database)
                upstreams[service] = f"127.0.0.1:{told.grpc_port}"
            process = RoleProcess(told, logs / f"{service}-{role}.log").start()
            stack.callback(process.stop)
            process.wait_ready()
        stack.callback(chassis_client.close_channels)
        yield create_app(settings.model_copy(update={"upstreams": upstreams, "credential_cache_s": 1.0})).test_client()


@pytest.fixture(scope="module")
def platform(bootstrap_key):
    return {"Authorization": f"Bearer {bootstrap_key}"}


def post(client, path, body, headers, status=200):
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


@pytest.fixture(scope="module")
def acme(client, platform):
    """A tenant; the headers of its admin, and of a principal without roles."""
    post(client, "/v1/tenants?tenantId=acme", TENANT, platform)
    inside = {**platform, "X-Rapport-Tenant": "acme"}

    def key(roles):
        principal = post(client, "/v1/principals", {"displayName": "Somebody", "roles": roles}, inside).json["name"]
        body = {"kind": "KIND_API", "principal": principal, "displayName": "a key"}
        return {"Authorization": f"Bearer {post(client, '/v1/keys', body, inside).json['secret']}"}

    return {"admin": key(["roles/admin"]), "nobody": key([])}


def test_every_permission_is_asked_for_by_the_service_itself(client, acme):
    for route in all_routes():
        if route.service not in ("access", "identity", "ticketing"):
            continue
        path = "/" + "/".join(str(uuid.uuid4()) if part == "*" else part for part in route.template.segments)
        path += f":{route.template.verb}" if route.template.verb else ""
        answer = client.open(path, method=route.http_method, json={} if route.body else None, headers=acme["nobody"])
        assert answer.status_code == 403, (route.rpc.name, answer.text)
        assert descriptors.rule(route.rpc).permission


def test_a_customer_lives_through_http(client, acme):
    admin = acme["admin"]
    key = {"Idempotency-Key": "first-customer"}
    made = post(client, "/v1/customers", {"displayName": "Ada", "email": "Ada@Example.com"}, {**admin, **key})
    again = post(client, "/v1/customers", {"displayName": "Ada", "email": "Ada@Example.com"}, {**admin, **key})
    assert again.json["name"] == made.json["name"]
    other = client.post("/v1/customers", json={"displayName": "Bob"}, headers={**admin, **key})
    assert (other.status_code, other.json["error"]["status"]) == (409, "ALREADY_EXISTS")
    path = f"/v1/{made.json['name']}"
    read = client.get(path, headers=admin)
    assert read.headers["ETag"] == made.headers["ETag"]
    assert client.get(path, headers={**admin, "If-None-Match": read.headers["ETag"]}).status_code == 304
    changed = client.patch(path, json={"givenName": "Ada"}, headers={**admin, "If-Match": read.headers["ETag"]})
    assert changed.status_code == 200
    late = client.patch(path, json={"givenName": "Eve"}, headers={**admin, "If-Match": read.headers["ETag"]})
    assert (late.status_code, late.json["error"]["status"]) == (409, "ABORTED")
    found = client.get("/v1/customers:lookup?kind=KIND_EMAIL&value=ada@example.com", headers=admin)
    assert found.json["name"] == made.json["name"]
    missing = client.get(f"/v1/customers/{uuid.uuid4()}", headers=admin)
    assert (missing.status_code, missing.json["error"]["details"][0]["domain"]) == (404, "identity.rapport")
    negative = client.get("/v1/customers?pageSize=-1", headers=admin)
    assert (negative.status_code, negative.json["error"]["details"][1]["fieldViolations"][0]["field"]) == (
        400,
        "page_size",
    )


def test_events_arrive_under_the_write_keys_source(client, acme):
    write_key = post(client, "/v1/keys", {"kind": "KIND_WRITE", "source": "shop"}, acme["admin"]).json["secret"]
    basic = {"Authorization": "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()}
    batch = [
        "no event",
        {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1", "properties": {"total": 5}},
        {"type": "track", "event": "Nobody", "messageId": "m-2"},
        {"type": "track", "userId": "u-1", "event": "Large", "properties": {"a": "x" * 40_000}, "messageId": "m-3"},
    ]
    answer = post(client, "/v1/batch", {"batch": batch}, basic)
    assert [(item["index"], item["messageId"]) for item in answer.json["rejected"]] == [(0, ""), (2, "m-2"), (3, "m-3")]
    assert answer.json["rejected"][2]["reason"] == "EVENT_TOO_LARGE"
    kept = client.get("/v1/quarantinedEvents", headers=acme["admin"]).json["quarantinedEvents"]
    assert {event["messageId"] for event in kept} == {"", "m-2", "m-3"}
    assert {event["source"] for event in kept} == {"shop"}
    assert client.get("/v1/customers", headers={"Authorization": f"Bearer {write_key}"}).status_code in (401, 403)
    own_key = acme["admin"]["Authorization"].removeprefix("Bearer ")
    as_user = {"Authorization": "Basic " + base64.b64encode(f"{own_key}:".encode()).decode()}
    assert client.post("/v1/track", json=batch[1], headers=as_user).status_code == 401


def test_a_revoked_key_is_refused_within_its_time(client, acme):
    body = {"kind": "KIND_WRITE", "source": "app"}
    made = post(client, "/v1/keys", body, acme["admin"]).json
    headers = {"Authorization": "Basic " + base64.b64encode(f"{made['secret']}:".encode()).decode()}
    assert client.post("/v1/batch", json={"batch": []}, headers=headers).status_code == 200
    post(client, f"/v1/{made['name']}:revoke", {}, acme["admin"])
    eventually(
        lambda: client.post("/v1/batch", json={"batch": []}, headers=headers).status_code == 401, 10, "it is refused"
    )
    assert not client.get(f"/v1/{made['name']}", headers=acme["admin"]).json["secret"]


def test_a_large_mail_becomes_a_ticket_and_its_file_comes_out_again(client, acme):
    """9.5 MiB as received: a file of 6.9 MiB, whose base64 is itself sent as base64."""
    content = os.urandom(7_230_000)
    message = EmailMessage(policy.SMTP)
    message["From"], message["To"], message["Subject"] = "Ann <ann@example.com>", "help@shop.example", "Pictures"
    message.set_content("Here they are.")
    message.add_attachment(content, maintype="image", subtype="png", filename="Bär.png")
    raw = message.as_bytes()
    assert 9.4 < len(raw) / (1 << 20) < 9.6
    body = {"raw": base64.b64encode(raw).decode()}
    taken = post(client, "/v1/inboundMails", body, acme["admin"]).json

    def processed():
        found = client.get(f"/v1/{taken['name']}", headers=acme["admin"]).json
        return found if found["state"] == "STATE_PROCESSED" else None

    done = eventually(processed, 30, "the mail is in a ticket")
    (message_said,) = client.get(f"/v1/{done['ticket']}/messages", headers=acme["admin"]).json["ticketMessages"]
    (attachment,) = message_said["attachments"]
    assert attachment["name"] == done["attachments"][0]["name"]
    answer = client.get(f"/v1/{attachment['name']}:download", headers=acme["admin"], buffered=True)
    assert (answer.status_code, answer.data == content) == (200, True)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"].endswith("filename*=UTF-8''B%C3%A4r.png")
    gone = client.get(f"/v1/{done['ticketMessage']}/attachments/{'0' * 64}:download", headers=acme["admin"])
    assert (gone.status_code, gone.json["error"]["details"][0]["reason"]) == (404, "NOT_FOUND")
