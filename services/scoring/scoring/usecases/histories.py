"""Keeps what customers have bought, for scoring online: from news as they come, from files when nothing is known yet.

A purchase is in a history once. News are written in the transaction that stages them and deleted in the one that takes
them in; what is read from files and stage is read in one snapshot, together with the news, which are done with then.
All of this is part of a transaction its caller opened, which also proves that it keeps the tenant's scores.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne
from rapport.identity.v1 import events_pb2

from chassis import clock
from docstore import Row, aliases
from docstore.blobs import BlobStore
from scoring import parquet
from scoring.domain.buckets import bucket_of
from scoring.domain.happenings import order_of
from scoring.domain.histories import FORM, Bought, History, TooManyKeptError
from scoring.store import PurchaseHistory, PurchaseNews, RiskScorer, Score, Scorer, ScoringJob, StagedPurchase
from scoring.store.features import manifest_files, subject_of
from scoring.store.histories import CURRENT
from scoring.store.jobs import ACTIVE, SCORE
from scoring.store.models import CHURN, LIFETIME_VALUE
from scoring.usecases.score_rows import uid_of

WAITING_MOST = 1_000
"""Customers of a tenant who bought and wait to be scored anew; what is more, such as a load of old purchases, a job
scores."""
READ_ROWS_MOST = 2_000_000
"""Purchases of one bucket that are looked through for a customer; in larger ones a job scores."""

_NEWS = 100
_NEWS_PURCHASES = 2_000
_ADDED_AT_ONCE = 200
"""Histories in memory, of up to 0.3 MB each."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def note(events: Sequence[tuple[events_pb2.TrackedEvent, int]]) -> None:
    """Leaves purchases and refunds that are new, and are staged in the same transaction, to role `run`.

    Each with its amount in minor units, below 0 for refunds.
    """
    purchases = [
        {
            "c": event.customer,
            "t": event.event_time.ToMilliseconds(),
            "a": amount,
            "y": event.amount.currency_code,
            "o": order_of(event.order_id),
        }
        for event, amount in events
    ]
    if purchases:
        PurchaseNews.rows().insert_many([{"purchases": purchases}])


def waiting_news() -> list[str]:
    """Uids of the oldest news, as many as are taken in at once."""
    uids: list[str] = []
    size = 0
    for row in PurchaseNews.rows().find({}, {"uid": 1, "purchases.t": 1}, sort=[("_id", 1)], limit=_NEWS):
        size += len(row["purchases"])
        if uids and size > _NEWS_PURCHASES:
            break
        uids.append(row["uid"])
    return uids


def take_in(uids: Collection[str], *, abroad: bool) -> None:
    """Adds these news to the histories that are known, and notes who is to be scored anew.

    abroad: whether purchases in other currencies can change scores: without a table of rates they cannot.
    """
    rows = PurchaseNews.rows()
    there = {"uid": {"$in": list(uids)}}
    news = list(rows.find(there))
    rows.delete_many(there)
    found = (cls.rows().find_one({"uid": CURRENT}, {"currency": 1}) for cls in (Scorer, RiskScorer))
    home = next((left for left in found if left), None)
    job = None if home else first_job_at_work(LIFETIME_VALUE, CHURN)
    if home is None and job is None:
        # Nobody is scored yet: files and stage have it all.
        return
    currency = home["currency"] if home else None
    bought: dict[str, list[Bought]] = defaultdict(list)
    for row in news:
        # What came before the job began is in its files, and in its scores up to the instant they look from.
        known = milliseconds(job["as_of"]) if job and row["uid"] < job["uid"] else None
        for each in row["purchases"]:
            if known is None or each["t"] > known:
                other = "" if currency in (each["y"], None) else each["y"]
                bought[each["c"]].append(Bought(each["t"], each["a"], other, each.get("o", 0)))
    names = list(bought)
    for start in range(0, len(names), _ADDED_AT_ONCE):
        some = {name: bought[name] for name in names[start : start + _ADDED_AT_ONCE]}
        _add(some, currency, lambda purchase: abroad or not purchase.currency)


def due(now: datetime, most: int) -> list[Row]:
    """Who is to be scored anew (customer, uid, asked): first who bought, then whom jobs asked for."""
    rows = PurchaseHistory.rows()
    at = {"due": {"$lte": now}}
    read = {"customer": 1, "uid": 1, "asked": 1}
    found = list(rows.find({**at, "bought": True}, read, sort=[("due", 1)], limit=most))
    if len(found) < most:
        found += rows.find({**at, "bought": {"$ne": True}}, read, sort=[("due", 1)], limit=most - len(found))
    return found


def first_job_at_work(*kinds: str) -> Row | None:
    """The job of these kinds at work (uid, as_of) that may leave something to score with.

    It knows nothing of what is bought now.
    """
    wanted = {**ACTIVE, "kind": {"$in": kinds}, "task": {"$in": [None, SCORE]}}
    return ScoringJob.rows().find_one(wanted, {"uid": 1, "as_of": 1})


