"""The registry on the running platform, and a model's card through the gateway, in a real browser."""

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests

from e2e import tenants
from e2e.demo.api import Api, Json, wait_for
from e2e.documented import Document
from e2e.platform import Platform
from localrun import browser

CUSTOMERS, WEEKS, AT_A_TIME = 220, 60, 400
pytestmark = pytest.mark.timeout(400)  # Two jobs, each with a Ray of its own, and one of churn.
PASSED_ON = ("Content-Type", "Content-Security-Policy", "Content-Disposition", "X-Content-Type-Options")


@pytest.fixture(scope="module")
def shop(platform: Platform) -> Api:
    """A tenant whose customers differ in how often they buy, scored early, when too few are known, and now."""
    api = tenants.create(platform.gateway, platform.bootstrap_key, f"card-{uuid.uuid4().hex[:8]}").api
    now = datetime.now(UTC)
    events = list(_orders(now))
    for start in range(0, len(events), AT_A_TIME):
        api.post("/v1/events:ingest", {"source": "shop", "events": events[start : start + AT_A_TIME]})
    wait_for(
        lambda: int(api.get("/v1/purchases:summarize").get("purchaseCount", 0)) == len(events),
        "all purchases known",
        timeout=120,
    )
    purpose = {"displayName": "Profiling", "legalBasis": "LEGAL_BASIS_LEGITIMATE_INTERESTS"}
    api.post("/v1/purposes", purpose | {"channels": ["CHANNEL_NONE"]}, purposeId="profiling")
    for as_of in (now - timedelta(weeks=40), now):
        name = api.post("/v1/scoringJobs", {"asOf": as_of.isoformat()})["name"]
        wait_for(lambda name=name: "endTime" in api.get(f"/v1/{name}"), "the scoring job ended", timeout=180)
        job = api.get(f"/v1/{name}")
        assert job["state"] == "STATE_SUCCEEDED", job["message"]
    return api


def _orders(now: datetime) -> Iterator[Json]:
    chance = random.Random(11)
    for number in range(CUSTOMERS):
        gap = chance.choice([4.0, 12.0, 40.0])
        day = chance.uniform(0, 7 * WEEKS * 0.8)
        leaves = chance.choice([2, 6, 40])
        for order in range(leaves):
            if day >= 7 * WEEKS:
                break
            yield {
                "messageId": f"o-{number}-{order}",
                "kind": "KIND_TRACK",
                "userId": f"u-{number}",
                "event": "Order Completed",
                "eventTime": (now - timedelta(days=7 * WEEKS - day)).isoformat(),
                "properties": {"revenue": round(chance.uniform(10, 60), 2)},
            }
            day += chance.expovariate(1 / gap)


