"""Writers that keep a book: each call is repeated with its key until acknowledged, and must then count once."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import requests

from e2e import tenants
from e2e.demo.api import Api, Json

PATIENCE_S = 90.0
CALM_S = 0.1
PURPOSE_ID = "fault-probe"
BATCH = 20
REVENUE_CENTS = 125
ORDER_CENTS, REFUND_CENTS = 700, 200


def prepare(api: Api) -> None:
    """Makes what the writers need in their tenant: a purpose, and an agent with room for every ticket."""
    tenants.create_purpose(api, PURPOSE_ID, double_opt_in=False)
    agent = {"displayName": "Agent", "skills": [], "capacity": 1000, "available": True}
    api.post("/v1/agents", agent, agentId="agent")


class NotOnceError(AssertionError):
    """An acknowledged call's effect is missing, or there more than once."""


@dataclass
class Book:
    """What was acknowledged. Threads add to it."""

    customers: dict[str, str] = field(default_factory=dict)
    """E-mail address -> name of the customer created."""
    decided: dict[str, str] = field(default_factory=dict)
    """Customer whose consent was granted and withdrawn -> the customer it had been merged with before."""
    served: set[str] = field(default_factory=set)
    """Customers who complained, ordered, got a part of it back, were promised something, and whose lead was won."""
    users: set[str] = field(default_factory=set)
    """User ids that had events."""
    events: int = 0
    """Behavioural events stored, a purchase each."""
    retries: int = 0
    """Calls that had to be repeated."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Load:
    """Four writers against the gateway, until `stop`.

    api: with the key of an admin of a tenant that nobody else uses. write_key: of one source.
    """

    def __init__(self, api: Api, write_key: str) -> None:
        self.api = api
        self.write_key = write_key
        self.run_id = uuid.uuid4().hex[:8]
        self.book = Book()
        self._pause_s = 0.0
        self._stopping = threading.Event()
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=work.__name__, daemon=True)
            for work in (self._create_customers, self._ingest, self._decide, self._serve)
        ]

    def start(self) -> None:
        """Starts the writers."""
        for thread in self._threads:
            thread.start()

    def calm(self) -> None:
        """Lets each writer pause for a moment between its rounds: what is to start meanwhile gets its share."""
        self._pause_s = CALM_S

    def stop(self) -> None:
        """Lets each writer finish its call, then raises what went wrong in one, if anything did."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S + 10)
        self.raise_problem()
        if writing := [thread.name for thread in self._threads if thread.is_alive()]:
            raise TimeoutError(f"still writing: {', '.join(writing)}")

    def raise_problem(self) -> None:
        """Raises what ended a writer, if anything did."""
        if self._problems:
            raise self._problems[0]

    def _guarded(self, work: Callable[[int], None]) -> None:
        try:
            for number in count():
                if self._stopping.wait(self._pause_s):
                    return
                work(number)
        except BaseException as problem:  # noqa: BLE001 - handed to `stop`
            self._problems.append(problem)

    def _create_customers(self, number: int) -> None:
        self._customer(f"{self.run_id}-{number}@example.org")

    def _customer(self, email: str) -> str:
        name: str = self._until_acknowledged("/v1/customers", {"email": email, "displayName": "Probe"})["name"]
        with self.book.lock:
            self.book.customers[email] = name
        return name

    def _decide(self, number: int) -> None:
        name, twin = (self._customer(f"{self.run_id}-{side}{number}@example.org") for side in "ab")
        self._until_acknowledged(f"/v1/{name}:merge", {"mergedCustomer": twin})
        body = {
            "customer": name,
            "purpose": f"purposes/{PURPOSE_ID}",
            "channel": "CHANNEL_EMAIL",
            "evidence": {"method": "METHOD_AGENT", "origin": "fault probe"},
        }
        self._until_acknowledged("/v1/consents:grant", body)
        self._until_acknowledged("/v1/consents:withdraw", body)
        with self.book.lock:
            self.book.decided[name] = twin

    def _ingest(self, number: int) -> None:
        user = f"{self.run_id}-user-{number % 50}"
        batch: list[Json] = [
            {
                "type": "track",
                "userId": user,
                "event": "Order Completed",
                "messageId": f"{self.run_id}-{number}-{place}",
                "properties": {"order_id": f"{number}-{place}", "revenue": REVENUE_CENTS / 100, "currency": "USD"},
            }
            for place in range(BATCH)
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
            self.book.users.add(user)

    def _serve(self, number: int) -> None:
        name = self._customer(f"{self.run_id}-s{number}@example.org")
        ticket = {"subject": "Probe", "customer": name, "kind": "KIND_COMPLAINT"}
        self._until_acknowledged("/v1/tickets", ticket)
        order = {"customer": name, "amount": _usd(ORDER_CENTS), "orderNumber": f"{self.run_id}-{number}"}
        ordered = self._until_acknowledged("/v1/orders", order)["name"]
        self._until_acknowledged(f"/v1/{ordered}:refund", {"amount": _usd(REFUND_CENTS)})
        promise = {"customer": name, "text": "Probe", "dueTime": "2100-01-01T00:00:00Z"}
        self._until_acknowledged("/v1/promises", promise)
        lead = {"displayName": "Probe", "customer": name, "source": "SOURCE_WEB"}
        lead_name = self._until_acknowledged("/v1/leads", lead)["name"]
        won = self._until_acknowledged(f"/v1/{lead_name}:convert", {})["conversion"]["opportunity"]
        self._until_acknowledged(f"/v1/{won}:win", {})
        with self.book.lock:
            self.book.served.add(name)

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
                if answer.status_code < 500 and not _asks_to_repeat(answer):
                    raise NotOnceError(f"{answer.status_code}: {answer.text[:300]}")
                problem = f"{answer.status_code}: {answer.text[:200]}"
            except requests.RequestException as error:
                problem = type(error).__name__
            if time.monotonic() > deadline:
                raise TimeoutError(f"not acknowledged within {PATIENCE_S:g} s; the last answer was {problem}")
            with self.book.lock:
                self.book.retries += 1
            time.sleep(0.3)


def _asks_to_repeat(answer: requests.Response) -> bool:
    """True for 429, and for a conflict with another change; what a call did twice is no such conflict."""
    if answer.status_code == requests.codes.conflict:
        return bool(answer.json()["error"]["status"] == "ABORTED")
    return answer.status_code == requests.codes.too_many_requests


def _usd(cents: int) -> Json:
    return {"currencyCode": "USD", "units": str(cents // 100), "nanos": cents % 100 * 10_000_000}
