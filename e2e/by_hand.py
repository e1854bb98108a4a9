"""Calls that cannot be made up from the contracts: public links, the platform's own, and what takes data to succeed."""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import requests

from e2e import tenants
from e2e.demo.api import Api, Json, wait_for
from e2e.platform import Platform

Answer = tuple[str, requests.Response]
"""The operation's id in the OpenAPI document, and what it answered."""

_ACTIVE_PEOPLE, _ACTIVE_DAYS = 34, 60
"""As many as send times are learned and tested from."""
_MOST_EVENTS = 500
"""Of a batch."""


def answers(platform: Platform, tenant: tenants.Tenant, names: dict[str, str]) -> Iterator[Answer]:
    """Makes the calls, in a tenant that `seeds.plant` made `names` in."""
    yield from _of_tenants(platform, tenant)
    yield from _collected(platform, tenant)
    yield from _held_out(tenant)
    yield from _scored(tenant, names)
    yield from _opened(platform, tenant, names)


def _of_tenants(platform: Platform, tenant: tenants.Tenant) -> Iterator[Answer]:
    owner = Api(platform.gateway, platform.bootstrap_key)
    body = {"displayName": "Another", "settings": tenants.SETTINGS}
    yield "CreateTenant", owner.send("POST", "/v1/tenants", body, {"tenantId": f"made-{uuid.uuid4().hex[:8]}"})
    yield "ListTenants", owner.send("GET", "/v1/tenants", query={"pageSize": 1})
    yield "CreateCustomer", tenant.api.send("POST", "/v1/customers", {"displayName": "Somebody"})


def _collected(platform: Platform, tenant: tenants.Tenant) -> Iterator[Answer]:
    """As Segment's clients send events."""
    event = {"userId": "u-collected"}
    calls: dict[str, Json] = {
        "identify": event | {"traits": {"plan": "pro"}},
        "track": event | {"event": "Looked"},
        "page": event | {"name": "Home"},
        "screen": event | {"name": "Home"},
        "group": event | {"groupId": "g-1"},
        "alias": event | {"previousId": "u-before"},
        "batch": {"batch": [event | {"type": "track", "event": "Looked"}]},
    }
    for kind, body in calls.items():
        yield (
            f"collect{kind.title()}",
            requests.post(f"{platform.gateway}/v1/{kind}", json=body, auth=(tenant.write_keys["shop"], ""), timeout=60),
        )


def _held_out(tenant: tenants.Tenant) -> Iterator[Answer]:
    """What a journey brought that somebody has entered, of whom it holds some out."""
    api = tenant.api
    journey = {
        "displayName": "Held out",
        "trigger": {"event": "Cart Left"},
        "steps": [{"id": "end", "end": {}}],
        "holdoutPercent": 50,
    }
    name = api.post("/v1/journeys", journey, journeyId="held-out")["name"]
    api.post(f"/v1/{name}:activate")
    _ingest(api, [_event("u-1", "Cart Left")])

    wait_for(lambda: api.send("GET", f"/v1/{name}/effect").ok, "the effect of the journey", timeout=30)
    yield "GetJourneyEffect", api.send("GET", f"/v1/{name}/effect")
    yield "GetJourneyEffectCard", api.send("GET", f"/v1/{name}/effect:card")


def _scored(tenant: tenants.Tenant, names: dict[str, str]) -> Iterator[Answer]:
    """Offers, send times and models of jobs that have enough to learn from, or say that they have not."""
    api, now = tenant.api, datetime.now(UTC)
    bought = _event("u-3", "Order Completed") | {
        "properties": {"revenue": 5, "products": [{"product_id": "tent", "quantity": 1, "price": 5}]}
    }
    active = [
        _event(f"u-active-{person}", "Looked") | {"eventTime": (now - timedelta(days=day, hours=1)).isoformat()}
        for person in range(_ACTIVE_PEOPLE)
        for day in range(1, _ACTIVE_DAYS, 2)
    ]
    events = [bought, *active]
    for begin in range(0, len(events), _MOST_EVENTS):
        _ingest(api, events[begin : begin + _MOST_EVENTS])
    customer = names["customers/scores"].removesuffix("/scores")
    _job(api, kind="KIND_NEXT_OFFER")
    yield "GetCustomerOffers", api.send("GET", f"/v1/{customer}/offers")
    _job(api, kind="KIND_SEND_TIME")
    regular = api.get("/v1/customers:lookup", kind="KIND_USER_ID", source="shop", value="u-active-0")["name"]
    yield "GetCustomerSendTime", api.send("GET", f"/v1/{regular}/sendTime")
    _job(api)
    champion = api.get("/v1/models", filter="state = STATE_CHAMPION AND kind = KIND_LIFETIME_VALUE")["models"][0]
    yield "RollBackModel", api.send("POST", f"/v1/{champion['name']}:rollBack", {})
    yield "CancelScoringJob", _cancelled(api)


