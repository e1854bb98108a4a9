"""Keeps segments: takes in signals, looks again at whom time may have changed, and at all after a segment's change.

One process at a time keeps the segments of a tenant, by a lease that every transaction proves. A turn is one such
transaction of a few hundred customers; the three kinds of work take turns, so that none waits long for another.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import pymongo.errors

import docstore
from chassis import clock, tenancy
from chassis.errors import RapportError
from docstore import Conflict, Row, leases
from docstore.documents import TenantDocument
from scoring.domain.happenings import Happening
from scoring.store import Profile, Segment, SegmentKeeper, SegmentSignal
from scoring.store.profiles import KEEPER
from scoring.usecases.settling import Asked, Cause, News, settle
from scoring.usecases.signals import CUSTOMER

LEASE_S = 5.0
"""How long the segments of a killed keeper wait for another one."""
_BUDGET_S = 1.0
_CHUNK = 500
_SIGNALS = 50
_SIGNALS_SIZE = 1_000
_PATIENCE_S = 60.0
_FAILED_S = 10.0
"""When a tenant's segments are looked at again after a failure."""

logger = logging.getLogger(__name__)


def evaluate_due(owner: str = "") -> int:
    """Keeps the segments of every tenant with work, each for a while; returns how many tenants had any."""
    tenants = waiting_tenants()
    for tenant in tenants:
        with tenancy.service_context(tenant, method="evaluate"):
            try:
                keep(owner)
            except pymongo.errors.PyMongoError:
                raise
            except Exception:
                # The other tenants must not wait for this one, whatever is the matter with its data.
                logger.exception("evaluate failed for one tenant")
    return len(tenants)


def evaluate_all(owner: str = "") -> None:
    """Takes in everything the current tenant's segments wait for, by itself or by waiting for who keeps them."""
    deadline = time.monotonic() + _PATIENCE_S
    while _has_work():
        if time.monotonic() >= deadline:
            logger.warning("segments are behind after %.0f s of waiting; they follow by themselves", _PATIENCE_S)
            return
        if not keep(owner):
            time.sleep(0.05)


def keep(owner: str = "", budget_s: float = _BUDGET_S) -> bool:
    """Works on the current tenant's segments until nothing is left or the budget is used.

    False when another process keeps them.
    """
    rows = SegmentKeeper.rows()
    leased = claim(owner)
    if leased is None:
        return False
    turns = (_take_in_signals, _look_at_due, _let_out_of_deleted, _scan)
    end = time.monotonic() + budget_s
    renewed = time.monotonic()
    pause_s = 0.0
    try:
        while True:
            worked = [turn(leased) for turn in turns]
            if not any(worked) or time.monotonic() >= end:
                return True
            if time.monotonic() - renewed > LEASE_S / 5:
                renewed = time.monotonic()
                leases.renew(rows, leased, LEASE_S)
    except Conflict:
        logger.info("a segment was changed while members moved; they are moved again")
        return True
    except leases.LeaseLost:
        logger.warning("another process took over a tenant's segments")
        return False
    except (pymongo.errors.PyMongoError, RapportError):
        raise
    except Exception:
        pause_s = _FAILED_S
        raise
    finally:
        leases.release(rows, leased, pause_s=pause_s)


def claim(owner: str) -> Row | None:
    """The lease of who keeps the current tenant's segments; None when another process has it."""
    rows = SegmentKeeper.rows()
    leased = leases.claim(rows, {"uid": KEEPER}, LEASE_S, owner)
    made = {"$setOnInsert": {"turns": 0}}
    if leased is None and not rows.update_one({"uid": KEEPER}, made, upsert=True).matched_count:
        leased = leases.claim(rows, {"uid": KEEPER}, LEASE_S, owner)
    return leased


def waiting_tenants() -> list[str]:
    """Tenants whose segments wait for something."""
    with docstore.platform_scope():
        tenants: set[str] = set()
        for cls, waiting in _waiting():
            # The tenant's bound lets MongoDB skip from one tenant to the next in the index.
            found = docstore.platform_collection(cls).distinct("tenant", {"tenant": {"$gt": ""}, **waiting})
            tenants.update(found)
    return sorted(tenants)


def _waiting() -> tuple[tuple[type[TenantDocument], Row], ...]:
    """What there is to do: collections, and the rows in them."""
    return (
        (SegmentSignal, {"rank": {"$gte": 0}}),
        (Profile, {"due": {"$lte": clock.now()}}),
        (Segment, {"evaluation_due": True}),
    )


def _has_work() -> bool:
    return any(cls.rows().find_one(waiting, {"_id": 1}) is not None for cls, waiting in _waiting())


def as_keeper(leased: Row, work: Callable[[], int], changes: Row | None = None) -> int:
    """Runs a turn in a transaction that fails unless this process still keeps the tenant's segments.

    Raises LeaseLost then, and what the turn raises.
    """

    def once() -> int:
        done = work()
        leases.change(SegmentKeeper.rows(), leased, {"$inc": {"turns": 1}, **(changes or {})})
        return done

    return docstore.in_transaction(once)


