"""Writers that keep a book: each call is repeated with its key until acknowledged, and must then count once."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import requests

from chassis.ids import uuid7
from e2e.demo.api import Api, Json, wait_for

PATIENCE_S = 90.0
PURPOSE_ID = "fault-probe"


class NotOnceError(AssertionError):
    """An acknowledged call's effect is missing, or there more than once."""


@dataclass
class Book:
    """What was acknowledged. Threads add to it."""

    customers: dict[str, str] = field(default_factory=dict)
    """E-mail address -> name of the customer created."""
    decided: list[str] = field(default_factory=list)
    """Customers whose consent was granted and withdrawn."""
    events: int = 0
    """Behavioural events stored."""
    retries: int = 0
    """Calls that had to be repeated."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Load:
    """Three writers against the gateway, until `stop`.

    api: with an admin's key. write_key: of one source. `event` names this run's events.
    """

    def __init__(self, api: Api, write_key: str) -> None:
        self.api = api
        self.write_key = write_key
        self.run_id = uuid.uuid4().hex[:8]
        self.event = f"Fault Probe {self.run_id}"
        self.book = Book()
        self._stopping = threading.Event()
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=work.__name__, daemon=True)
            for work in (self._create_customers, self._ingest, self._decide)
        ]

    def start(self) -> None:
        """Starts the writers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets each writer finish its call, then raises what went wrong in one, if anything did."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S + 10)
        self.raise_problem()

    def raise_problem(self) -> None:
        """Raises what ended a writer, if anything did."""
        if self._problems:
            raise self._problems[0]

    def settled(self) -> None:
        """Waits until all effects arrived everywhere and holds them against the book. Raises NotOnceError."""
        book = self.book
        seen = wait_for(lambda: self._summary() >= book.events and self._summary(), "all events in the timelines")
        if seen != book.events:
            raise NotOnceError(f"{book.events} events were acknowledged, the timelines hold {seen}")
        for email, name in book.customers.items():
            found = self.api.get("/v1/customers:lookup", kind="KIND_EMAIL", value=email)["name"]
            if found != name:
                raise NotOnceError(f"the customer acknowledged as {name} is found as {found}")
        listed = [
            item
            for customer in self.api.pages("/v1/customers", "customers")
            for item in customer.get("identifiers", [])
            if item["kind"] == "KIND_EMAIL" and item["value"].startswith(f"{self.run_id}-")
        ]
        if len(listed) != len(book.customers):
            raise NotOnceError(f"{len(book.customers)} customers were acknowledged, {len(listed)} are listed")
        for name in book.decided:
            self._decided_once(name)
        proof = self.api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
        if not proof.get("valid"):
            raise NotOnceError(f"the consent proof is broken: {proof}")

    def _decided_once(self, name: str) -> None:
        records = list(self.api.pages("/v1/consentRecords", "consentRecords", filter=f'customer = "{name}"'))
        actions = sorted(record["action"] for record in records)
        if actions != ["ACTION_GRANTED", "ACTION_WITHDRAWN"]:
            raise NotOnceError(f"{name}: a grant and a withdrawal were acknowledged, the records say {actions}")

        def told() -> list[str]:
            entries = self.api.get(f"/v1/{name}/timelineEntries")["timelineEntries"]
            return sorted(entry["event"] for entry in entries if entry["event"].startswith("rapport.consent"))

        entries = wait_for(lambda: len(told()) >= 2 and told(), f"both consent events in the timeline of {name}")
        if entries != ["rapport.consent.v1.ConsentGranted", "rapport.consent.v1.ConsentWithdrawn"]:
            raise NotOnceError(f"{name}: the timeline holds {entries}")

    def _summary(self) -> int:
        return int(self.api.get("/v1/timelineEntries:summarize", event=self.event).get("eventCount", 0))

    def _guarded(self, work: Callable[[int], None]) -> None:
        try:
            for number in count():
                if self._stopping.is_set():
                    return
                work(number)
        except BaseException as problem:  # noqa: BLE001 - handed to `stop`
            self._problems.append(problem)

    def _create_customers(self, number: int) -> None:
        email = f"{self.run_id}-{number}@example.org"
        answer = self._until_acknowledged("/v1/customers", {"email": email, "displayName": f"Probe {number}"})
        with self.book.lock:
            self.book.customers[email] = answer["name"]

    def _decide(self, _number: int) -> None:
        name = f"customers/{uuid7()}"
        body = {
            "customer": name,
            "purpose": f"purposes/{PURPOSE_ID}",
            "channel": "CHANNEL_EMAIL",
            "evidence": {"method": "METHOD_AGENT", "origin": "fault probe"},
        }
        self._until_acknowledged("/v1/consents:grant", body)
        self._until_acknowledged("/v1/consents:withdraw", body)
        with self.book.lock:
            self.book.decided.append(name)

    def _ingest(self, number: int) -> None:
        user = f"{self.run_id}-user-{number % 50}"
        batch: list[Json] = [
            {
                "type": "track",
                "userId": user,
                "event": self.event,
                "messageId": f"{self.run_id}-{number}-{place}",
                "properties": {"place": place},
            }
            for place in range(20)
        ]
        answer = self._repeat(
            lambda: requests.post(
                f"{self.api.url}/v1/batch", json={"batch": batch}, auth=(self.write_key, ""), timeout=30
            )
        )
        if answer.get("rejected"):
            raise NotOnceError(f"good events were rejected: {answer['rejected'][:1]}")
        with self.book.lock:
            self.book.events += len(batch)

    def _until_acknowledged(self, path: str, body: Json) -> Json:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self._repeat(lambda: self.api.send("POST", path, body, headers=key))

    def _repeat(self, call: Callable[[], requests.Response]) -> Json:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = call()
                if answer.ok:
                    result: Json = answer.json()
                    return result
                if answer.status_code < 500 and answer.status_code not in (409, 429):
                    raise NotOnceError(f"{answer.status_code}: {answer.text[:300]}")
                problem = f"{answer.status_code}: {answer.text[:200]}"
            except requests.RequestException as error:
                problem = type(error).__name__
            if time.monotonic() > deadline:
                raise TimeoutError(f"not acknowledged within {PATIENCE_S:g} s; the last answer was {problem}")
            with self.book.lock:
                self.book.retries += 1
            time.sleep(0.3)
