"""Step 3: who objects to profiling is left out; all others get scores with reasons, and a segment follows from them."""

import random
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from e2e.demo.api import ApiError, Json, wait_for
from e2e.demo.collecting import bought_at
from e2e.demo.orders import Order
from e2e.demo.people import Person

if TYPE_CHECKING:
    from e2e.demo.story import Story

PURPOSE = "purposes/profiling"
OBJECTORS = 12
SEGMENT = "valuable-and-at-risk"
EXPRESSION = "lifetime_value > 100 AND p_alive < 0.5 AND frequency >= 2"
BOUGHT = "count('Order Completed') >= 1"
SHOWN = 5


class Scoring:
    """Objections, one scoring job, and what follows from it, against the file's own sums."""

    def __init__(self, story: "Story") -> None:
        self.story = story
        self.counted: list[Order] = []
        self.refused = 0
        self.objectors = random.Random(12).sample(story.people, min(OBJECTORS, len(story.people) // 2))

    def play(self) -> None:
        """Some object; a job scores the others; a segment is formed of the valuable who are about to be lost."""
        self._create_purpose()
        self.story.in_parallel("objections to profiling", self.objectors, self._object)
        self._purchases_known()
        job = self._score()
        self._count_orders(datetime.fromisoformat(job["asOf"]))
        self.story.report.check("3", "objectors left out by consent", self.refused, int(job.get("refusedCount", 0)))
        scores = {item["customer"]: item for item in self.story.api.pages("/v1/customerScores", "customerScores")}
        self._reconcile(scores)
        self._form_segment(scores)
        self._show_model(job["model"], scores)

    def _create_purpose(self) -> None:
        purpose = {
            "displayName": "Profiling",
            "legalBasis": "LEGAL_BASIS_LEGITIMATE_INTERESTS",
            "channels": ["CHANNEL_NONE"],
        }
        self.story.api.post("/v1/purposes", purpose, purposeId=PURPOSE.rpartition("/")[2])

    def _object(self, person: Person) -> None:
        body = {
            "customer": self.story.names[person.number],
            "purpose": PURPOSE,
            "channel": "CHANNEL_NONE",
            "evidence": {"method": "METHOD_FORM", "origin": "https://demo-shop.example/privacy"},
        }
        self.story.api.post("/v1/consents:withdraw", body)

    def _purchases_known(self) -> None:
        """Waits until scoring has heard of every purchase that identity knows, and of who is one person."""
        orders = self.story.file.orders
        # Who objects is in no segment, by any name.
        objecting = {person.number for person in self.objectors}
        buyers = len({order.customer for order in orders} - objecting)

        def known() -> bool:
            return int(self.story.api.get("/v1/purchases:summarize").get("purchaseCount", 0)) == len(orders)

        def merged() -> bool:
            bought = self.story.api.get("/v1/segments:preview", expression=BOUGHT)
            return int(bought.get("memberCount", 0)) == buyers

        wait_for(known, f"{len(orders)} purchases known to scoring")
        wait_for(merged, f"{buyers} buyers known to scoring, each once")

    def _score(self) -> Json:
        """Runs the job to its end, with its own progress as the bar."""
        job = self.story.api.post("/v1/scoringJobs", {})
        with self.story.report.progress("scoring", 100) as progress:

            def ended() -> Json:
                now = self.story.api.get(f"/v1/{job['name']}")
                progress.update(progress.task_ids[0], completed=now.get("progressPercent", 0))
                return now if "endTime" in now else {}

            done = wait_for(ended, f"{job['name']} ended", timeout=300)
        self.story.report.check("3", "scoring job", "STATE_SUCCEEDED", f"{done['state']}{_why(done)}")
        self.story.report.note("the job", done.get("message", ""))
        return done

    def _reconcile(self, scores: Mapping[str, Json]) -> None:
        """Scoring's own sums against the file's, less the objectors'."""
        report, summary = self.story.report, self.story.api.get("/v1/customerScores:summarize")
        kept = self.counted
        buyers = len({order.customer for order in kept})
        report.check("3", "customers scored", buyers, int(summary.get("customerCount", 0)))
        report.check("3", "purchases in scoring", len(kept), int(summary.get("purchaseCount", 0)))
        planted = sum((Decimal(order.amount) for order in kept), Decimal(0))
        found = {money["currencyCode"]: _amount(money) for money in summary.get("revenues", [])}
        report.check("3", "revenue in scoring", {kept[0].currency: f"{planted:.2f}"}, _shown(found))
        objecting = {self.story.names[person.number] for person in self.objectors}
        report.check("3", "objectors with scores", 0, len(objecting & scores.keys()))
        report.check("3", "status of an objector's scores", 404, self._status(min(objecting)))
        report.check("3", "scores without a reason", 0, sum(not item.get("reasons") for item in scores.values()))

    def _count_orders(self, as_of: datetime) -> None:
        """Notes the orders scores rest on: up to the instant, in the currency of most, no refunds, not of objectors."""
        orders = [order for order in self.story.file.orders if bought_at(order) <= as_of]
        objecting = {person.number for person in self.objectors}
        self.refused = len({order.customer for order in orders} & objecting)
        ((currency, _),) = Counter(order.currency for order in orders).most_common(1)
        self.counted = [
            order
            for order in orders
            if order.currency == currency and order.amount_minor >= 0 and order.customer not in objecting
        ]

    def _status(self, customer: str) -> int:
        try:
            self.story.api.get(f"/v1/{customer}/scores")
        except ApiError as error:
            return error.status
        return 200

    def _form_segment(self, scores: Mapping[str, Json]) -> None:
        """Previewed, created, and compared with what the listed scores say by themselves."""
        api, report = self.story.api, self.story.report
        wanted = {customer for customer, item in scores.items() if _matches(item)}
        preview = api.get("/v1/segments:preview", expression=EXPRESSION)
        report.check("3", f"{SEGMENT}: previewed", len(wanted), int(preview.get("memberCount", 0)))
        body = {"displayName": "Valuable and at risk", "expression": EXPRESSION}
        api.post("/v1/segments", body, segmentId=SEGMENT)

        def ready() -> Json:
            segment = api.get(f"/v1/segments/{SEGMENT}")
            return segment if segment["state"] == "STATE_READY" else {}

        segment = wait_for(ready, f"{SEGMENT} has its members")
        report.check("3", f"{SEGMENT}: members", len(wanted), int(segment.get("memberCount", 0)))
        members = list(api.pages(f"/v1/segments/{SEGMENT}/members", "members"))
        report.check("3", f"{SEGMENT}: the same as a recompute", True, {item["customer"] for item in members} == wanted)
        for member in members[:SHOWN]:
            item = member["scores"]
            value = _amount(item["lifetimeValue"]["value"])
            report.note(
                f"  {member['customer']}",
                f"worth {value:.2f}, alive {item['pAlive']['value']:.0%}: {'; '.join(item['reasons'])}",
            )

    def _show_model(self, name: str, scores: Mapping[str, Json]) -> None:
        model = self.story.api.get(f"/v1/{name}")
        for part in ("purchases", "spend"):
            parameters = dict(model.get("parameters", {}).get(part, {}))
            kind = parameters.pop("model", "?")
            self.story.report.note(f"model of {part}", f"{kind} {_rounded(parameters)}")
        holdout = model.get("metrics", {}).get("holdout") or {}
        figures = {name: value for name, value in holdout.items() if isinstance(value, float)}
        self.story.report.note("the model on weeks it had not seen", _rounded(figures) or "not enough data")
        if message := model.get("message"):
            self.story.report.note("about the model", message)
        alive = sum(item["pAlive"].get("value", 0) for item in scores.values()) / len(scores)
        self.story.report.note("customers still buying here, expected", f"{alive:.1%}")


def _matches(item: Json) -> bool:
    """The segment's expression, said again over a listed score."""
    value = _amount(item["lifetimeValue"]["value"])
    return value > 100 and item["pAlive"].get("value", 0) < 0.5 and int(item.get("frequency", 0)) >= 2


def _amount(money: Json) -> Decimal:
    return int(money.get("units", 0)) + Decimal(int(money.get("nanos", 0))).scaleb(-9)


def _shown(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: f"{amount:.2f}" for currency, amount in sorted(amounts.items())}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _why(job: Json) -> str:
    return "" if job["state"] == "STATE_SUCCEEDED" else f": {job.get('message', '')}"
