"""Tenant B can neither read, list, merge, change nor infer what tenant A has: every RPC of the contracts is tried."""

import base64
import uuid
from collections import defaultdict

import pytest
import requests
from google.protobuf.descriptor import MethodDescriptor

from contracts import descriptors
from e2e import by_hand, calls, seeds, tenants
from e2e.demo.api import Json
from e2e.documented import Document
from e2e.platform import Platform
from e2e.tenants import Tenant

HOURS = [{"dayOfWeek": "FRIDAY", "start": {"hours": 9}, "end": {"hours": 17}}]
TARGETS = [{"priority": "PRIORITY_NORMAL", "firstResponse": "3600s", "resolution": "7200s"}]
STAGES = [{"id": "new", "displayName": "New", "probabilityPercent": 10}]
USD = {"currencyCode": "USD", "units": "1"}
EXTRA = {
    "CreateTenant": {"tenant.settings": tenants.SETTINGS},
    "UpdateTenant": {"tenant.settings": tenants.SETTINGS},
    "CreateRole": {"role.permissions": ["identity.customers.get"]},
    "UpdateRole": {"role.permissions": ["identity.customers.get"]},
    "CreateIssuer": {"issuer.issuerUri": "https://login.example.org", "issuer.jwks": seeds.JWKS},
    "UpdateIssuer": {"issuer.issuerUri": seeds.ISSUER_URI, "issuer.jwks": seeds.JWKS},
    "CreatePurpose": {"purpose.notice": {"texts": [{"languageCode": "en", "text": "We write to you."}]}},
    "LookupCustomer": {"kind": "KIND_EMAIL", "value": "1@example.org"},
    "IngestEvents": {"events": [{"messageId": "m-9", "kind": "KIND_TRACK", "userId": "u-9", "event": "Other"}]},
    "UpdateCustomer": {"customer.displayName": "Somebody"},
    "RequestOptIn": {"email": "somebody@example.org"},
    "AddNotice": {"notice.texts": [{"languageCode": "en", "text": "We write to you."}]},
    "CreateKey": {"key.kind": "KIND_API"},
    "CreateTemplate": {"template.contents": [{"languageCode": "en", "subject": "Hi", "text": "Hello."}]},
    "UpdateTemplate": {"template.contents": [{"languageCode": "en", "subject": "Hi", "text": "Hello."}]},
    "CreateJourney": {"journey.trigger": {"event": "Other"}, "journey.steps": [{"id": "end", "end": {}}]},
    "UpdateJourney": {"journey.trigger": {"event": "Other"}, "journey.steps": [{"id": "end", "end": {}}]},
    "CreateSuppression": {"suppression.email": "elsewhere@example.org"},
    "UpdateSendingPolicy": {"sendingPolicy.capMessages": 3},
    "CreateSegment": {"segment.expression": "p_alive > 0.5"},
    "UpdateSegment": {"segment.expression": "p_alive > 0.5"},
    "CreateOfferRule": {"offerRule.allProducts": True},
    "UpdateOfferRule": {"offerRule.displayName": "Others"},
    "CreateJobSchedule": {"jobSchedule.intervalHours": 2160},
    "UpdateJobSchedule": {"jobSchedule.displayName": "Others"},
    "ResolveFraudAlert": {"outcome": "STATE_DISMISSED"},
    "PreviewSegment": {"expression": "p_alive > 0.5"},
    "CreateErasureRequest": {"erasureRequest.customer": "customers/01890000-0000-7000-8000-000000000001"},
    "CreateInboundMail": {"inboundMail.raw": base64.b64encode(seeds.MAIL).decode()},
    "UpdateTicketMessage": {"ticketMessage.sentiment": {"label": "LABEL_NEUTRAL"}, "updateMask": "sentiment.label"},
    "CreateAgent": {"agent.principal": "principals/probe"},
    "CreateCalendar": {"calendar.timeZone": "Europe/Berlin", "calendar.hours": HOURS},
    "UpdateCalendar": {"calendar.timeZone": "Europe/Berlin", "calendar.hours": HOURS},
    "CreateSlaPolicy": {"slaPolicy.targets": TARGETS},
    "UpdateSlaPolicy": {"slaPolicy.targets": TARGETS},
    "UpdateContact": {"contact.displayName": "Somebody"},
    "CreateSalesRep": {"salesRep.principal": "principals/probe"},
    "UpdateSalesRep": {"salesRep.principal": "principals/probe"},
    "CreatePipeline": {"pipeline.stages": STAGES},
    "UpdatePipeline": {"pipeline.stages": STAGES},
    "UpdateOpportunity": {"opportunity.stage": "new"},
    "CreateOrder": {"order.amount": USD},
    "RefundOrder": {"amount": USD},
    "CreatePromise": {"promise.dueTime": "2100-01-01T00:00:00Z"},
    "UpdatePromise": {"promise.dueTime": "2100-01-01T00:00:00Z"},
}
ATTACHMENTS = "tickets/messages/attachments"
# `tenants/{id}` of one's own is the only name that differs by tenant and yet says so by itself.
NAMED = [method for method in calls.routed_methods() if method.name not in ("CreateTenant", "CreateCustomer")]
# What ends something comes last, and what brings it back after that.
ENDINGS = {"Conver": 1, "Disqua": 1, "Delete": 2, "UndoMe": 2, "Revoke": 2, "Undele": 3}
# What can end in one of two ways, or goes only while nothing uses it, is there twice.
OTHERWISE = {
    "DeleteAgent": "agents",
    "DeleteCalendar": "calendars",
    "DeletePipeline": "pipelines",
    "DeletePrincipal": "principals",
    "DeleteRole": "roles",
    "DeleteSegment": "segments",
    "DisqualifyLead": "leads",
    "LoseOpportunity": "opportunities",
    "CancelPromise": "promises",
    "DeleteSalesRep": "salesReps",
}
REFERRING = [
    method
    for method in NAMED
    if calls.build(method, defaultdict(lambda: "things/any"), EXTRA.get(method.name)).referenced
]


