"""The steps of the story, each with the checks that prove it."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import requests
from rich.progress import Progress
from segment.analytics.client import Client

from e2e import tenants
from e2e.demo.api import Api, Json, wait_for
from e2e.demo.orders import Order, OrderFile
from e2e.demo.people import SOURCES, Choice, Person
from e2e.demo.report import Report
from e2e.platform import Platform

T = TypeVar("T")
ORDER_COMPLETED = "Order Completed"
PURPOSE = "purposes/marketing-email"
ZONE = ZoneInfo("America/New_York")
CLIENTS = 8


@dataclass
class Story:
    """One run of the story, in a tenant of its own."""

    platform: Platform
    file: OrderFile
    people: list[Person]
    report: Report
    tenant: str
    api: Api = field(init=False)
    write_keys: dict[str, str] = field(init=False, default_factory=dict)
    names: dict[str, str] = field(init=False, default_factory=dict)
    """Person's number -> name of the customer."""

    def play(self) -> None:
        """All steps. Raises CheckFailedError, ApiError or TimeoutError at the first thing that is not as planted."""
        with self.report.step("0. A tenant and its keys"):
            self.set_up()
        with self.report.step("1. Two sources, one customer per person"):
            self.collect()
        with self.report.step("2. Consent for marketing e-mail"):
            self.ask_consent()

    # -- step 0

    def set_up(self) -> None:
        """Creates the tenant with an admin key and one write key for each source."""
        tenant = tenants.create(self.platform.gateway, self.platform.bootstrap_key, self.tenant, SOURCES)
        self.api, self.write_keys = tenant.api, tenant.write_keys

    # -- step 1

    def collect(self) -> None:
        """Purchases of each source first, then who the people are: the shared identifiers merge them."""
        bought = self._share_orders()
        with_orders = {user_id for user_id, _ in bought}
        sent = self._send("purchases", bought, self._track)
        self._applied(sent)
        # A person who bought only in one source is known to the other from the identify call on.
        first = sum(1 for _ in self.api.pages("/v1/customers", "customers"))
        self.report.check("1", "customers before merging", len(with_orders), first)
        identifies = [
            (person.user_ids[source], (person, source)) for person in self.people for source in person.sources
        ]
        sent += self._send("identify calls", identifies, self._identify)
        devices = [
            (person.device, (person, source))
            for person in self.people
            for source in person.sources[:1]
            if person.device
        ]
        sent += self._send("page views on shared devices", devices, self._page)
        self._applied(sent)
        self._know_customers()
        both = sum(1 for person in self.people if len(person.sources) == 2)
        merges = Counter(merge["state"] for merge in self.api.pages("/v1/merges", "merges"))
        self.report.check("1", "people (customers after merging)", len(self.people), len(set(self.names.values())))
        self.report.note("merges", merges.get("STATE_ACTIVE", 0))
        self.report.check("1", "people known to both sources", both, self._known_twice)
        stopped = list(self.api.pages("/v1/mergeConflicts", "mergeConflicts"))
        self.report.check("1", "merges stopped by a guard", 0, len(stopped))
        self._reconcile()

    def _share_orders(self) -> list[tuple[str, Order]]:
        """Each order in one of the sources that know its customer, by a fixed seed."""
        chance = random.Random(6)
        people = {person.number: person for person in self.people}
        return [
            (people[order.customer].user_ids[chance.choice(people[order.customer].sources)], order)
            for order in self.file.orders
        ]

    def _send(
        self, title: str, items: list[tuple[str, Any]], send: Callable[[Client, str, Any], tuple[bool, Json]]
    ) -> int:
        """Gives every item to its source's unmodified Segment client and waits until all are delivered."""
        problems: list[Exception] = []
        clients = {
            source: Client(key, host=self.platform.gateway, upload_size=100, max_queue_size=len(items) + 1, timeout=60,
                           on_error=lambda error, _batch: problems.append(error))
            for source, key in self.write_keys.items()
        }  # fmt: skip
        with self.report.progress(title, len(items)) as progress:
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
            timestamp=datetime.combine(order.day, time(12), ZONE).astimezone(UTC),
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
        return datetime.combine(max(order.day for order in self.file.orders), time(9), ZONE).astimezone(UTC)

    def _applied(self, sent: int) -> None:
        """Waits until as many events as were sent are in the timelines."""

        def count() -> int:
            return sum(
                int(self.api.get("/v1/timelineEntries:summarize", event=event).get("eventCount", 0))
                for event in (ORDER_COMPLETED, "Identify", "Home")
            )

        wait_for(lambda: count() >= sent, f"{sent} events in the timelines")

    def _know_customers(self) -> None:
        """Notes which customer each person became, by the user ids the platform lists."""
        numbers = {user_id: person.number for person in self.people for user_id in person.user_ids.values()}
        self._known_twice = 0
        for customer in self.api.pages("/v1/customers", "customers"):
            ids = [item["value"] for item in customer.get("identifiers", []) if item["kind"] == "KIND_USER_ID"]
            found = {numbers[user_id] for user_id in ids}
            if len(found) != 1:
                raise RuntimeError(f"{customer['name']} is {len(found)} people")
            self.names[found.pop()] = customer["name"]
            self._known_twice += len(ids) == 2

    def _reconcile(self) -> None:
        """The timeline's own count of customers, orders and revenue against the file's sums."""
        summary = self.api.get("/v1/timelineEntries:summarize", event=ORDER_COMPLETED)
        self.report.check("1", "orders in identity", len(self.file.orders), int(summary["eventCount"]))
        buyers = len({order.customer for order in self.file.orders})
        self.report.check("1", "customers with orders in identity", buyers, int(summary["customerCount"]))
        amounts = {
            money["currencyCode"]: f"{int(money.get('units', 0)) + money.get('nanos', 0) / 1e9:.2f}"
            for money in summary["amounts"]
        }
        planted = {currency: f"{minor / 100:.2f}" for currency, minor in self.file.revenue_minor.items()}
        self.report.check("1", "revenue in identity", planted, amounts)

    # -- step 2

    def ask_consent(self) -> None:
        """Some confirm by the link in a mail, some never do, some refuse, some withdraw, some are never asked."""
        tenants.create_purpose(self.api, "marketing-email", double_opt_in=True)
        leaving = [person for person in self.people if person.choice is Choice.WITHDRAWS]
        confirming = [person for person in self.people if person.choice is Choice.CONFIRMS] + leaving
        asked = confirming + [person for person in self.people if person.choice is Choice.IGNORES]
        self._in_parallel("opt-ins asked for", asked, self._request_opt_in)
        links = self._links({person.emails[person.sources[0]].lower(): person for person in confirming})
        self._in_parallel("links followed and confirmed", list(links.values()), self._follow)
        refusing = [person for person in self.people if person.choice is Choice.REFUSES]
        self._in_parallel("refusals", refusing, lambda person: self._say("refuse", person))
        self._in_parallel("withdrawals", leaving, lambda person: self._say("withdraw", person))
        self._check_decisions()
        self._check_timelines(leaving[0])
        proof = self.api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
        self.report.check("2", "consent proof chain valid", True, proof.get("valid", False))
        records = len(asked) + len(confirming) + len(refusing) + len(leaving)
        self.report.check("2", "consent records sealed", records, self._sealed(records))
        self._trace()

    def _request_opt_in(self, person: Person) -> None:
        body = {
            "customer": self.names[person.number],
            "purpose": PURPOSE,
            "email": person.emails[person.sources[0]],
            "evidence": {"method": "METHOD_FORM", "origin": "https://demo-shop.example/checkout", "languageCode": "en"},
        }
        answer, trace = self.api.exchange("POST", "/v1/consents:requestOptIn", body)
        if answer["state"] != "STATE_PENDING":
            raise RuntimeError(f"an opt-in asked for is {answer['state']}")
        self._trace_id = trace

    def _say(self, verb: str, person: Person) -> None:
        body = {
            "customer": self.names[person.number],
            "purpose": PURPOSE,
            "channel": "CHANNEL_EMAIL",
            "evidence": {"method": "METHOD_FORM", "origin": "https://demo-shop.example/preferences"},
        }
        self.api.post(f"/v1/consents:{verb}", body)

    def _links(self, wanted: dict[str, Person]) -> dict[str, str]:
        """Address -> confirmation link, out of the mails that really arrived."""
        found: dict[str, str] = {}

        def arrived(progress: Progress) -> bool:
            for mail in requests.get(f"{self.platform.mails}/mails", params={"limit": 10000}, timeout=30).json()[
                "mails"
            ]:
                address = mail["to"][0].lower()
                if address in wanted and address not in found:
                    text = requests.get(f"{self.platform.mails}/mails/{mail['id']}", timeout=30).json()["text"]
                    if link := re.search(r"https?://\S+/c/\S+", text):
                        found[address] = link.group(0)
            progress.update(progress.task_ids[0], completed=len(found))
            return len(found) == len(wanted)

        with self.report.progress("confirmation mails arrived", len(wanted)) as progress:
            wait_for(lambda: arrived(progress), f"{len(wanted)} confirmation mails")
        return found

    def _follow(self, link: str) -> None:
        """Opens the link, which must change nothing yet, and presses the page's button."""
        page = requests.get(link, timeout=30)
        page.raise_for_status()
        if 'method="post"' not in page.text.lower():
            raise RuntimeError("the page behind a confirmation link has no button")
        requests.post(link, timeout=30).raise_for_status()

    def _check_decisions(self) -> None:
        """Asks for a decision on everybody: allowed are exactly those whose consent stands."""
        outcome: Counter[str] = Counter()
        choices = {self.names[person.number]: person.choice for person in self.people}
        customers = list(choices)
        wrong = 0
        for start in range(0, len(customers), 500):
            body = {"customers": customers[start : start + 500], "purpose": PURPOSE, "channel": "CHANNEL_EMAIL"}
            for decision in self.api.post("/v1/consents:batchDecide", body)["decisions"]:
                allowed = decision["outcome"] == "OUTCOME_ALLOWED"
                wrong += allowed != (choices[decision["customer"]] is Choice.CONFIRMS)
                outcome[decision["reasons"][0]] += 1
        planted = Counter(choices.values())
        for choice, reason in {
            Choice.CONFIRMS: "REASON_CONSENT_GRANTED",
            Choice.IGNORES: "REASON_NOT_CONFIRMED",
            Choice.REFUSES: "REASON_REFUSED",
            Choice.WITHDRAWS: "REASON_WITHDRAWN",
            Choice.NEVER_ASKED: "REASON_NEVER_ASKED",
        }.items():
            self.report.check("2", f"decisions: {choice.value}", planted[choice], outcome[reason])
        self.report.check("2", "wrong decisions", 0, wrong)

    def _check_timelines(self, person: Person) -> None:
        """A withdrawal told by the consent service shows in the timeline the identity service keeps."""

        def told() -> bool:
            entries = self.api.get(f"/v1/{self.names[person.number]}/timelineEntries", pageSize=10)["timelineEntries"]
            return "rapport.consent.v1.ConsentWithdrawn" in {entry["event"] for entry in entries}

        self.report.check("2", "withdrawal in the timeline", True, wait_for(told, "the withdrawal in the timeline"))

    def _sealed(self, records: int) -> int:
        def sealed() -> int:
            proof = self.api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
            waiting = int(proof.get("unsealedCount", 0))
            return 0 if waiting else int(proof.get("checkedCount", 0))

        return wait_for(sealed, f"{records} records sealed")

    def _trace(self) -> None:
        """One trace id leads from the API call to the mail it caused."""

        def whole() -> list[str]:
            answer = requests.get(f"{self.platform.traces}/traces/{self._trace_id}", timeout=10)
            spans = answer.json().get("spans", []) if answer.ok else []
            services = {span["service"] for span in spans}
            sent = [span for span in spans if span["name"] == "send mail"]
            return sorted(services) if sent and {"gateway", "consent"} <= services else []

        services = wait_for(whole, "one trace from the API call to the mail")
        self.report.note(
            "trace from the API call to the mail",
            f"{self.platform.traces}/traces/{self._trace_id} ({', '.join(services)})",
        )

    def _in_parallel(self, title: str, items: Iterable[T], work: Callable[[T], None]) -> None:
        items = list(items)
        with self.report.progress(title, len(items)) as progress, ThreadPoolExecutor(CLIENTS) as pool:
            for _ in pool.map(work, items):
                progress.advance(progress.task_ids[0])
