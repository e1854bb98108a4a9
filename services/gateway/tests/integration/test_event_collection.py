"""The Segment-shaped endpoints."""

import base64
import gzip
import json

import pytest
from rapport.identity.v1 import identity_service_pb2 as identity_pb2

WRITE = "rk.acme.write"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{WRITE}:".encode()).decode()}


@pytest.fixture(autouse=True)
def ingestion(services):
    """Rejects what the gateway could not read, and events without a user."""

    def ingest(request):
        unreadable = {event.index: event for event in request.unreadable_events}
        places = [index for index in range(len(request.events) + len(unreadable)) if index not in unreadable]
        rejected = [
            identity_pb2.RejectedEvent(index=index, message_id=event.message_id, reason="MISSING_ID", field="user_id")
            for index, event in zip(places, request.events, strict=True)
            if not event.user_id
        ]
        rejected += [
            identity_pb2.RejectedEvent(
                index=event.index, reason=event.reason, field=event.field, description=event.description
            )
            for event in request.unreadable_events
        ]
        return identity_pb2.IngestEventsResponse(rejected_events=sorted(rejected, key=lambda event: event.index))

    services.answers["IngestEvents"] = ingest


@pytest.mark.parametrize("kind", ["identify", "track", "page", "screen", "group", "alias"])
def test_takes_single_events(client, services, kind):
    answer = client.post(f"/v1/{kind}", json={"userId": "u-1", "messageId": "m-1", "type": "whatever"}, headers=BASIC)
    assert (answer.status_code, answer.json) == (200, {"success": True})
    (request,) = services.requests("IngestEvents")
    assert request.source == "shop"
    assert request.request_id
    (event,) = request.events
    assert event.Kind.Name(event.kind) == f"KIND_{kind.upper()}"
    assert (event.user_id, event.message_id) == ("u-1", "m-1")


def test_invalid_events_do_not_fail_a_batch(client, services):
    batch = [
        {"type": "track", "event": "A", "userId": "u-1", "messageId": "m-0"},
        "no event",
        {"type": "track", "event": "B", "messageId": "m-2"},
        {"type": "identify", "userId": "u-1", "timestamp": "tomorrow"},
        {"type": "identify", "userId": "u-1", "traits": {"a": "x" * 40_000}},
    ]
    answer = client.post("/v1/batch", json={"batch": batch}, headers=BASIC)
    assert answer.status_code == 200
    assert answer.json["success"] is True
    told = [(item["index"], item["messageId"], item["reason"], item["field"]) for item in answer.json["rejected"]]
    assert told == [
        (1, "", "INVALID_TYPE", ""),
        (2, "m-2", "MISSING_ID", "user_id"),
        (3, "", "INVALID_TIMESTAMP", "timestamp"),
        (4, "", "EVENT_TOO_LARGE", ""),
    ]
    (request,) = services.requests("IngestEvents")
    assert [event.message_id for event in request.events] == ["m-0", "m-2"]
    assert json.loads(request.unreadable_events[1].body) == batch[3]


def test_takes_packed_bodies_and_the_key_in_the_body(client, services):
    event = {"type": "track", "event": "A", "userId": "u-1", "writeKey": WRITE}
    packed = gzip.compress(json.dumps(event).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    assert client.post("/v1/track", data=packed, headers=headers).json == {"success": True}
    (request,) = services.requests("IngestEvents")
    assert "writeKey" not in request.events[0].context


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "INVALID_JSON"),
        (b"", 400, "INVALID_JSON"),
        (b"[]", 400, "INVALID_FIELD"),
        (b"{}", 400, "INVALID_FIELD"),
        (b'{"batch": {}}', 400, "INVALID_FIELD"),
        (json.dumps({"batch": [{}] * 501}).encode(), 400, "BATCH_TOO_LARGE"),
        (b'{"batch": ["' + b"x" * (1 << 20) + b'"]}', 413, "BODY_TOO_LARGE"),
    ],
)
def test_refuses_only_what_cannot_be_taken_apart(client, services, body, status, reason):
    answer = client.post("/v1/batch", data=body, content_type="application/json", headers=BASIC)
    assert answer.status_code == status
    assert answer.json["error"]["details"][0]["reason"] == reason
    assert services.requests("IngestEvents") == []


def test_asks_for_a_write_key(client, services):
    event = {"event": "A", "userId": "u-1"}
    assert client.post("/v1/track", json=event).status_code == 401
    assert client.post("/v1/track", json={**event, "writeKey": "rk.acme.wrong"}).status_code == 401
    assert client.post("/v1/track", json=event, headers={"Authorization": "Bearer rk.acme.all"}).status_code == 401
    as_api_key = base64.b64encode(b"rk.acme.all:").decode()
    assert client.post("/v1/track", json=event, headers={"Authorization": f"Basic {as_api_key}"}).status_code == 401
    assert services.requests("IngestEvents") == []


def test_what_a_stranger_sends_is_not_read(make_app, services):
    client = make_app(address_rate_per_s=0.01, address_rate_burst=2).test_client()
    stranger = {"Authorization": "Basic " + base64.b64encode(b"rk.acme.wrong:").decode()}
    for status in (401, 401, 429):
        assert client.post("/v1/batch", data=b"{", headers=stranger).status_code == status


def test_an_empty_batch_is_a_success_for_those_who_may(client, services):
    assert client.post("/v1/batch", json={"batch": []}, headers=BASIC).json == {"success": True}
    assert client.post("/v1/batch", json={"batch": []}).status_code == 401
    assert services.requests("IngestEvents") == []


def test_web_pages_of_allowed_origins_may_send(make_app, services):
    client = make_app(cors_origins=["https://shop.example"]).test_client()
    good = client.options("/v1/track", headers={"Origin": "https://shop.example"})
    assert good.status_code == 204
    assert good.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Authorization" in good.headers["Access-Control-Allow-Headers"]
    sent = client.post("/v1/track", json={"userId": "u"}, headers={**BASIC, "Origin": "https://shop.example"})
    assert sent.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    other = client.options("/v1/track", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Access-Control-Allow-Origin" not in client.options("/v1/customers").headers
    anyone = make_app().test_client().options("/v1/track", headers={"Origin": "https://evil.example"})
    assert anyone.headers["Access-Control-Allow-Origin"] == "*"
