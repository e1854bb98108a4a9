"""The book held against the platform: what was acknowledged must be there once, in every service it concerns."""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from e2e.demo.api import Api, ApiError, Json, wait_for
from e2e.faults.load import ORDER_CENTS, PURPOSE_ID, REFUND_CENTS, REVENUE_CENTS, Book, NotOnceError

T = TypeVar("T")

_TOLD = {"rapport.consent.v1.ConsentGranted": 1, "rapport.consent.v1.ConsentWithdrawn": 1}


def hold(book: Book, api: Api) -> None:
    """Waits until all effects arrived everywhere and holds them against the book.

    Raises NotOnceError for what is there twice or wrong, TimeoutError for what does not arrive.
    """
    _purchases(book, api)
    _customers(book, api)
    _served(book, api)
    for name in book.served:
        _served_once(api, name)
    for name, twin in book.decided.items():
        _decided_once(api, name, twin)
    proof = api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
    if not proof.get("valid"):
        raise NotOnceError(f"the consent proof is broken: {proof}")


def _purchases(book: Book, api: Api) -> None:
    """Identity's timelines, scoring's files and sales' orders hold every event, with its money."""

    def timelines() -> Json:
        return api.get("/v1/timelineEntries:summarize", event="Order Completed")

    def files() -> Json:
        return api.get("/v1/purchases:summarize")

    def orders() -> Json:
        summary = api.get("/v1/orders:summarize", source="shop")
        return summary | {"revenues": [each["revenue"] for each in summary.get("currencies", [])]}

    _once(book, timelines, "the timelines hold", "eventCount", "amounts")
    _once(book, files, "scoring holds", "purchaseCount", "revenues")
    _once(book, orders, "sales holds", "orderCount", "revenues")


def _once(book: Book, read: Callable[[], Json], where: str, counter: str, sums: str) -> None:
    def arrived() -> Json | None:
        found = read()
        return found if int(found.get(counter, 0)) >= book.events else None

    found = _when(arrived, f"{where} {book.events} events")
    cents = sum(map(_cents, found[sums]))
    if (int(found[counter]), cents) != (book.events, book.events * REVENUE_CENTS):
        raise NotOnceError(f"{book.events} events were acknowledged, {where} {found}")


def _customers(book: Book, api: Api) -> None:
    listed = list(api.pages("/v1/customers", "customers"))
    merged = {name for customer in listed for name in customer.get("mergedCustomers", [])}
    names = Counter(name for customer in listed for name in (customer["name"], *customer.get("mergedCustomers", [])))
    wanted = set(book.customers.values())
    if lost := wanted - set(names):
        raise NotOnceError(f"{len(lost)} customers that were acknowledged are not listed, {min(lost)} for one")
    if len(names) != len(wanted) + len(book.users):
        raise NotOnceError(f"{len(wanted)} customers and {len(book.users)} users make {len(names)} customers")
    if len(merged) != len(book.decided):
        raise NotOnceError(f"{len(book.decided)} merges were acknowledged, {len(merged)} customers are merged")
    addresses = Counter(
        item["value"] for customer in listed for item in customer.get("identifiers", []) if item["kind"] == "KIND_EMAIL"
    )
    if addresses != Counter(list(book.customers)):
        raise NotOnceError(f"{len(book.customers)} addresses were acknowledged, {addresses.total()} are listed")


