"""Leads as sales made them train a model, and a new one has its score in sales, with reasons in scoring, at once."""

import random
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
import requests

from e2e import business_clock, tenants
from e2e.demo.api import Api, Json, wait_for
from e2e.documented import Document
from e2e.platform import Platform

pytestmark = pytest.mark.timeout(400)  # The job program loads what trains.
LEARNED, TESTED = 160, 80
"""Leads of four months ago and of two: a model is tested on the newest 30 %, and learns from what was known by then."""
BUSY = (requests.codes.too_many_requests, requests.codes.service_unavailable, requests.codes.gateway_timeout)
DAYS_AGO = {120: LEARNED, 60: TESTED}
SHORT = "Please call me back."
LONG = "We compare suppliers for our four shops and would like to see your terms for jackets. " * 5
"""What decides: both are a message to the rules that give points."""


@pytest.fixture
def desk(platform: Platform) -> tenants.Tenant:
    """A tenant that may profile, whose leads of long messages were converted, most of them."""
    tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"leads-{uuid.uuid4().hex[:8]}")
    for days, number in DAYS_AGO.items():
        instant = datetime.now(UTC) - timedelta(days=days)
        with business_clock.standing_at(instant, platform.clock_file):
            wait_for(lambda instant=instant: _apart(tenant.api, instant) < 60, "sales sees the clock moved", pause=0.1)
            with ThreadPoolExecutor(4) as callers:
                list(callers.map(lambda lead: _play(tenant.api, *lead), _leads(number, days)))
    wait_for(lambda: _apart(tenant.api, datetime.now(UTC)) < 60, "sales sees the clock moved back", pause=0.1)
    purpose = {"displayName": "Profiling", "legalBasis": "LEGAL_BASIS_LEGITIMATE_INTERESTS"}
    tenant.api.post("/v1/purposes", purpose | {"channels": ["CHANNEL_NONE"]}, purposeId="profiling")
    return tenant


def _apart(api: Api, instant: datetime) -> float:
    """Seconds between an instant and the business clock of sales."""
    made = api.post("/v1/accounts", {"displayName": "What time is it?"})["createTime"]
    return abs((datetime.fromisoformat(made) - instant).total_seconds())


def _leads(number: int, seed: int) -> Iterator[tuple[Json, bool]]:
    """Leads, and whether each is converted; a company, which gives points, has no part in it."""
    chance = random.Random(seed)
    for place in range(number):
        message = chance.choice([SHORT, LONG])
        company = {"companyName": f"Company {place}"} if chance.random() < 0.5 else {}
        lead = {"displayName": f"Lead {place}", "source": "SOURCE_WEB", "message": message, **company}
        yield lead, chance.random() < (0.85 if message is LONG else 0.1)


def _play(api: Api, lead: Json, converted: bool) -> None:
    made = _sent(api, "/v1/leads", lead)
    if converted:
        _sent(api, f"/v1/{made['name']}:convert", {})


def _sent(api: Api, path: str, body: Json) -> Json:
    """The answer; what came too late on a busy machine is asked again, and is one lead all the same."""
    key = {"Idempotency-Key": str(uuid.uuid4())}

    def answered() -> requests.Response | None:
        answer = api.send("POST", path, body, headers=key)
        if answer.status_code in BUSY:
            return None
        answer.raise_for_status()
        return answer

    found: Json = wait_for(answered, f"an answer of {path}", timeout=60).json()
    return found


def _known(platform: Platform, tenant: str) -> dict[str, int]:
    """How many leads scoring knows, and how many of them were converted."""
    with pymongo.MongoClient[dict[str, Any]](platform.mongodb_uri) as servers:
        leads = servers["scoring"]["leads"]
        return {
            "leads": leads.count_documents({"tenant": tenant}),
            "converted": leads.count_documents({"tenant": tenant, "convert_time": {"$exists": True}}),
        }


def test_a_new_lead_has_its_score_in_sales_and_its_reasons_in_scoring(
    platform: Platform, desk: tenants.Tenant, record_property: Any
) -> None:
    api = desk.api
    converted = sum(won for days, number in DAYS_AGO.items() for _, won in _leads(number, days))
    wanted = {"leads": LEARNED + TESTED, "converted": converted}
    wait_for(lambda: _known(platform, desk.id) == wanted, "scoring knows all leads", timeout=60)

    begin = time.monotonic()
    name = api.post("/v1/scoringJobs", {"kind": "KIND_LEAD_CONVERSION", "asOf": datetime.now(UTC).isoformat()})["name"]
    wait_for(lambda: "endTime" in api.get(f"/v1/{name}"), "the job has ended", timeout=120)
    record_property("lead_conversion_job_s", round(time.monotonic() - begin, 1))
    job = api.get(f"/v1/{name}")
    assert job["state"] == "STATE_SUCCEEDED", job["message"]
    (model,) = api.get("/v1/models", filter="state = STATE_CHAMPION")["models"]
    assert all(gate["passed"] for gate in model["gates"]), model["gates"]

    document = Document(platform.gateway)
    found = {}
    for message in (SHORT, LONG):
        lead = api.post("/v1/leads", {"displayName": "New", "source": "SOURCE_WEB", "message": message})
        assert "conversionProbability" not in lead
        begin = time.monotonic()
        scored = wait_for(
            lambda lead=lead: "conversionProbability" in (now := api.get(f"/v1/{lead['name']}")) and now,
            "a new lead has its score in sales within 5 s",
            timeout=5,
            pause=0.1,
        )
        record_property("new_lead_scored_in_sales_s", round(time.monotonic() - begin, 2))
        answers = {
            "GetLeadScore": api.send("GET", f"/v1/{lead['name']}/score"),
            "EvaluateLeadScore": api.send("POST", "/v1/leadScores:evaluate", {"leadScore": f"{lead['name']}/score"}),
        }
        for operation, answered in answers.items():
            document.note(operation, answered)
            assert answered.ok, answered.text
        score = answers["GetLeadScore"].json()
        assert score["probability"]["value"] == scored["conversionProbability"]
        assert (score["model"], score["basis"]) == (model["name"], "BASIS_PRECONTRACTUAL_REQUEST")
        found[message] = (scored["conversionProbability"], score["reasons"][0])
    assert found[SHORT][0] < 0.3 < 0.7 < found[LONG][0]
    assert {why["fact"] for _, why in found.values()} == {"message_length"}
    assert found[SHORT][1]["points"] < 0 < found[LONG][1]["points"]
