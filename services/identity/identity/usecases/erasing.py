"""Erasing people (GDPR article 17), and with them all names the merge graph gives them.

First the graph is asked who the person is: members that the request did not name are answered, and nothing of the graph
goes until it names them all, or a crash could lose them. Customers and identifiers go last, in one transaction, so that
a repeat finds what it needs; keyed fingerprints of the identifiers take their place and keep late events out. Whoever
comes back later, by a later event or by hand, is a new customer. Former names answer as names that never were.
"""

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from bson import Binary
from rapport.identity.v1.identity_service_pb2 import IngestEventsRequest

import docstore
from chassis import clock
from docstore import batches
from docstore.connection import Row
from eventing.erasing import Erased
from identity.domain.identifiers import Kind
from identity.settings import IdentitySettings
from identity.store import (
    Customer,
    Facet,
    IdentifierRow,
    IngestionBatch,
    Merge,
    MergeConflict,
    QuarantinedEvent,
    TimelineEntry,
)
from identity.store.erasures import erased, remember
from identity.usecases import applying
from identity.usecases.tenant import region_of_tenant

_WITH_PAYLOAD = {"state": {"$in": [batches.PENDING, batches.APPLYING, batches.FAILED]}}
_SIGNIFICANT_DIGITS = 9
"""Of a phone number's end: sources write it with and without country and separators."""


def erase(customers: list[str], settings: IdentitySettings) -> Erased:
    """Erases everything of these customers (resource names); for `eventing.erasing`."""
    uids = [name.removeprefix(f"{Customer.resource}/") for name in customers]
    if further := _members(uids) - set(uids):
        return _not_yet(further)
    identifiers = list(IdentifierRow.rows().find({"customer": {"$in": uids}}))
    quarantined = _erase_quarantined(identifiers)
    of_them = {"customer": {"$in": uids}}
    entries = TimelineEntry.rows().delete_many(of_them).deleted_count
    facets = Facet.rows().delete_many(of_them).deleted_count
    graph = docstore.in_transaction(lambda: _erase_graph(uids))
    if isinstance(graph, Erased):
        return graph
    return Erased(
        {
            **graph,
            "quarantinedEvents": (quarantined, 0),
            "timelineEntries": (entries, 0),
            "facets": (facets, 0),
            "ingestedEvents": (_erase_ingested(settings), 0),
        }
    )


def _not_yet(further: Iterable[str]) -> Erased:
    """The answer that makes everybody erase these customers (uids) as well, and asks here again."""
    return Erased({}, frozenset(map(Customer.described, further)))


def _members(uids: Collection[str]) -> set[str]:
    """Uids of all members of the profiles of these customers, deleted ones too."""
    rows = Customer.rows()
    known = {"uid": 1, "canonical": 1}
    canonicals = {row["canonical"] for row in rows.find({"uid": {"$in": list(uids)}, "purged": None}, known)}
    return {row["uid"] for row in rows.find({"canonical": {"$in": list(canonicals)}}, known)}


def _erase_graph(uids: list[str]) -> dict[str, tuple[int, int]] | Erased:
    """Removes customers, identifiers, merges and conflicts, in a transaction; or nothing, for members nobody named."""
    if further := _members(uids) - set(uids):
        return _not_yet(further)
    identifiers = IdentifierRow.rows()
    remember(identifiers.find({"customer": {"$in": uids}}), docstore.whole_milliseconds(clock.now()))
    return {
        "identifiers": (identifiers.delete_many({"customer": {"$in": uids}}).deleted_count, 0),
        "merges": (Merge.rows().delete_many({"ends": {"$in": uids}}).deleted_count, 0),
        "mergeConflicts": (MergeConflict.rows().delete_many({"customers": {"$in": uids}}).deleted_count, 0),
        "customers": (Customer.rows().delete_many({"uid": {"$in": uids}}).deleted_count, 0),
    }


def _erase_ingested(settings: IdentitySettings) -> int:
    """Takes events about erased people out of batches that still hold what was sent; returns how many.

    A runner that has such a batch in hand drops them by itself (`usecases.applying`).
    """
    region, block_list = region_of_tenant(settings), settings.block_list()
    rows = IngestionBatch.rows()
    count = 0
    for row in rows.find(_WITH_PAYLOAD, {"uid": 1, "source": 1, "payload": 1, "create_time": 1}):
        request = IngestEventsRequest.FromString(row["payload"])
        read = [applying.read(one, row["source"], region, block_list) for one in enumerate(request.events)]
        gone = erased([one.evidence for one in read], row["create_time"])
        if not gone:
            continue
        kept = [event for place, event in enumerate(request.events) if place not in gone]
        payload = IngestEventsRequest(source=request.source, events=kept).SerializeToString()
        as_read = {"uid": row["uid"], "payload": row["payload"]}
        count += len(gone) * rows.update_one(as_read, {"$set": {"payload": Binary(payload)}}).modified_count
        applying.quarantine_erased(row["uid"], row["source"], gone)
    return count


def _erase_quarantined(identifiers: Collection[Row]) -> int:
    """Removes quarantined events whose body names one of the identifiers; returns how many.

    Ids of a source count as whole JSON strings and in events of that source; addresses and numbers count anywhere.
    """
    patterns: list[dict[str, Any]] = []
    for row in identifiers:
        kind = Kind(row["kind"])
        quoted = re.escape(json.dumps(row["value"], ensure_ascii=False))
        if kind.of_source:
            patterns.append({"source": row["source"], "body": {"$regex": quoted}})
        elif kind is Kind.PHONE:
            digits = row["value"].removeprefix("+")[-_SIGNIFICANT_DIGITS:]
            patterns.append({"body": {"$regex": r"[^\d]{0,3}".join(digits)}})
        else:
            patterns.append({"body": {"$regex": rf"(?<![\w.+-]){quoted[1:-1]}(?![\w-])", "$options": "i"}})
    if not patterns:
        return 0
    return QuarantinedEvent.rows().delete_many({"$or": patterns}).deleted_count
