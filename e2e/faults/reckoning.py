"""The book held against the platform: what was acknowledged must be there once, in every service it concerns."""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from e2e.demo.api import Api, ApiError, Json, wait_for
from e2e.faults.load import PURPOSE_ID, REVENUE_CENTS, Book, NotOnceError

T = TypeVar("T")

_TOLD = {"rapport.consent.v1.ConsentGranted": 1, "rapport.consent.v1.ConsentWithdrawn": 1}


def hold(book: Book, api: Api) -> None:
    """Waits until all effects arrived everywhere and holds them against the book.

    Raises NotOnceError for what is there twice or wrong, TimeoutError for what does not arrive.
    """
    _purchases(book, api)
    _customers(book, api)
    for name, twin in book.decided.items():
        _decided_once(api, name, twin)
    proof = api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
    if not proof.get("valid"):
        raise NotOnceError(f"the consent proof is broken: {proof}")


def _purchases(book: Book, api: Api) -> None:
    """Identity's timelines and scoring's files hold every event, with its money."""

    def timelines() -> Json:
        return api.get("/v1/timelineEntries:summarize", event="Order Completed")

    def files() -> Json:
        return api.get("/v1/purchases:summarize")

    _once(book, timelines, "the timelines hold", "eventCount", "amounts")
    _once(book, files, "scoring holds", "purchaseCount", "revenues")


def _once(book: Book, read: Callable[[], Json], where: str, counter: str, sums: str) -> None:
    def arrived() -> Json | None:
        found = read()
        return found if int(found.get(counter, 0)) >= book.events else None

    found = _when(arrived, f"{where} {book.events} events")
    cents = sum(int(item.get("units", 0)) * 100 + item.get("nanos", 0) // 10_000_000 for item in found[sums])
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