@pytest.fixture(scope="module")
def two(platform: Platform) -> tuple[Tenant, Tenant]:
    return tuple(
        tenants.create(platform.gateway, platform.bootstrap_key, f"walk-{side}-{uuid.uuid4().hex[:8]}")
        for side in ("a", "b")
    )


@pytest.fixture(scope="module")
def names(two: tuple[Tenant, Tenant]) -> dict[str, str]:
    """One resource of each kind in tenant A: collection -> name."""
    return seeds.plant(two[0])


def sent(tenant: Tenant, method: MethodDescriptor, names: dict[str, str]) -> requests.Response:
    """What a call by `tenant` that names `names` was answered."""
    call = calls.build(method, names, EXTRA.get(method.name))
    return tenant.api.send(call.verb, call.path, call.body, call.query)


def answer(tenant: Tenant, method: MethodDescriptor, names: dict[str, str]) -> tuple[int, str, str]:
    """Status, reason and message of such a call, the names themselves blanked out."""
    answered = sent(tenant, method, names)
    error: Json = {} if answered.ok else answered.json()["error"]
    message = error.get("message", "")
    # The longest first: one name may begin with another.
    for name in sorted(names.values(), key=len, reverse=True):
        message = message.replace(name, "NAME")
    reason = next((detail["reason"] for detail in error.get("details", []) if "reason" in detail), "")
    return answered.status_code, reason, message


def state_of(tenant: Tenant, names: dict[str, str]) -> dict[str, Json]:
    readable = {method.name.removeprefix("Get") for method in calls.routed_methods() if method.name.startswith("Get")}
    assert {"Customer", "Merge", "Purpose", "Consent", "Decision", "Role", "Key"} <= readable
    unread = ("customers#2", "consentRecords", "quarantinedEvents", "suppressions", "erasureRequests", "leads/score")
    unread += (ATTACHMENTS, "journeys/effect", "customers/offers", "customers/sendTime", "customers/features")
    found = {name: tenant.api.get(f"/v1/{name}") for collection, name in names.items() if collection not in unread}
    # What goes on by itself: clocks, and how old scores are.
    del found[names["tickets"]]["sla"], found[names["customers/scores"]]["age"]
    return found


@pytest.fixture(scope="module")
def left(two: tuple[Tenant, Tenant], names: dict[str, str]) -> dict[str, Json]:
    """What could be read of tenant A's resources after the last test that looked: nothing but tests changes them."""
    return state_of(two[0], names)