def _take_in_signals(leased: Row) -> bool:
    order = [("rank", 1), ("_id", 1)]
    found = list(SegmentSignal.rows().find({"rank": {"$gte": 0}}, sort=order, limit=_SIGNALS))
    size = 0
    signals: list[Row] = []
    for signal in found:
        size += signal["size"]
        if signals and size > _SIGNALS_SIZE:
            break
        signals.append(signal)
    if not signals:
        return False
    news = news_of(signals)
    uids = [signal["uid"] for signal in signals]

    def once() -> int:
        # Only those that are still there: an erasure may have taken people out of them meanwhile.
        there = list(SegmentSignal.rows().find({"uid": {"$in": uids}}))
        moved = settle(news if there == signals else news_of(there), Asked.read())
        SegmentSignal.rows().delete_many({"uid": {"$in": uids}})
        return moved

    as_keeper(leased, once)
    return True


def news_of(signals: Iterable[Row]) -> dict[str, News]:
    """What signals tell, by customer."""
    found: dict[str, News] = defaultdict(News)
    for signal in signals:
        for event in signal.get("events", ()):
            news = found[event["c"]]
            known = (event["e"], event["s"], event["y"], event["t"], event["a"], event["i"], event.get("o", 0))
            news.events.append(Happening(*known))
            news.causes.add(signal["cause"])
            if news.keys is not None:
                news.keys.add(f"event:{event['e']}")
        for state in signal.get("states", ()):
            news = found[state["customer"]]
            news.states.append(state)
            news.causes.add(signal["cause"])
            if state["kind"] == CUSTOMER:
                news.keys = None
            elif news.keys is not None:
                news.keys.add("consent")
        for customer in signal.get("customers", ()):
            news = found[customer]
            news.causes.add(signal["cause"])
            if signal["cause"] != Cause.CAUSE_SCORES_CHANGED:
                news.keys = None
            elif news.keys is not None:
                news.keys.add("scores")
    return found


def _look_at_due(leased: Row) -> bool:
    due = {"due": {"$lte": clock.now()}}
    rows = list(Profile.rows().find(due, {"customer": 1}, sort=[("due", 1)], limit=_CHUNK))
    if rows:
        names = [row["customer"] for row in rows]
        as_keeper(leased, lambda: settle(_everything(names, Cause.CAUSE_TIME_PASSED), Asked.read()))
    return bool(rows)


def _let_out_of_deleted(leased: Row) -> bool:
    deleted = Segment.find({"evaluation_due": True, "delete_time": {"$ne": None}}, limit=1, deleted=True)
    if not deleted:
        return False
    uid = deleted[0].uid
    names = [row["customer"] for row in Profile.rows().find({"segments": uid}, {"customer": 1}, limit=_CHUNK)]
    if not names:
        deleted[0].purge()
        return True
    as_keeper(leased, lambda: settle(_everything(names, Cause.CAUSE_SEGMENT_DELETED), Asked.read()))
    return True


def _scan(leased: Row) -> bool:
    """Looks at some more customers for the segments that were created or changed."""
    wanted = {row["uid"]: row["version"] for row in Segment.rows().find(_CHANGED, {"uid": 1, "version": 1})}
    if not wanted:
        return False
    keeper = SegmentKeeper.rows().find_one({"uid": KEEPER}) or {}
    scan = keeper.get("scan") or {}
    segments = {uid: version for uid, version in scan.get("segments", {}).items() if wanted.get(uid) == version}
    after = scan["after"] if segments else ""
    segments = segments or wanted
    place = {"_id": {"$gt": Profile.key(after), "$lt": f"{tenancy.tenant()}0"}}
    rows = list(Profile.rows().find(place, {"uid": 1, "customer": 1}, sort=[("_id", 1)], limit=_CHUNK))
    ended = len(rows) < _CHUNK
    keys = {f"changed:{uid}" for uid in segments}

    def once() -> int:
        news = {row["customer"]: News(causes={Cause.CAUSE_SEGMENT_CHANGED}, keys=set(keys)) for row in rows}
        moved = settle(news, Asked.read())
        if ended:
            for uid, version in segments.items():
                done = {"uid": uid, "version": version, "evaluation_due": True}
                Segment.rows().update_one(done, {"$unset": {"evaluation_due": ""}})
        return moved

    new = {} if ended else {"after": rows[-1]["uid"], "segments": segments}
    as_keeper(leased, once, {"$set": {"scan": new}})
    return True


_CHANGED: Row = {"evaluation_due": True, "delete_time": None}


def _everything(customers: Iterable[str], cause: Cause.Cause) -> dict[str, News]:
    return {customer: News(causes={cause}, keys=None) for customer in customers}
