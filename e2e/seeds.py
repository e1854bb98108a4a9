"""One resource of each kind in a tenant, for tests that call every RPC."""

import base64

from e2e import tenants
from e2e.demo.api import Api, Json, wait_for

# The public key of RFC 8037, appendix A.2.
JWKS = (
    '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", '
    '"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
)
ISSUER_URI = "https://id.example.org"
MAIL = (
    b"From: probe@example.org\r\nTo: desk@example.com\r\nSubject: Probe\r\nMessage-ID: <probe@example.org>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n%PDF\r\n--b--\r\n"
)


def plant(tenant: tenants.Tenant) -> dict[str, str]:
    """Makes one resource of each kind: collection -> name; `customers#2` is a second customer.

    So are others with `#2`, of what can end in one of two ways, or goes only while nothing uses it.
    """
    api = tenant.api
    made = {"tenants": f"tenants/{tenant.id}"}
    first, second, third = (
        api.post("/v1/customers", {"email": f"{n}@example.org", "displayName": f"Person {n}"})["name"] for n in range(3)
    )
    made |= {"customers": first, "customers#2": third}
    made["merges"] = api.post(f"/v1/{first}:merge", {"mergedCustomer": second})["name"]
    made["roles"] = api.post("/v1/roles", {"permissions": ["identity.customers.get"]}, roleId="reader")["name"]
    made["roles#2"] = api.post("/v1/roles", {"permissions": ["identity.customers.get"]}, roleId="spare")["name"]
    made["principals"] = api.post("/v1/principals", {"displayName": "P", "roles": ["roles/reader"]})["name"]
    made["principals#2"] = api.post("/v1/principals", {"displayName": "Spare", "roles": ["roles/reader"]})["name"]
    made["keys"] = api.post("/v1/keys", {"kind": "KIND_API", "principal": made["principals"]})["name"]
    issuer = {"issuerUri": ISSUER_URI, "audience": "rapport", "jwks": JWKS}
    made["issuers"] = api.post("/v1/issuers", issuer)["name"]
    made["purposes"] = tenants.create_purpose(api, "news", double_opt_in=False)
    made |= _plan_message(api, made["purposes"])
    about = {"customer": first, "purpose": made["purposes"], "channel": "CHANNEL_EMAIL"}
    consent = api.post("/v1/consents:grant", about | {"evidence": {"method": "METHOD_FORM"}})
    made |= {"consents": consent["name"], "consentRecords": consent["consentRecord"]}
    made["decisions"] = api.post("/v1/consents:decide", about)["name"]
    made["messages"] = _message(api)
    return made | _ingest(api) | _pay(api) | _score(api) | _serve(api, first) | _sell(api, first) | _forget(api)


def _plan_message(api: Api, purpose: str) -> dict[str, str]:
    """A journey that writes to whoever agrees, and an address nobody writes to."""
    html = '<p><a href="https://shop.example.org/">Hello.</a></p>'
    contents = [{"languageCode": "en", "subject": "Welcome", "text": "Hello: https://shop.example.org/", "html": html}]
    template = api.post("/v1/templates", {"displayName": "Welcome", "contents": contents}, templateId="welcome")["name"]
    steps = [{"id": "mail", "send": {"template": template, "purpose": purpose}}, {"id": "end", "end": {}}]
    trigger = {"event": "rapport.consent.v1.ConsentGranted"}
    body = {"displayName": "Welcome", "trigger": trigger, "steps": steps}
    journey = api.post("/v1/journeys", body, journeyId="welcome")["name"]
    api.post(f"/v1/{journey}:activate")
    suppression = api.post("/v1/suppressions", {"email": "nobody@example.org", "reason": "REASON_COMPLAINT"})["name"]
    # It takes weeks of entries to have one: the name stands for a journey that holds nobody out.
    effect = {"journeys/effect": f"{journey}/effect"}
    return {"templates": template, "journeys": journey, "suppressions": suppression, **effect}


def _message(api: Api) -> str:
    """The name of the message the journey wrote, once it is sent."""

    def sent() -> str:
        found = api.get("/v1/messages").get("messages", [])
        return next((message["name"] for message in found if message["state"] == "STATE_SENT"), "")

    return wait_for(sent, "the message sent", timeout=30)