@pytest.mark.parametrize("method", REFERRING, ids=lambda method: method.name)
def test_what_is_anothers_looks_like_what_is_nowhere(
    two: tuple[Tenant, Tenant], names: dict[str, str], left: dict[str, Json], method: MethodDescriptor
) -> None:
    nowhere = {collection: calls.unknown_name(name) for collection, name in names.items()}
    theirs = answer(two[1], method, names)
    assert theirs == answer(two[1], method, nowhere)
    if calls.build(method, names, EXTRA.get(method.name)).verb != "GET":
        before = left.copy()
        left.update(state_of(two[0], names))
        assert left == before


@pytest.fixture(scope="module")
def stranger(platform: Platform) -> Tenant:
    """A tenant that was never told any name of the others', so that none can be in what it has itself."""
    return tenants.create(platform.gateway, platform.bootstrap_key, f"walk-c-{uuid.uuid4().hex[:8]}")


LISTS = [method for method in NAMED if method.name.startswith("List") and method not in REFERRING]


@pytest.mark.parametrize("method", LISTS, ids=lambda method: method.name)
def test_lists_hold_nothing_of_another_tenant(
    two: tuple[Tenant, Tenant], stranger: Tenant, names: dict[str, str], method: MethodDescriptor
) -> None:
    call = calls.build(method, names)
    own = two[0].api.send(call.verb, call.path, None, {"pageSize": 1})
    # Only the platform's own people may list tenants.
    assert own.status_code == (403 if method.name == "ListTenants" else 200)
    theirs = stranger.api.send(call.verb, call.path, None, {"pageSize": 1000})
    assert not any(f'"{name}"' in theirs.text for name in names.values() if not name.startswith("roles/"))
    token = own.json().get("nextPageToken")
    if token:
        reused = stranger.api.send(call.verb, call.path, None, {"pageSize": 1, "pageToken": token})
        assert reused.status_code == 400, "a page token works for the tenant it was made for only"


def test_an_identifier_of_another_tenant_is_found_by_nobody_else(
    two: tuple[Tenant, Tenant], names: dict[str, str]
) -> None:
    query = {"kind": "KIND_EMAIL", "value": "0@example.org"}
    assert two[0].api.send("GET", "/v1/customers:lookup", query=query).status_code == 200
    assert two[1].api.send("GET", "/v1/customers:lookup", query=query).status_code == 404
    taken_elsewhere = two[1].api.send("POST", "/v1/customers", {"email": "0@example.org"})
    assert taken_elsewhere.status_code == 200, "that the address is taken elsewhere must not show"


def test_what_happened_in_another_tenant_is_not_counted(two: tuple[Tenant, Tenant], names: dict[str, str]) -> None:
    own, theirs = (side.api.get("/v1/timelineEntries:summarize", event="Probe") for side in two)
    assert int(own["eventCount"]) == 1
    assert int(theirs.get("eventCount", 0)) == 0


def test_the_walk_reaches_every_service() -> None:
    assert {method.containing_service.full_name for method in NAMED} == {
        service.full_name for service in descriptors.services()
    }


def _otherwise(method: MethodDescriptor, names: dict[str, str]) -> dict[str, str]:
    collection = OTHERWISE.get(method.name)
    return {collection: names[f"{collection}#2"]} if collection else {}


def test_every_operation_succeeds_for_its_owner_as_documented(
    platform: Platform, two: tuple[Tenant, Tenant], names: dict[str, str]
) -> None:
    """The walk would prove nothing with calls that nobody could make."""
    document = Document(platform.gateway)
    refused: dict[str, str] = {}
    for operation, answered in by_hand.answers(platform, two[0], names):
        document.note(operation, answered)
        refused[operation] = answered.text
    for method in sorted(NAMED, key=lambda method: ENDINGS.get(method.name[:6], 0)):
        answered = sent(two[0], method, names | _otherwise(method, names))
        document.note(method.name, answered)
        refused.setdefault(method.name, answered.text)
    # It takes months of leads or purchases: `test_lead_scores` and `test_model_card` have them, and see these succeed.
    # Of responses, months of messages: scoring's own tests have them.
    late = {"GetLeadScore", "EvaluateLeadScore", "EvaluateChurnRisk", "EvaluateResponsePropensity"}
    missing = document.never_succeeded() - late
    assert not missing, "\n".join(f"{name}: {refused.get(name, 'never called')}" for name in sorted(missing))