def _served(book: Book, api: Api) -> None:
    """Ticketing and sales hold one of each for everybody served, with its money, and nothing else."""
    wanted = len(book.served)

    def states(collection: str) -> dict[str, int]:
        return Counter(found["state"] for found in api.pages(f"/v1/{collection}", collection))

    def there() -> Json:
        ordered = api.get("/v1/orders:summarize", source="api")
        money = ordered.get("currencies") or [{}]
        sums = [_cents(money[0].get(part, {})) for part in ("revenue", "refunded")]
        counts = {name: states(name) for name in ("leads", "opportunities", "promises")}
        counts["tickets"] = Counter({"there": len(list(api.pages("/v1/tickets", "tickets")))})
        return {"orders": int(ordered.get("orderCount", 0)), "cents": sums} | counts

    expected = {
        "orders": wanted,
        "cents": [wanted * ORDER_CENTS, wanted * REFUND_CENTS],
        "leads": {"STATE_CONVERTED": wanted},
        "opportunities": {"STATE_WON": wanted},
        "promises": {"STATE_OPEN": wanted},
        "tickets": {"there": wanted},
    }
    found = _when(there, "ticketing and sales can be read")
    if wanted and found != expected:
        raise NotOnceError(f"{wanted} customers were served, there are {found}")


def _served_once(api: Api, name: str) -> None:
    """The ticket has its agent, and identity shows one of each, with its money."""
    about = f'customer = "{name}"'

    def assigned() -> bool:
        tickets = api.get("/v1/tickets", filter=about)["tickets"]
        return all(ticket.get("assignment", {}).get("agent") for ticket in tickets)

    def seen() -> tuple[int, ...] | None:
        view = api.get(f"/v1/{name}:agentView")
        purchases = view.get("purchases", {})
        found = (
            len(view.get("tickets", {}).get("recentTickets", [])),
            int(purchases.get("orderCount", 0)),
            *(sum(map(_cents, purchases.get(part, []))) for part in ("revenue", "refunds")),
            len(view.get("promises", [])),
            int(view.get("deals", {}).get("wonCount", 0)),
        )
        return found if all(found) else None

    _when(assigned, f"the ticket of {name} has its agent")
    found = _when(seen, f"identity knows what {name} wrote, ordered, was given back, was promised and bought")
    if found != (1, 1, ORDER_CENTS, REFUND_CENTS, 1, 1):
        raise NotOnceError(
            f"identity shows tickets, orders, revenue, refunds, promises and deals of {name} as {found}, "
            f"not one of each of {ORDER_CENTS} and {REFUND_CENTS} cents"
        )


def _cents(money: Json) -> int:
    return int(money.get("units", 0)) * 100 + int(money.get("nanos", 0)) // 10_000_000


def _decided_once(api: Api, name: str, twin: str) -> None:
    """Two records, two entries in the timeline, and the same decision for the customer merged with this one."""
    records = list(api.pages("/v1/consentRecords", "consentRecords", filter=f'customer = "{name}"'))
    actions = sorted(record["action"] for record in records)
    if actions != ["ACTION_GRANTED", "ACTION_WITHDRAWN"]:
        raise NotOnceError(f"{name}: a grant and a withdrawal were acknowledged, the records say {actions}")

    def told() -> Counter[str] | None:
        entries = api.get(f"/v1/{name}/timelineEntries")["timelineEntries"]
        found = Counter(entry["event"] for entry in entries if entry["event"].startswith("rapport.consent"))
        return found if found.total() >= len(_TOLD) else None

    found = _when(told, f"both consent events are in the timeline of {name}")
    if found != _TOLD:
        raise NotOnceError(f"{name}: the timeline holds {dict(found)}")
    about = {"customer": twin, "purpose": f"purposes/{PURPOSE_ID}", "channel": "CHANNEL_EMAIL"}
    _when(lambda: _withdrawn(api.post("/v1/consents:decide", about)), f"consent knows that {twin} is {name}")


def _withdrawn(decision: Json) -> bool:
    return "REASON_WITHDRAWN" in decision["reasons"]


def _when(condition: Callable[[], T | None], what: str) -> T:
    """The condition's first true value. A part that was just killed may refuse a read for a moment."""

    def patient() -> T | None:
        try:
            return condition()
        except ApiError as error:
            if error.status < 500:
                raise
            return None

    found = wait_for(patient, what)
    assert found is not None
    return found
