"""Step 9: one read shows everything about one customer."""

from typing import TYPE_CHECKING

from rich.table import Table

from e2e.demo.api import Json, wait_for
from e2e.demo.complaining import SUBJECT
from e2e.demo.consenting import PURPOSE
from e2e.demo.people import Person
from e2e.demo.selling import PROMISE

if TYPE_CHECKING:
    from e2e.demo.story import Story


class Viewing:
    """The agent view of the customer who complained."""

    def __init__(self, story: "Story") -> None:
        self.story = story

    def play(self, customer: str, person: Person) -> None:
        """Reads once, checks every part against what was planted, and prints it."""

        def told() -> Json:
            view = self.story.api.get(f"/v1/{customer}:agentView")
            return view if view.get("promises") and "label" in view.get("sentiment", {}) else {}

        wait_for(told, "what was done last is in the agent view", timeout=60)
        view = self.story.api.get(f"/v1/{customer}:agentView")
        report = self.story.report
        orders = [order for order in self.story.file.orders if order.customer == person.number]
        report.check("9", "purchases", len(orders), int(view["purchases"]["orderCount"]))
        tickets = [ticket["subject"] for ticket in view["tickets"]["recentTickets"]]
        report.check("9", "tickets", [SUBJECT], tickets)
        report.check("9", "an open complaint", False, view["tickets"].get("complaintOpen", False))
        report.check("9", "sentiment", "LABEL_NEGATIVE", view["sentiment"]["label"])
        consents = {consent["purpose"]: consent["state"] for consent in view["consents"]}
        report.check("9", "consent for marketing e-mail", "STATE_GRANTED", consents.get(PURPOSE))
        report.check("9", "messages sent, one of them clicked", True, any("clickTime" in m for m in view["messages"]))
        report.check("9", "scores with reasons", True, bool(view["scores"]["reasons"]))
        report.check("9", "open promises", [PROMISE], [promise["text"] for promise in view["promises"]])
        report.check("9", "the newest timeline entries", True, bool(view["timelineEntries"]))
        self._show(view)

    def _show(self, view: Json) -> None:
        table = Table("part", "what an agent sees", title="One customer in one read", width=110)
        purchases, scores = view["purchases"], view["scores"]
        revenue = ", ".join(f"{m.get('units', 0)} {m['currencyCode']}" for m in purchases["revenue"])
        table.add_row("purchases", f"{purchases['orderCount']} for {revenue}, last {purchases['lastOrderTime'][:10]}")
        for ticket in view["tickets"]["recentTickets"]:
            table.add_row("ticket", f"{ticket['subject']} ({ticket['kind']}, {ticket['state']}, {ticket['agent']})")
        table.add_row("sentiment", f"{view['sentiment']['label']} {view['sentiment']['score']:.2f}")
        for message in view["messages"]:
            clicked = ", clicked" if "clickTime" in message else ""
            table.add_row("message", f"{message['template']} of {message['journey']}{clicked}")
        for consent in view["consents"]:
            table.add_row("consent", f"{consent['purpose']} {consent['channel']}: {consent['state']}")
        table.add_row("scores", f"P(alive) {scores['pAlive']:.2f}; {' '.join(scores['reasons'][:2])}")
        for promise in view["promises"]:
            table.add_row("promise", f"{promise['text']}, due {promise['dueTime'][:10]}")
        channel = view.get("preferredChannel", {})
        table.add_row("preferred channel", f"{channel.get('channel', 'unknown')}: {channel.get('reason', '')}")
        self.story.report.console.print(table)
