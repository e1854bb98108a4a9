"""Bad input gets a precise answer (AIP-193): status, reason, field, how to mend it. Nothing of it is applied."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from e2e import seeds
from e2e.demo.api import Api, Json, wait_for
from e2e.refusals import Case, World, assert_refused

GOOD = {"messageId": "good", "kind": "KIND_TRACK", "userId": "u-1", "event": "Good"}


def _consent(world: World, **changed: Any) -> requests.Response:
    body = {
        "customer": world.customer,
        "purpose": world.names["purposes"],
        "channel": "CHANNEL_EMAIL",
        "evidence": {"method": "METHOD_FORM"},
    }
    return world.post("/v1/consents:grant", body | changed)


def _patch(world: World, body: Json, mask: str = "", **headers: str) -> requests.Response:
    return world.patch(world.customer, body, mask, **headers)


def _raw(world: World, text: str) -> requests.Response:
    api = world.tenant.api
    headers = api.headers | {"Content-Type": "application/json"}
    return requests.post(f"{api.url}/v1/customers", data=text.encode(), headers=headers, timeout=30)


def _batch(world: World, events: list[Json]) -> requests.Response:
    key = world.tenant.write_keys["shop"]
    return requests.post(f"{world.tenant.api.url}/v1/batch", json={"batch": events}, auth=(key, ""), timeout=30)


def _tampered_page(world: World) -> requests.Response:
    token = world.get("/v1/customers", pageSize=1).json()["nextPageToken"]
    place = len(token) // 2
    other = "A" if token[place] != "A" else "B"
    return world.get("/v1/customers", pageSize=1, pageToken=token[:place] + other + token[place + 1 :])


def _page_of_another_question(world: World) -> requests.Response:
    token = world.get("/v1/customers", pageSize=1).json()["nextPageToken"]
    return world.get("/v1/customers", pageSize=1, pageToken=token, showDeleted="true")


def _page_of_another_list(world: World) -> requests.Response:
    token = world.get("/v1/customers", pageSize=1).json()["nextPageToken"]
    return world.get("/v1/consentRecords", pageSize=1, pageToken=token)


def _forged_token(world: World) -> requests.Response:
    """Says that it is of the tenant's own issuer, with its key id, signed with another key."""
    claims = {
        "iss": seeds.ISSUER_URI,
        "aud": "rapport",
        "sub": "root",
        "iat": datetime.now(UTC),
        "exp": datetime.now(UTC) + timedelta(minutes=5),
    }
    token = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "1"})
    return Api(world.tenant.api.url, token, world.tenant.id).send("POST", "/v1/customers", {"displayName": "X"})


def _forged_key(world: World) -> requests.Response:
    key = world.tenant.api.headers["Authorization"].removeprefix("Bearer ")
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    return Api(world.tenant.api.url, forged).send("POST", "/v1/customers", {"displayName": "X"})


