"""Keeps when things happened in files beside the purchases and refunds: what features are computed from in bulk.

Staged by `work` in one small row a message, written by `run` while it writes the tenant's files, and kept for
`KEPT_DAYS` (`domain.happenings`); `usecases.retention` takes them out of the files then. What happens to contracts
(`domain.subscriptions`) is also written into files of its own, which are kept as long as purchases.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo import InsertOne
from rapport.identity.v1 import events_pb2

import docstore
from chassis import clock, ids
from docstore import Row
from docstore.blobs import BlobStore
from docstore.leases import LeaseLost
from scoring.domain.buckets import bucket_of
from scoring.domain.happenings import KEPT_DAYS, order_of
from scoring.domain.purchases import KIND_TRACK, ORDER_REFUNDED
from scoring.domain.subscriptions import SUBSCRIPTION_EVENTS
from scoring.settings import ScoringSettings
from scoring.store.activity import NO_CONTRACT, Activity, StagedActivity, packed, unpacked
from scoring.store.features import ACTIVITY, SUBSCRIPTIONS
from scoring.usecases import earlier_refunds, flushing, staging

_ROWS, _EVENTS = 5_000, 50_000
"""Staged rows, each of a message, and events in them, that are written at once at most. So many rows do not wait."""
STAGED: Row = {"size": {"$gt": 0}}
"""All that is staged, in an order that an index gives."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stage(events: Sequence[events_pb2.TrackedEvent], happenings: Sequence[Row]) -> None:
    """Stages those of the events that are neither purchases nor refunds; part of a transaction.

    happenings: what `signals.note_events` made of each, in their order, so that it is made once.
    """
    kept = [
        (event, row) for event, row in zip(events, happenings, strict=True) if not (row["y"] and staging.is_kept(event))
    ]
    if not kept:
        return
    money, subscriptions = list[Row](), list[Row]()
    for place, (event, row) in enumerate(kept):
        if row["y"]:
            told = {"amount": row["a"], "currency": row["y"], "order_id": event.order_id}
            money.append({"place": place, **told})
        if row["e"] in SUBSCRIPTION_EVENTS:
            of = order_of(event.subscription_id) if event.kind == KIND_TRACK else NO_CONTRACT
            if of:
                subscriptions.append({"place": place, "subscription": of})
    values = packed([row for _, row in kept], clock.real_now(), money, subscriptions)
    StagedActivity.rows().gather([InsertOne({"uid": ids.uuid7(), **values})])


def waiting_tenants(settings: ScoringSettings) -> list[str]:
    """Tenants whose staged events are due, by number or by age."""
    due = []
    with docstore.platform_scope():
        rows = docstore.platform_collection(StagedActivity)
        for tenant in sorted(rows.distinct("tenant", {"tenant": {"$gt": ""}})):
            staged = {"tenant": tenant}
            oldest = rows.find_one(staged, {"stage_time": 1}, sort=[("stage_time", 1)])
            old = oldest and clock.real_now() - oldest["stage_time"] >= timedelta(seconds=settings.flush_seconds)
            if old or rows.count_documents(staged, limit=_ROWS) == _ROWS:
                due.append(tenant)
    return due


def flush(settings: ScoringSettings, blobs: BlobStore) -> int | None:
    """Writes all staged events of the current tenant into files; returns how many.

    None while another process writes for the tenant, or when it took over; nothing is lost then.
    """
    written = 0
    with flushing.writing(settings) as leased:
        if leased is None:
            return None
        try:
            while staged := _oldest():
                written += _write(staged, leased, blobs)
                if not flushing.goes_on_writing(leased):
                    break
        except LeaseLost:
            return None
    return written


def _oldest() -> list[Row]:
    """The staged rows that are written next."""
    found: list[Row] = []
    events = 0
    for row in StagedActivity.rows().find(STAGED, sort=[("stage_time", 1)], limit=_ROWS):
        events += row["size"]
        if found and events > _EVENTS:
            break
        found.append(row)
    return found


def oldest_staged_age() -> float:
    """Seconds since the oldest events of any tenant that wait for their file were staged; 0 when none do."""
    with docstore.platform_scope():
        rows = docstore.platform_collection(StagedActivity)
        found = [
            rows.find_one({"tenant": tenant}, {"stage_time": 1}, sort=[("stage_time", 1)])
            for tenant in rows.distinct("tenant", {"tenant": {"$gt": ""}})
        ]
    now = clock.real_now()
    return max(((now - row["stage_time"]).total_seconds() for row in found if row), default=0.0)


def _write(staged: list[Row], leased: Row, blobs: BlobStore) -> int:
    kept_from = clock.now() - timedelta(days=KEPT_DAYS)
    by_bucket: dict[int, list[Row]] = defaultdict(list)
    of_contracts: dict[int, list[Row]] = defaultdict(list)
    refunds: list[Row] = []  # staged by a version that did not keep them with the purchases
    for each in (each for row in staged for each in unpacked(row)):
        time = _EPOCH + timedelta(milliseconds=each.time)
        if each.event == ORDER_REFUNDED and each.amount:
            refunds.append(_row(each, time))
        elif time > kept_from:
            by_bucket[bucket_of(each.customer)].append(_row(each, time))
        if each.event in SUBSCRIPTION_EVENTS and each.subscription != NO_CONTRACT:
            of_contracts[bucket_of(each.customer)].append(_row(each, time) | {"subscription": each.subscription})
    changed = flushing.heads(leased)
    for kind, buckets in ((ACTIVITY, by_bucket), (SUBSCRIPTIONS, of_contracts)):
        for bucket, rows in sorted(buckets.items()):
            changed[kind].files = flushing.with_file_of(kind, bucket, rows, changed[kind].files, blobs)
    uids = [row["uid"] for row in staged]

    def commit() -> None:
        flushing.switch(leased, changed)
        earlier_refunds.stage(refunds)
        StagedActivity.rows().delete_many({"uid": {"$in": uids}})

    docstore.in_transaction(commit)
    return sum(len(rows) for rows in by_bucket.values())


def _row(activity: Activity, time: datetime) -> Row:
    return {
        "customer": activity.customer,
        "order_id": activity.order_id,
        "event_time": time,
        "amount_minor": activity.amount,
        "currency": activity.currency,
        "event": activity.event,
        "id": activity.id,
    }