def _ingest(api: Api) -> dict[str, str]:
    good = {"messageId": "m-1", "kind": "KIND_TRACK", "userId": "u-1", "event": "Probe"}
    bad = good | {"messageId": "m-2", "userId": ""}
    batch = api.post("/v1/events:ingest", {"source": "shop", "events": [good, bad]})
    name = batch["ingestionBatch"]
    wait_for(lambda: api.get(f"/v1/{name}")["state"] == "STATE_APPLIED", "the batch applied", timeout=30)
    return {"ingestionBatches": name, "quarantinedEvents": batch["rejectedEvents"][0]["quarantinedEvent"]}


def _pay(api: Api) -> dict[str, str]:
    """An alert about somebody who paid in three ways within seconds."""
    paid = {"kind": "KIND_TRACK", "userId": "u-1", "event": "Payment Attempted"}
    ways = [{"messageId": f"pay-{n}", "properties": {"amount": 1, "payment_method_id": f"pm-{n}"}} for n in range(3)]
    api.post("/v1/events:ingest", {"source": "shop", "events": [paid | way for way in ways]})

    def alerts() -> list[Json]:
        found: list[Json] = api.get("/v1/fraudAlerts").get("fraudAlerts", [])
        return found

    return {"fraudAlerts": wait_for(alerts, "the alert about a payment", timeout=30)[0]["name"]}


def _score(api: Api) -> dict[str, str]:
    """Scores of one customer, who has bought something, and a segment."""
    order = {"messageId": "m-3", "kind": "KIND_TRACK", "userId": "u-3", "event": "Order Completed"}
    api.post("/v1/events:ingest", {"source": "shop", "events": [order | {"properties": {"revenue": 19.99}}]})
    wait_for(lambda: api.get("/v1/purchases:summarize").get("purchaseCount") == "1", "the purchase known", timeout=30)
    purpose = {"displayName": "Profiling", "legalBasis": "LEGAL_BASIS_LEGITIMATE_INTERESTS"}
    api.post("/v1/purposes", purpose | {"channels": ["CHANNEL_NONE"]}, purposeId="profiling")
    job = api.post("/v1/scoringJobs")["name"]
    wait_for(lambda: "endTime" in api.get(f"/v1/{job}"), "the scoring job ended", timeout=60)
    body = {"displayName": "Buyers", "expression": "purchases >= 1"}
    spare = api.post("/v1/segments", body, segmentId="spare")["name"]
    segment = api.post("/v1/segments", body, segmentId="buyers")["name"]
    rare = {"displayName": "Rarely", "intervalHours": 2160}
    schedule = api.post("/v1/jobSchedules", rare, jobScheduleId="rarely")["name"]
    rule = {"displayName": "Not sold", "productIds": ["probe"], "blocked": True}
    rule = api.post("/v1/offerRules", rule, offerRuleId="not-sold")["name"]
    wait_for(lambda: api.get(f"/v1/{segment}")["state"] == "STATE_READY", "the segment has its members", timeout=30)
    scores = next(api.pages("/v1/customerScores", "customerScores"))
    # It takes orders with products, and weeks of activity, to have one: the names stand for a customer who has none.
    offers = {f"customers/{what}": f"{scores['customer']}/{what}" for what in ("offers", "sendTime")}
    made = {"scoringJobs": job, "segments": segment, "models": scores["model"], "customers/scores": scores["name"]}
    made["customers/features"] = f"{scores['customer']}/features"
    return made | offers | {"segments#2": spare, "offerRules": rule, "jobSchedules": schedule}