CASES: list[Case] = [
    ("malformed JSON", lambda w: _raw(w, '{"email": "x@example.org",'), 400, "INVALID_JSON", "", "line 1, column"),
    ("unknown field", lambda w: w.post("/v1/customers", {"emial": "x@example.org"}), 400, "UNKNOWN_FIELD",
     "customer.emial", "did you mean email"),
    ("wrong type", lambda w: w.post("/v1/customers", {"displayName": "Ada", "email": 5}), 400, "INVALID_FIELD",
     "customer.email", "expected a string"),
    ("bad e-mail", lambda w: w.post("/v1/customers", {"displayName": "Ada", "email": "ada@"}), 400,
     "INVALID_CUSTOMER", "customer.email", "give one such as ada@example.com"),
    ("bad phone", lambda w: w.post("/v1/customers", {"displayName": "Ada", "phone": "12"}), 400,
     "INVALID_CUSTOMER", "customer.phone", "with its country code"),
    ("half an update", lambda w: _patch(w, {"displayName": "New", "phone": "12"}), 400, "INVALID_CUSTOMER",
     "customer.phone", "with its country code"),
    ("unknown enum", lambda w: _consent(w, channel="CHANNEL_PIGEON"), 400, "INVALID_FIELD", "channel",
     "expected one of CHANNEL_EMAIL"),
    ("negative page size", lambda w: w.get("/v1/customers", pageSize=-1), 400, "INVALID_FIELDS", "page_size",
     "negative|0 or more"),
    ("stale etag", lambda w: _patch(w, {"displayName": "New"}, If_Match='"0"'), 409, "ETAG_MISMATCH", "",
     "read it again"),
    ("merge with itself", lambda w: w.post(f"/v1/{w.customer}:merge", {"mergedCustomer": w.customer}), 400,
     "MERGE_WITH_ITSELF", "merged_customer", "name another customer"),
    ("unknown purpose", lambda w: _consent(w, purpose="purposes/nothing"), 404, "NOT_FOUND", "", "purposes/nothing"),
    ("501 events", lambda w: _batch(w, [{"type": "track", "userId": "u", "event": "Good"}] * 501), 400,
     "BATCH_TOO_LARGE", "batch", "at most 500 events; split"),
    ("501 events by the API", lambda w: w.post("/v1/events:ingest", {"source": "shop", "events": [GOOD] * 501}), 400,
     "INVALID_BATCH", "events", "1 to 500 events a batch.*split"),
    ("tampered page token", _tampered_page, 400, "INVALID_PAGE_TOKEN", "page_token", "next_page_token"),
    ("page token of other arguments", _page_of_another_question, 400, "INVALID_PAGE_TOKEN", "page_token", "unchanged"),
    ("page token of another list", _page_of_another_list, 400, "INVALID_PAGE_TOKEN", "page_token", "next_page_token"),
    ("mask of all and some", lambda w: _patch(w, {"displayName": "New"}, "*,displayName"), 400, "INVALID_UPDATE_MASK",
     "update_mask", "stands alone"),
    ("mask of an unknown field", lambda w: _patch(w, {"displayName": "New"}, "displayName,nickname"), 400,
     "INVALID_UPDATE_MASK", "update_mask", "writable are .*display_name"),
    ("mask of what the service sets", lambda w: _patch(w, {"displayName": "New"}, "displayName,createTime"), 400,
     "INVALID_UPDATE_MASK", "update_mask", "set by the service"),
    ("two names", lambda w: _patch(w, {"name": w.names["customers#2"], "displayName": "New"}), 400, "INVALID_FIELD",
     "customer.name", "leave it out of the body"),
    ("two etags", lambda w: _patch(w, {"displayName": "New", "etag": '"1"'}, If_Match='"2"'), 400, "INVALID_IF_MATCH",
     "customer.etag", "send one of them"),
    ("two request ids", lambda w: w.post("/v1/consents:grant", {"requestId": str(uuid.uuid4())}, Idempotency_Key="k"),
     400, "INVALID_IDEMPOTENCY_KEY", "request_id", "send one of them"),
    ("forged token", _forged_token, 401, "TOKEN_INVALID", "", "signature"),
    ("forged key", _forged_key, 401, "KEY_UNKNOWN", "", "key"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
@pytest.mark.usefixtures("unchanged")
def test_bad_input_is_refused_precisely_and_whole(world: World, case: Case) -> None:
    _name, send, status, reason, field, mend = case
    assert_refused(send(world), status, reason, field, mend)


def test_everything_wrong_is_told_at_once(world: World) -> None:
    answer = world.post("/v1/customers", {"email": "ada@", "phone": "12", "regionCode": "Atlantis"})
    violations = answer.json()["error"]["details"][1]["fieldViolations"]
    assert {violation["field"] for violation in violations} == {
        "customer.email",
        "customer.phone",
        "customer.region_code",
    }
    assert "Atlantis" not in answer.text


def test_a_repeat_with_another_body_is_refused_and_changes_nothing(world: World) -> None:
    key = str(uuid.uuid4())
    first = world.post("/v1/customers", {"displayName": "First"}, Idempotency_Key=key)
    before = world.stored()
    assert_refused(
        world.post("/v1/customers", {"displayName": "Second"}, Idempotency_Key=key),
        409, "REQUEST_ID_REUSED", "", "Idempotency-Key.*use a new one",
    )  # fmt: skip
    again = world.post("/v1/customers", {"displayName": "First"}, Idempotency_Key=key)
    assert again.json()["name"] == first.json()["name"]
    assert world.stored() == before


BAD_EVENTS = {
    "33 KB": ({"properties": {"text": "x" * 33 * 1024}}, "EVENT_TOO_LARGE", "", "32 KiB|32768"),
    "unknown currency": (
        {"event": "Order Completed", "properties": {"revenue": 5, "currency": "XQX"}},
        "UNKNOWN_CURRENCY",
        "properties.currency",
        "ISO 4217.*such as EUR",
    ),
}


@pytest.mark.parametrize("door", ["/v1/batch", "/v1/events:ingest"])
@pytest.mark.parametrize("kind", list(BAD_EVENTS))
def test_a_bad_event_is_quarantined_and_its_neighbours_go_in(world: World, kind: str, door: str) -> None:
    change, reason, field, mend = BAD_EVENTS[kind]
    name, order = f"Neighbour {uuid.uuid4().hex[:8]}", "Order Completed"
    orders = world.tenant.api.get("/v1/timelineEntries:summarize", event=order)
    segment = door == "/v1/batch"
    event = {"userId": "u-9", "event": name, **({"type": "track"} if segment else {"kind": "KIND_TRACK"})}
    events = [event | {"messageId": f"{name} {place}"} for place in range(3)]
    events[1] |= change
    answer = _batch(world, events) if segment else world.post(door, {"source": "shop", "events": events})
    assert answer.status_code == 200
    (rejected,) = answer.json()["rejected" if segment else "rejectedEvents"]
    assert (rejected["index"], rejected["reason"], rejected.get("field", "")) == (1, reason, field)
    assert re.search(mend, rejected["description"])
    query = {"filter": f'message_id = "{name} 1"'}
    (kept,) = world.tenant.api.get("/v1/quarantinedEvents", **query)["quarantinedEvents"]
    assert kept["reason"] == reason

    def arrived() -> bool:
        return int(world.tenant.api.get("/v1/timelineEntries:summarize", event=name).get("eventCount", 0)) >= 2

    wait_for(arrived, "the neighbours in the timeline", timeout=30)
    assert world.tenant.api.get("/v1/timelineEntries:summarize", event=name)["eventCount"] == "2"
    assert world.tenant.api.get("/v1/timelineEntries:summarize", event=order) == orders


def test_a_key_ends_when_it_says_even_for_who_used_it_a_moment_ago(world: World) -> None:
    api, ends = world.tenant.api, datetime.now(UTC) + timedelta(seconds=3)
    key = {"kind": "KIND_API", "principal": world.names["principals"], "expireTime": ends.isoformat()}
    made = api.post("/v1/keys", key)
    used = Api(api.url, made["secret"])
    assert used.send("GET", f"/v1/{world.customer}").status_code == 200
    wait_for(lambda: api.get(f"/v1/{made['name']}")["state"] == "STATE_EXPIRED", "the key expired", timeout=20)
    # The gateway keeps a grant for up to 15 s; what it was given for the key lives no longer than the key.
    answer = used.send("GET", f"/v1/{world.customer}")
    assert datetime.now(UTC) < ends + timedelta(seconds=8), "a kept grant could have ended by itself"
    assert_refused(answer, 401, "KEY_EXPIRED", "", "create another one")
    past = key | {"expireTime": (ends - timedelta(days=1)).isoformat()}
    assert_refused(world.post("/v1/keys", past), 400, "INVALID_FIELDS", "key.expire_time", "future|later")
