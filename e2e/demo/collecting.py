"""Step 1: the unmodified Segment client sends what two sources saw; the platform makes one customer per person."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from segment.analytics.client import Client

from e2e.demo.api import Json, wait_for
from e2e.demo.orders import Order
from e2e.demo.people import Person

if TYPE_CHECKING:
    from e2e.demo.story import Story

ORDER_COMPLETED = "Order Completed"
ZONE = ZoneInfo("America/New_York")


def bought_at(order: Order) -> datetime:
    """When an order counts as placed: at noon of its day."""
    return datetime.combine(order.day, time(12), ZONE).astimezone(UTC)


class Collecting:
    """Purchases first, then who the people are, then devices that two people share."""

    def __init__(self, story: "Story") -> None:
        self.story = story

    def play(self) -> None:
        """Purchases of each source first, then who the people are: the shared identifiers merge them."""
        bought = self._share_orders()
        with_orders = {user_id for user_id, _ in bought}
        sent = self._send("purchases", bought, self._track)
        self._applied(sent)
        # A person who bought only in one source is known to the other from the identify call on.
        first = sum(1 for _ in self.story.api.pages("/v1/customers", "customers"))
        self.story.report.check("1", "customers before merging", len(with_orders), first)
        identifies = [
            (person.user_ids[source], (person, source)) for person in self.story.people for source in person.sources
        ]
        sent += self._send("identify calls", identifies, self._identify)
        devices = [
            (person.device, (person, source))
            for person in self.story.people
            for source in person.sources[:1]
            if person.device
        ]
        sent += self._send("page views on shared devices", devices, self._page)
        self._applied(sent)
        self._know_customers()
        both = sum(1 for person in self.story.people if len(person.sources) == 2)
        merges = Counter(merge["state"] for merge in self.story.api.pages("/v1/merges", "merges"))
        self.story.report.check(
            "1", "people (customers after merging)", len(self.story.people), len(set(self.story.names.values()))
        )
        self.story.report.note("merges", merges.get("STATE_ACTIVE", 0))
        self.story.report.check("1", "people known to both sources", both, self._known_twice)
        stopped = list(self.story.api.pages("/v1/mergeConflicts", "mergeConflicts"))
        self.story.report.check("1", "merges stopped by a guard", 0, len(stopped))
        self._reconcile()

    def _share_orders(self) -> list[tuple[str, Order]]:
        """Each order in one of the sources that know its customer, by a fixed seed."""
        chance = random.Random(6)
        people = {person.number: person for person in self.story.people}
        return [
            (people[order.customer].user_ids[chance.choice(people[order.customer].sources)], order)
            for order in self.story.file.orders
        ]

    def _send(
        self, title: str, items: list[tuple[str, Any]], send: Callable[[Client, str, Any], tuple[bool, Json]]
    ) -> int:
        """Gives every item to its source's unmodified Segment client and waits until all are delivered."""
        problems: list[Exception] = []
        gateway = self.story.platform.gateway
        clients = {
            source: Client(key, host=gateway, upload_size=100, max_queue_size=len(items) + 1, timeout=60,
                           on_error=lambda error, _batch: problems.append(error))
            for source, key in self.story.write_keys.items()
        }  # fmt: skip
        with self.story.report.progress(title, len(items)) as progress:
            for user_id, item in items:
                source = item[1] if isinstance(item, tuple) else user_id.split("-", 1)[0]
                accepted, _message = send(clients[source], user_id, item)
                if not accepted:
                    raise RuntimeError("the Segment client's queue is full")
            waiting = sum(client.queue.qsize() for client in clients.values())
            progress.update(progress.task_ids[0], completed=len(items) - waiting)

            def delivered() -> bool:
                left = sum(client.queue.unfinished_tasks for client in clients.values())
                progress.update(progress.task_ids[0], completed=len(items) - left)
                return bool(left == 0)

            wait_for(delivered, f"{title} delivered")
            for client in clients.values():
                client.join()
        if problems:
            raise problems[0]
        return len(items)

    def _track(self, client: Client, user_id: str, order: Order) -> tuple[bool, Json]:
        result: tuple[bool, Json] = client.track(
            user_id=user_id,
            event=ORDER_COMPLETED,
            properties={
                "order_id": order.row_id,
                "revenue": order.amount,
                "currency": order.currency,
                "quantity": order.quantity,
            },
            timestamp=bought_at(order),
            message_id=order.row_id,
        )
        return result

    def _identify(self, client: Client, user_id: str, item: tuple[Person, str]) -> tuple[bool, Json]:
        person, source = item
        result: tuple[bool, Json] = client.identify(
            user_id=user_id,
            traits=person.traits(source),
            timestamp=self._file_end(),
            message_id=f"identify-{user_id}",
        )
        return result

    def _page(self, client: Client, device: str, item: tuple[Person, str]) -> tuple[bool, Json]:
        person, source = item
        result: tuple[bool, Json] = client.page(
            user_id=person.user_ids[source],
            anonymous_id=device,
            name="Home",
            timestamp=self._file_end(),
            message_id=f"page-{person.user_ids[source]}",
        )
        return result

    def _file_end(self) -> datetime:
        return datetime.combine(max(order.day for order in self.story.file.orders), time(9), ZONE).astimezone(UTC)

    def _applied(self, sent: int) -> None:
        """Waits until as many events as were sent are in the timelines."""

        def count() -> int:
            return sum(
                int(self.story.api.get("/v1/timelineEntries:summarize", event=event).get("eventCount", 0))
                for event in (ORDER_COMPLETED, "Identify", "Home")
            )

        wait_for(lambda: count() >= sent, f"{sent} events in the timelines")

    def _know_customers(self) -> None:
        """Notes which customer each person became, by the user ids the platform lists."""
        numbers = {user_id: person.number for person in self.story.people for user_id in person.user_ids.values()}
        self._known_twice = 0
        for customer in self.story.api.pages("/v1/customers", "customers"):
            ids = [item["value"] for item in customer.get("identifiers", []) if item["kind"] == "KIND_USER_ID"]
            found = {numbers[user_id] for user_id in ids}
            if len(found) != 1:
                raise RuntimeError(f"{customer['name']} is {len(found)} people")
            self.story.names[found.pop()] = customer["name"]
            self._known_twice += len(ids) == 2

    def _reconcile(self) -> None:
        """The timeline's own count of customers, orders and revenue against the file's sums."""
        summary = self.story.api.get("/v1/timelineEntries:summarize", event=ORDER_COMPLETED)
        self.story.report.check("1", "orders in identity", len(self.story.file.orders), int(summary["eventCount"]))
        buyers = len({order.customer for order in self.story.file.orders})
        self.story.report.check("1", "customers with orders in identity", buyers, int(summary["customerCount"]))
        amounts = {
            money["currencyCode"]: f"{int(money.get('units', 0)) + money.get('nanos', 0) / 1e9:.2f}"
            for money in summary["amounts"]
        }
        planted = {currency: f"{minor / 100:.2f}" for currency, minor in self.story.file.revenue_minor.items()}
        self.story.report.check("1", "revenue in identity", planted, amounts)