@pytest.fixture
def signed_in(shop: Api) -> Iterator[Callable[[str], str]]:
    """A path of the gateway as an address that a browser without a credential can open: this passes the key on."""

    class Passer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = requests.get(shop.url + self.path, headers=shop.headers, timeout=30)
            self.send_response(found.status_code)
            for name in PASSED_ON:
                if name in found.headers:
                    self.send_header(name, found.headers[name])
            self.end_headers()
            self.wfile.write(found.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield lambda path: f"http://127.0.0.1:{server.server_port}{path}"
    server.shutdown()
    thread.join()
    server.server_close()


def champion(api: Api) -> Json:
    of_values = "state = STATE_CHAMPION AND kind = KIND_LIFETIME_VALUE"
    found: list[Json] = api.get("/v1/models", filter=of_values)["models"]
    assert len(found) == 1
    return found[0]


def test_the_better_model_scores_and_the_one_before_is_held_against_what_happened(shop: Api) -> None:
    now = champion(shop)
    models = shop.pages("/v1/models", "models")
    refused, first = sorted((m for m in models if m["name"] != now["name"]), key=lambda model: int(model["version"]))
    assert (refused["state"], first["fallback"], first["state"]) == ("STATE_REJECTED", True, "STATE_RETIRED")
    assert {gate["name"] for gate in now["gates"]} == {
        *("minimum_data", "consenting_share", "baseline", "calibration", "spend", "revenue", "champion"),
    }
    assert all(gate["passed"] for gate in now["gates"])
    assert now["previousModel"] == first["name"]
    (outcome,) = first["outcomes"]
    assert outcome["weeks"] == 13
    assert {drift["feature"] for drift in first["drifts"]} >= {"frequency", "p_alive"}
    scores = next(shop.pages("/v1/customerScores", "customerScores"))
    assert scores["model"] == now["name"]


def test_a_card_is_shown_by_a_browser_and_runs_nothing(shop: Api, signed_in: Callable[[str], str]) -> None:
    path = f"/v1/{champion(shop)['name']}:card"
    answer = shop.send("GET", path)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    elements = browser.elements(signed_in(path), 500, 900)
    assert "<h1>Lifetime value model 3</h1>" in elements
    assert elements.count("</svg>") >= 4
    assert "Side by side" in elements
    picture = browser.picture(signed_in(path), 500, 4_000)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 100_000, "no empty page"
    text = shop.send("GET", path, query={"format": "markdown"})
    assert text.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert text.text.startswith("# Lifetime value model 3\n")
    refused = shop.send("GET", path, query={"format": "pdf"})
    assert (refused.status_code, "is none of html, markdown" in refused.text) == (400, True)


def test_people_take_a_model_back_and_promote_it_again(shop: Api) -> None:
    now = champion(shop)
    before = shop.post(f"/v1/{now['name']}:rollBack", {"reason": "To see"})
    assert (before["name"], before["state"]) == (now["previousModel"], "STATE_CHAMPION")
    assert shop.get(f"/v1/{now['name']}")["stateMessage"] == "Taken back by hand: To see."
    again = shop.post(f"/v1/{now['name']}:promote")
    assert (again["name"], champion(shop)["name"]) == (now["name"], now["name"])


def test_the_risk_of_leaving_is_told_and_what_it_would_be(shop: Api, platform: Platform) -> None:
    job = shop.post("/v1/scoringJobs", {"kind": "KIND_CHURN", "horizonWeeks": 6})["name"]
    wait_for(lambda: "endTime" in shop.get(f"/v1/{job}"), "the job of churn ended", timeout=180)
    scored = [each for each in shop.pages("/v1/customerScores", "customerScores") if "churnRisk" in each]
    assert scored, shop.get(f"/v1/{job}")["message"]
    document = Document(platform.gateway)

    def asked(**features: float) -> float:
        told = {"customerScores": scored[0]["name"], "features": features}
        answer = shop.send("POST", "/v1/customerScores:evaluateChurnRisk", told)
        document.note("EvaluateChurnRisk", answer)
        assert answer.ok, answer.text
        risk: Json = answer.json()
        assert risk["decision"]
        return float(risk["probability"]["value"])

    assert asked() == scored[0]["churnRisk"]["probability"]["value"]
    assert "EvaluateChurnRisk" not in document.never_succeeded()
    about = {"customerScores": scored[0]["name"]}
    for method, path in (
        ("EvaluateChurnRisk", "/v1/customerScores:evaluateChurnRisk"),
        ("EvaluateResponsePropensity", "/v1/customerScores:evaluateResponsePropensity"),
    ):
        unknown = shop.send("POST", path, about | {"features": {"luck": 1}})
        document.note(method, unknown)
        assert unknown.status_code == requests.codes.bad_request
        assert "features.luck" in unknown.text
        assert "days_since_last_purchase" in unknown.text, "what may be given"
    untold = shop.send("POST", "/v1/customerScores:evaluateResponsePropensity", about)
    document.note("EvaluateResponsePropensity", untold)
    assert untold.status_code == requests.codes.not_found
    assert "RESPONSE_NOT_KNOWN" in untold.text