def is_known(row: Row, currency: str | None) -> bool:
    """Whether a history holds all that was bought, told in that main currency."""
    return bool(row.get("known")) and row["currency"] == currency and row.get("form") == FORM


def _add(bought: Mapping[str, list[Bought]], currency: str | None, counts: Callable[[Bought], bool]) -> None:
    now = clock.now()
    histories = PurchaseHistory.rows()
    known = {row["customer"]: row for row in histories.find({"uid": {"$in": list(map(uid_of, bought))}})}
    # Whom jobs ask for, and whose purchases are of the future, take nobody's place.
    room = WAITING_MOST - histories.count({"bought": True, "due": {"$lte": now}}, limit=WAITING_MOST)
    operations, left_to_jobs = [], []
    for customer, purchases in bought.items():
        row = known.get(customer, {})
        changes: Row = {}
        if is_known(row, currency):
            try:
                changes = History.of_row(row).add(purchases, milliseconds(now)).to_row()
            except TooManyKeptError:
                changes = {"known": False}
        counting = [purchase.time for purchase in purchases if counts(purchase)]
        update: Row = {}
        waits = "due" in row and row["due"] <= now
        if counting and (waits or room > 0):
            due = max(now, instant(min(counting)))
            changes |= {"due": min(due, row.get("due", due)), "bought": True}
            room -= changes["due"] <= now and not (waits and row.get("bought"))
            update["$inc"] = {"asked": 1}
        else:
            left_to_jobs += [customer] if counting else []
            if not row:
                continue
        new = {"customer": customer, **({} if "known" in changes else {"known": False})}
        operations.append(
            UpdateOne({"uid": uid_of(customer)}, update | {"$set": changes, "$setOnInsert": new}, upsert=True)
            if changes
            else None
        )
    histories.bulk_write(operation for operation in operations if operation is not None)
    leave_to_jobs(left_to_jobs)


def leave_to_jobs(customers: Collection[str]) -> None:
    """Notes that scores of these customers are known to be out of date until the next job."""
    leave_values_to_jobs(customers)
    leave_risks_to_jobs(customers)


def leave_values_to_jobs(customers: Collection[str]) -> None:
    """The same of all but their risks of leaving."""
    if customers:
        uids = set(map(uid_of, aliases.resolve(customers).values()))
        Score.rows().update_many({"uid": {"$in": list(uids)}}, {"$set": {"outdated_since": clock.now()}})


def leave_risks_to_jobs(customers: Collection[str]) -> None:
    """The same of their risks of leaving."""
    if customers:
        uids = set(map(uid_of, aliases.resolve(customers).values()))
        with_risk = {"uid": {"$in": list(uids)}, "churn.job": {"$gt": ""}}
        Score.rows().update_many(with_risk, {"$set": {"churn.outdated_since": clock.now()}})


def load(customers: Collection[str], currency: str, blobs: BlobStore, now: datetime) -> set[str]:
    """Makes the histories of these customers known, from files and stage; returns those it could."""
    names = set(customers)
    rows_of: dict[int, int] = defaultdict(int)
    files = manifest_files()
    for file in files:
        rows_of[file["bucket"]] += file["rows"]
    names = {name for name in names if rows_of[bucket_of(name)] <= READ_ROWS_MOST}
    found: dict[str, list[Bought]] = {name: [] for name in names}
    for name, bought in _read(names, currency, files, blobs):
        found[name].append(bought)
    # What was news is in what was read.
    mine = list(names)
    PurchaseNews.rows().update_many({"purchases.c": {"$in": mine}}, {"$pull": {"purchases": {"c": {"$in": mine}}}})
    operations = []
    for name, purchases in found.items():
        try:
            history = History().add(purchases, milliseconds(now))
        except TooManyKeptError:
            names.discard(name)
            continue
        changes = history.to_row() | {"customer": name, "known": True, "currency": currency}
        operations.append(UpdateOne({"uid": uid_of(name)}, {"$set": changes}, upsert=True))
    PurchaseHistory.rows().bulk_write(operations)
    return names


def _read(
    names: Collection[str], currency: str, files: Iterable[Row], blobs: BlobStore
) -> Iterable[tuple[str, Bought]]:
    buckets: dict[int, list[str]] = defaultdict(list)
    for name in names:
        buckets[bucket_of(name)].append(name)
    for file in files:
        if wanted := buckets.get(file["bucket"]):
            with blobs.open(subject_of(file["bucket"]), file["name"]) as opened:
                for name, at, amount, code, of in parquet.bought_by(opened, wanted):
                    yield name, Bought(at, amount, "" if code == currency else code, order_of(of))
    for row in StagedPurchase.rows().find({"staged": True, "customer": {"$in": list(names)}}, hint="staged"):
        other = "" if row["currency"] == currency else row["currency"]
        time, order = milliseconds(row["event_time"]), order_of(row["order_id"] or "")
        yield row["customer"], Bought(time, row["amount_minor"], other, order)


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def instant(milliseconds: int) -> datetime:
    """The instant so many milliseconds after 1970 began."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
