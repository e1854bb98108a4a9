"""A journey that holds people out, on the running platform: who gets its mail, what it brought, and the page of it."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import requests

from e2e import tenants
from e2e.demo.__main__ import clock_standing_at
from e2e.demo.api import Api, Json, wait_for
from e2e.platform import Platform

PEOPLE, AGREED = 260, 30
"""Most have not agreed to mails: they count in their group all the same."""
PERCENT = 50
BUY = {"GROUP_HELD_OUT": 0.2, "GROUP_TREATED": 0.5}
"""What is planted: 30 points."""
EFFECT = "/v1/journeys/come-back/effect"
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def shop(platform: Platform) -> tenants.Tenant:
    """A tenant whose people have left a cart; half of them are held out of the journey this triggers."""
    tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"effect-{uuid.uuid4().hex[:8]}")
    api = tenant.api
    purpose = tenants.create_purpose(api, "news", double_opt_in=False)
    contents = [{"languageCode": "en", "subject": "Your cart", "text": "It waits."}]
    template = api.post("/v1/templates", {"displayName": "Cart", "contents": contents}, templateId="cart")["name"]
    steps = [{"id": "mail", "send": {"template": template, "purpose": purpose}}, {"id": "end", "end": {}}]
    body = {"displayName": "Cart", "trigger": {"event": "Cart Left"}, "steps": steps, "holdoutPercent": PERCENT}
    journey = api.post("/v1/journeys", body, journeyId="come-back")["name"]
    api.post(f"/v1/{journey}:activate")
    _ingest(
        api, [_event(number, "KIND_IDENTIFY", traits={"email": _address(tenant, number)}) for number in range(PEOPLE)]
    )
    wait_for(lambda: len(_customers(api)) == PEOPLE, "everybody is known")
    evidence = {"purpose": purpose, "channel": "CHANNEL_EMAIL", "evidence": {"method": "METHOD_FORM"}}
    with ThreadPoolExecutor(4) as callers:
        granted = (customer["name"] for customer in _customers(api)[:AGREED])
        list(callers.map(lambda name: api.post("/v1/consents:grant", evidence | {"customer": name}), granted))
    _ingest(api, [_event(number, "KIND_TRACK", event="Cart Left") for number in range(PEOPLE)])
    wait_for(lambda: len(_messages(api)) == PEOPLE, "everybody has entered", pause=1.0)
    wait_for(lambda: not _waiting(api), "every message has come to its end")
    return tenant


def _event(number: int, kind: str, **fields: object) -> Json:
    return {"messageId": uuid.uuid4().hex, "kind": kind, "userId": f"u-{number}", **fields}


def _address(tenant: tenants.Tenant, number: int) -> str:
    return f"u{number}@{tenant.id}.example.org"


def _ingest(api: Api, events: list[Json]) -> None:
    api.post("/v1/events:ingest", {"source": "shop", "events": events})


def _customers(api: Api) -> list[Json]:
    return list(api.pages("/v1/customers", "customers"))


def _messages(api: Api) -> list[Json]:
    return list(api.pages("/v1/messages", "messages"))


def _waiting(api: Api) -> list[Json]:
    found: list[Json] = api.get("/v1/messages", filter="state = STATE_PENDING OR state = STATE_DEFERRED").get(
        "messages", []
    )
    return found


def test_nobody_held_out_gets_a_mail_and_the_planted_effect_is_found(shop: tenants.Tenant, platform: Platform) -> None:
    api = shop.api
    group = {
        entry["customer"]: entry["group"] for entry in api.pages("/v1/journeys/come-back/entries", "journeyEntries")
    }
    assert {*group.values()} == {*BUY}
    messages = _messages(api)
    sent = {message["customer"] for message in messages if message["state"] == "STATE_SENT"}
    held = {message["customer"] for message in messages if message["state"] == "STATE_HELD_OUT"}
    assert len(sent | held) == AGREED
    assert {group[name] for name in sent} == {"GROUP_TREATED"}
    assert {group[name] for name in held} == {"GROUP_HELD_OUT"}
    mails = requests.get(f"{platform.mails}/mails", params={"limit": 10_000}, timeout=30).json()["mails"]
    address = {customer["name"]: customer["email"] for customer in _customers(api)}
    reached = {recipient for mail in mails for recipient in mail["to"]}
    assert {name for name in group if address[name] in reached} == sent

    members = {key: sorted(name for name in group if group[name] == key) for key in BUY}
    buyers = [name for key, names in members.items() for name in names[: round(BUY[key] * len(names))]]
    places = {_address(shop, number): number for number in range(PEOPLE)}
    order = {"event": "Order Completed", "properties": {"revenue": 20}}
    _ingest(api, [_event(places[address[name]], "KIND_TRACK", **order) for name in buyers])
    expected = {key: sum(group[name] == key for name in buyers) for key in BUY}

    def measured() -> Json:
        found = api.get(EFFECT, windowDays=7)
        bought = {"GROUP_TREATED": found.get("treated"), "GROUP_HELD_OUT": found.get("heldOut")}
        told = {key: int((value or {}).get("purchaserCount", 0)) for key, value in bought.items()}
        return found if told == expected else {}

    assert api.get(EFFECT)["state"] in ("STATE_PENDING", "STATE_RUNNING")
    wait_for(lambda: api.get("/v1/purchases:summarize").get("purchaseCount") == str(len(buyers)), "all purchases known")
    found: Json = {}
    for days in (9, 12, 15):
        # Purchases may be taken in after it was computed; an hour later it is computed again.
        day = datetime.now(UTC).date() + timedelta(days=days)
        with clock_standing_at(day, platform.clock_file), suppress(TimeoutError):
            found = wait_for(measured, "everybody's purchases are in it", timeout=20)
            break
    share = found["purchaseShare"]
    assert share["value"] == pytest.approx(0.3, abs=0.01)
    assert share["low90"] < 0.3 < share["high90"]
    assert share["low90"] > 0
    assert found["heldOut"]["customerCount"] == str(len(members["GROUP_HELD_OUT"]))
    assert "points more bought within 7 days, 90 % between" in found["summary"]
    page = api.send("GET", f"{EFFECT}:card")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["Content-Security-Policy"]
    assert "<h1>Effect of journeys/come-back</h1>" in page.text
