"""Step 7: a web lead is scored, assigned, converted in one step, and won; something is promised on the way."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from e2e.demo.api import ApiError, Json

if TYPE_CHECKING:
    from e2e.demo.story import Story

PROMISE = "A new jacket, sent by express"
LEAD: Json = {
    "displayName": "Dana Whitfield",
    "companyName": "Whitfield Outdoor Ltd",
    "email": "dana@whitfield-outdoor.example",
    "phone": "+12125550143",
    "regionCode": "US",
    "languageCode": "en",
    "source": "SOURCE_WEB",
    "message": "We would like to order 200 jackets for our staff. Please call this week.",
    "employeeCount": 180,
    "budget": {"currencyCode": "USD", "units": "24000"},
}


class Selling:
    """Two sales reps, one lead, one deal."""

    def __init__(self, story: "Story") -> None:
        self.story = story

    def play(self) -> None:
        """From the web form to the deal."""
        api, report = self.story.api, self.story.report
        for rep, regions in (("rosa", ["US"]), ("sven", ["SE"])):
            body = {"principal": f"principals/{rep}", "displayName": rep.capitalize(), "regionCodes": regions}
            api.post("/v1/salesReps", body | {"capacity": 5, "available": True}, salesRepId=rep)
        lead = api.post("/v1/leads", LEAD)
        points = sum(reason["points"] for reason in lead["scoreReasons"])
        report.check("7", "the lead's score is the sum of its reasons", min(max(points, 0), 100), lead["score"])
        report.note("why the lead has that score", "; ".join(each["description"] for each in lead["scoreReasons"][:4]))
        assignment = lead["assignment"]
        report.check("7", "assigned to the rep of its country", "salesReps/rosa", assignment["salesRep"])
        report.note("why that rep", assignment["reason"])
        converted = api.post(f"/v1/{lead['name']}:convert")["conversion"]
        account, contact, opportunity = (
            api.get(f"/v1/{converted[kind]}") for kind in ("account", "contact", "opportunity")
        )
        report.check("7", "account", LEAD["companyName"], account["displayName"])
        report.check(
            "7", "contact", (LEAD["displayName"], account["name"]), (contact["displayName"], contact["account"])
        )
        report.check("7", "opportunity of that account", account["name"], opportunity["account"])
        amount = opportunity["amount"]
        report.check("7", "what it is worth", "24000 USD", f"{amount['units']} {amount['currencyCode']}")
        report.check("7", "converting it again", "LEAD_ALREADY_CONVERTED", self._refused(f"/v1/{lead['name']}:convert"))
        won = api.post(f"/v1/{opportunity['name']}:win")
        report.check("7", "the deal", "STATE_WON", won["state"])

    def promise(self, customer: str, now: datetime) -> None:
        """Promises something to a customer, due in two days of the business clock."""
        due = (now + timedelta(days=2)).isoformat()
        self.story.api.post("/v1/promises", {"customer": customer, "text": PROMISE, "dueTime": due})

    def reconcile(self, step: str, *, customers: int) -> None:
        """Sales' own count of orders, customers and revenue against the file's sums."""
        summary = self.story.api.get("/v1/orders:summarize")
        report, file = self.story.report, self.story.file
        report.check(step, "orders in sales", len(file.orders), int(summary["orderCount"]))
        report.check(step, "customers with orders in sales", customers, int(summary["customerCount"]))
        found = {
            each["revenue"]["currencyCode"]: int(each["revenue"].get("units", 0)) * 100
            + each["revenue"].get("nanos", 0) // 10_000_000
            for each in summary["currencies"]
        }
        report.check(step, "revenue in sales, in cents", dict(file.revenue_minor), found)

    def _refused(self, path: str) -> str:
        try:
            self.story.api.post(path)
        except ApiError as error:
            return next(str(each["reason"]) for each in error.body["error"]["details"] if "reason" in each)
        return "nothing"
