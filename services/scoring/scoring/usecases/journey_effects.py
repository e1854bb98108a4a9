"""Computes what journeys that hold people out brought: one pass over who entered, a bounded part at a time.

For role `run`. Outcomes come from what segments know of customers: times and amounts of purchases, 400 days of them.
"""

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import docstore
from chassis import clock
from docstore import Row, aliases, due, leases
from eventing import tombstones
from scoring.domain.journey_outcomes import WINDOW_DEFAULT, WINDOWS, Purchase, Tally
from scoring.domain.purchases import ORDER_COMPLETED
from scoring.store import JourneyEffect, JourneyEntrant, Profile
from scoring.store.journeys import KEPT
from scoring.store.objections import objecting
from scoring.usecases import journey_reports, journey_uplift
from scoring.usecases.journey_uplift import Trial

AT_ONCE = 500
PEOPLE_MOST = 200_000
"""Of one journey; of more a part chosen by chance stands for all."""
LEASE_S = 120.0
LEARNING_S = 600.0
"""The longest that learning whom a journey moves may take."""
AGAIN = timedelta(hours=1)
AGAIN_LARGE = timedelta(hours=24)
_LARGE = 20_000
_PARTS = 2**32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

logger = logging.getLogger(__name__)


@dataclass
class Pass:
    """What one look at everybody who entered a journey found. looked: how many were there."""

    tally: Tally
    trial: Trial = field(default_factory=Trial)
    looked: int = 0


def compute_due(owner: str) -> int:
    """Computes one journey of any tenant that is due; returns how many it did."""
    return due.work(JourneyEffect, 1, LEASE_S, owner, "computeJourneyEffect", lambda row: compute(row, clock.now()))


def compute(row: Row, now: datetime) -> None:
    """Computes what is known at that instant of a claimed `JourneyEffect`, and gives it back; of the current tenant."""
    found = look(row["uid"], now, row)
    if found is None:
        return  # whoever holds the lease now computes it
    leases.renew(JourneyEffect.rows(), row, LEARNING_S)
    now = docstore.whole_milliseconds(now)
    changes: Row = {
        "windows": {str(days): journey_reports.report(found.tally, days) for days in WINDOWS},
        "compute_time": now,
        "uplift": journey_uplift.renewed(row.get("uplift") or {}, found.trial),
    }
    again = AGAIN if 0 < found.looked <= _LARGE else AGAIN_LARGE
    JourneyEffect.rows().bulk_write([due.plan(row, changes, now + again)])


def look(journey: str, now: datetime, leased: Row) -> Pass | None:
    """Counts what everybody did who entered the journey of that uid; None when the lease was lost meanwhile."""
    found = Pass(Tally((now - _EPOCH) // timedelta(milliseconds=1)))
    there = JourneyEntrant.rows().count({"journey": journey})
    share = min(1.0, PEOPLE_MOST / there) if there else 1.0
    for rows in _parts(journey):
        if not leases.renew(JourneyEffect.rows(), leased, LEASE_S):
            logger.warning("lost the lease of the effect of a journey while it was computed")
            return None
        found.looked += len(rows)
        oldest = now - KEPT
        _count(found, [row for row in rows if row["entry_time"] > oldest and _drawn(row["uid"]) < share])
    return found


def _parts(journey: str) -> Iterator[list[Row]]:
    after: Row = {}
    while True:
        wanted = {"journey": journey, **after}
        rows = list(JourneyEntrant.rows().find(wanted, sort=[("_id", 1)], limit=AT_ONCE))
        if rows:
            yield rows
        if len(rows) < AT_ONCE:
            return
        after = {"_id": {"$gt": rows[-1]["_id"]}}


def _count(found: Pass, rows: Sequence[Row]) -> None:
    profiles = aliases.profiles(row["customer"] for row in rows)
    canonicals = {canonical for canonical, _ in profiles.values()}
    gone = tombstones.erased({*profiles, *canonicals})
    refused = objecting(canonicals)
    left = [row for row in rows if row["customer"] in gone or profiles[row["customer"]][0] in refused]
    if left:
        # They came while the person objected, or was erased; nothing looks at them.
        JourneyEntrant.rows().delete_many({"uid": {"$in": [row["uid"] for row in left]}})
    stay = [row for row in rows if row not in left]
    others = _others(stay, profiles)
    purchases = _purchases({name for row in stay for name in profiles[row["customer"]][1]})
    for row in stay:
        _, members = profiles[row["customer"]]
        same = [others[name] for name in members if name in others]
        if any((other["entry_time"], other["uid"]) < (row["entry_time"], row["uid"]) for other in same):
            continue
        found.tally.crossed += any(other["held_out"] != row["held_out"] for other in same)
        bought = [purchase for name in members for purchase in purchases.get(name, ())]
        entry = (row["entry_time"] - _EPOCH) // timedelta(milliseconds=1)
        done = found.tally.add(row["percent"], entry, bought, held_out=row["held_out"])
        if WINDOW_DEFAULT in done:
            found.trial.add(row["snapshot"], row["percent"], done[WINDOW_DEFAULT], held_out=row["held_out"])


def _others(rows: Sequence[Row], profiles: Mapping[str, tuple[str, list[str]]]) -> dict[str, Row]:
    """Entries of merged people into the same journey, by customer."""
    uids = {
        JourneyEntrant.uid_of(row["journey"], name)
        for row in rows
        if len(members := profiles[row["customer"]][1]) > 1
        for name in members
    }
    return {row["customer"]: row for row in JourneyEntrant.rows().find({"uid": {"$in": sorted(uids)}})} if uids else {}


def _purchases(customers: set[str]) -> dict[str, list[Purchase]]:
    """What these customers bought, as far as it is known."""
    bought = {"$and": [{"$eq": ["$$this.e", ORDER_COMPLETED]}, {"$ne": ["$$this.c", ""]}]}
    series = {"$filter": {"input": {"$ifNull": ["$series", []]}, "cond": bought}}
    uids = {"uid": {"$in": [name.rpartition("/")[2] for name in customers]}}
    rows = Profile.rows().find(uids, {"customer": 1, "series": series})
    return {
        row["customer"]: [
            Purchase(time, amount, each["c"])
            for each in row["series"]
            for time, amount in zip(each["t"], each["a"], strict=True)
            if amount >= 0  # else a refund
        ]
        for row in rows
    }


def _drawn(uid: str) -> float:
    """A number by chance from 0 to 1, the same each time."""
    return zlib.crc32(uid.encode()) / _PARTS