def _serve(api: Api, customer: str) -> dict[str, str]:
    """A ticket of one customer, with what the service desk works by, and a mail that came in."""
    hours = [{"dayOfWeek": "MONDAY", "start": {"hours": 9}, "end": {"hours": 17}}]
    office = {"displayName": "Office", "timeZone": "Europe/Berlin", "hours": hours}
    calendar = api.post("/v1/calendars", office, calendarId="office")["name"]
    target = {"priority": "PRIORITY_NORMAL", "firstResponse": "3600s", "resolution": "7200s"}
    policy = {"displayName": "Standard", "calendar": calendar, "targets": [target], "warningPercent": 80}
    made = {"calendars": calendar, "slaPolicies": api.post("/v1/slaPolicies", policy, slaPolicyId="standard")["name"]}
    made["queues"] = api.post("/v1/queues", {"displayName": "Front"}, queueId="front")["name"]
    agent = {"displayName": "Agent", "capacity": 100, "available": True}
    made["agents"] = api.post("/v1/agents", agent, agentId="agent")["name"]
    ticket = api.post("/v1/tickets", {"subject": "Probe", "customer": customer})["name"]
    api.post(f"/v1/{ticket}/messages", {"author": "AUTHOR_INTERNAL", "text": "Probe"})
    raw = base64.b64encode(MAIL).decode()
    mail = api.post("/v1/inboundMails", {"raw": raw})["name"]
    settled = ("STATE_PROCESSED", "STATE_FAILED")
    wait_for(lambda: api.get(f"/v1/{mail}")["state"] in settled, "the mail processed", timeout=30)
    wait_for(lambda: all_assigned(api), "both tickets assigned", timeout=30)
    (message,) = api.get(f"/v1/{api.get(f'/v1/{mail}')['ticket']}/messages")["ticketMessages"]
    made |= {"tickets/messages": message["name"], "tickets/messages/attachments": message["attachments"][0]["name"]}
    made["calendars#2"] = api.post("/v1/calendars", office, calendarId="spare")["name"]
    made["agents#2"] = api.post("/v1/agents", agent | {"available": False}, agentId="spare")["name"]
    return made | {"tickets": ticket, "inboundMails": mail}


def all_assigned(api: Api) -> bool:
    """Whether every ticket has its agent, so that nothing changes by itself any more."""
    return all("agent" in ticket.get("assignment", {}) for ticket in api.pages("/v1/tickets", "tickets"))


def _sell(api: Api, customer: str) -> dict[str, str]:
    """An account with its contact, a lead, an opportunity, an order and a promise."""
    account = api.post("/v1/accounts", {"displayName": "Probe Ltd"})["name"]
    contact = api.post("/v1/contacts", {"displayName": "Contact", "account": account, "customer": customer})["name"]
    rep = {"displayName": "Rep", "principal": "principals/rep", "capacity": 10, "available": True}
    made = {"accounts": account, "contacts": contact}
    made["salesReps"] = api.post("/v1/salesReps", rep, salesRepId="rep")["name"]
    made["salesReps#2"] = api.post("/v1/salesReps", rep | {"capacity": 0}, salesRepId="idle-rep")["name"]
    lead = {"displayName": "Lead", "source": "SOURCE_WEB", "customer": customer}
    stages = [{"id": "new", "displayName": "New", "probabilityPercent": 10}]
    pipeline = {"displayName": "Pipeline", "stages": stages}
    made["pipelines#2"] = api.post("/v1/pipelines", pipeline, pipelineId="spare")["name"]
    made["pipelines"] = api.post("/v1/pipelines", pipeline, pipelineId="pipeline")["name"]
    amount = {"currencyCode": "USD", "units": "100"}
    deal = {"displayName": "Deal", "account": account, "pipeline": made["pipelines"], "stage": "new", "amount": amount}
    promise = {"customer": customer, "text": "Probe", "dueTime": "2100-01-01T00:00:00Z"}
    for number in ("", "#2"):
        made[f"leads{number}"] = api.post("/v1/leads", lead)["name"]
        made[f"opportunities{number}"] = api.post("/v1/opportunities", deal)["name"]
        made[f"promises{number}"] = api.post("/v1/promises", promise)["name"]
    # It takes months of leads to have one: the name stands for a lead that is not scored.
    made["leads/score"] = f"{made['leads']}/score"
    made["orders"] = api.post("/v1/orders", {"customer": customer, "amount": amount, "orderNumber": "P-1"})["name"]
    return made


def _forget(api: Api) -> dict[str, str]:
    """The erasure of a customer that nothing else is about."""
    customer = api.post("/v1/customers", {"displayName": "Somebody to forget"})["name"]
    body = {"customer": customer, "evidence": {"method": "METHOD_AGENT"}}
    return {"erasureRequests": api.post("/v1/erasureRequests", body)["name"]}