def _job(api: Api, **body: str) -> None:
    """Starts a job, and waits until it has succeeded."""
    name = api.post("/v1/scoringJobs", body)["name"]
    job = _ended(api, name)
    assert job["state"] == "STATE_SUCCEEDED", job["message"]


def _ended(api: Api, name: str) -> Json:
    wait_for(lambda: "endTime" in api.get(f"/v1/{name}"), "the job ended", timeout=120)
    return api.get(f"/v1/{name}")


def _cancelled(api: Api) -> requests.Response:
    """What cancelling a job was answered, which has ended by itself five times running if it is a refusal."""
    for _ in range(5):
        name = api.post("/v1/scoringJobs", {})["name"]
        answer = api.send("POST", f"/v1/{name}:cancel", {})
        _ended(api, name)
        if answer.ok:
            break
    return answer


def _opened(platform: Platform, tenant: tenants.Tenant, names: dict[str, str]) -> Iterator[Answer]:
    """What stands behind the links and the picture of mails that arrived: nobody needs a key for it."""
    anybody = Api(platform.gateway, None)
    address = f"reader@{tenant.id}.example.org"
    purpose = tenants.create_purpose(tenant.api, "double", double_opt_in=True)
    body = {"customer": names["customers"], "purpose": purpose, "email": address, "evidence": {"method": "METHOD_FORM"}}
    yield "RequestOptIn", tenant.api.send("POST", "/v1/consents:requestOptIn", body)
    token = _token(platform, address, "c")
    yield "ViewOptIn", anybody.send("GET", "/v1/optIns:view", query={"token": token})
    yield "ConfirmOptIn", anybody.send("POST", "/v1/optIns:confirm", {"token": token})
    reader = tenant.api.get(f"/v1/{names['customers']}")["email"]
    yield "FollowLink", anybody.send("POST", "/v1/links:follow", {"token": _token(platform, reader, "l")})
    yield "RecordOpen", anybody.send("POST", "/v1/links:recordOpen", {"token": _token(platform, reader, "o")})
    token = _token(platform, reader, "u")
    yield "ViewUnsubscribe", anybody.send("GET", "/v1/unsubscriptions:view", query={"token": token})
    yield "Unsubscribe", anybody.send("POST", "/v1/unsubscriptions:confirm", {"token": token})


def _token(platform: Platform, address: str, of: str) -> str:
    """What the newest mail to somebody has in a link below `/{of}/`."""

    def found() -> str:
        mails = requests.get(f"{platform.mails}/mails", params={"limit": 10000}, timeout=30).json()["mails"]
        for mail in (mail for mail in reversed(mails) if mail["to"][0].lower() == address):
            told = requests.get(f"{platform.mails}/mails/{mail['id']}", timeout=30).text
            if link := re.search(rf"https?://[^/\s]+/{of}/([\w-]+)", told):
                return link.group(1)
        return ""

    return wait_for(found, f"a mail with a link below /{of}/", timeout=30)


def _event(user: str, event: str) -> Json:
    return {"messageId": uuid.uuid4().hex, "kind": "KIND_TRACK", "userId": user, "event": event}


def _ingest(api: Api, events: list[Json]) -> None:
    batch = api.post("/v1/events:ingest", {"source": "shop", "events": events})
    assert not batch.get("rejectedEvents"), batch
    name = batch["ingestionBatch"]
    wait_for(lambda: api.get(f"/v1/{name}")["state"] == "STATE_APPLIED", "the batch applied", timeout=60)
