"""Every query of the store runs on an index, and none asks without its tenant."""

from datetime import timedelta

import pytest

import docstore
from docstore import leases
from docstore.explain import assert_indexed
from identity.store import (
    Customer,
    IdentifierRow,
    IngestionBatch,
    Merge,
    MergeConflict,
    QuarantinedEvent,
    TimelineEntry,
)
from identity.store.merges import ACTIVE

from .conftest import NOW, identify, track

SERVICE = "identity"


@pytest.fixture(scope="module")
def crowded(client_of, applier):
    """A tenant among others, with enough rows that a scan shows."""
    for tenant in ("other", "crowded"):
        client = client_of(tenant)
        for part in range(3):
            client.apply(
                *(
                    track(f"m{part}-{n}", f"u{n % 40}", event=f"E{n % 4}", event_time=NOW + timedelta(minutes=n))
                    for n in range(100)
                ),
                identify(f"i{part}", f"u{part}", {"email": f"p{part}@example.com", "address": {"country": "DE"}}),
                identify(f"j{part}", f"v{part}", {"email": f"p{part}@example.com"}),
            )
        client.send(*(track(f"bad{n}") for n in range(40)))
    return client_of("crowded")


def test_queries_use_indexes(crowded):
    with crowded.context():
        uids = [customer.uid for customer in Customer.find({"merged": False}, limit=3)]
        merged = Customer.find({"merged": True})[0]
        row = IdentifierRow.rows().find_one({})
        listed = {"delete_time": None, "merged": False}
        assert_indexed(Customer, {"uid": {"$in": uids}})
        assert_indexed(Customer, {"purged": None, "canonical": {"$in": [merged.canonical]}})
        assert_indexed(Customer, listed, [("create_time", 1), ("_id", 1)], limit=10)
        assert_indexed(Customer, listed | {"region_code": "DE"}, [("create_time", 1), ("_id", 1)], limit=2)
        assert_indexed(Customer, listed | {"language_code": "de"}, [("create_time", 1), ("_id", 1)], limit=10)
        assert_indexed(Customer, {"merged": True}, [("canonical", 1)])
        assert_indexed(IdentifierRow, {"uid": {"$in": [row["uid"]]}})
        assert_indexed(IdentifierRow, {"customer": {"$in": uids}})
        assert_indexed(Merge, {"ends": {"$in": uids}, "state": ACTIVE, "purged": None})
        assert_indexed(Merge, {"delete_time": None}, [("create_time", -1), ("_id", -1)], limit=2)
        assert_indexed(
            Merge, {"delete_time": None, "customer": merged.canonical}, [("create_time", -1), ("_id", -1)], limit=2
        )
        assert_indexed(
            Merge, {"delete_time": None, "merged_customer": merged.uid}, [("create_time", -1), ("_id", -1)], limit=2
        )
        assert_indexed(MergeConflict, {"key": "k"})
        assert_indexed(MergeConflict, {"customers": {"$in": uids}})
        assert_indexed(MergeConflict, {}, [("create_time", -1), ("_id", -1)], limit=2)
        assert_indexed(QuarantinedEvent, {"expire_time": {"$gt": NOW}}, [("create_time", -1), ("_id", -1)], limit=10)
        entry = TimelineEntry.rows().find_one({})
        assert_indexed(TimelineEntry, {"uid": {"$in": [entry["uid"]]}})
        newest = [("event_time", -1), ("_id", -1)]
        assert_indexed(TimelineEntry, {"customer": uids[0]}, newest, limit=3)
        assert_indexed(TimelineEntry, {"customer": {"$in": uids}}, newest, limit=3, max_keys=30)
        within = {"$gte": NOW, "$lt": NOW + timedelta(minutes=10)}
        assert_indexed(TimelineEntry, {"event": "E1", "event_time": within})


def test_pages_of_a_merged_timeline_stay_on_the_index(crowded):
    with crowded.context():
        merged = Customer.find({"merged": True})[0]
        members = sorted([merged.uid, merged.canonical])
        last = TimelineEntry.find({"customer": {"$in": members}}, [("event_time", -1), ("_id", -1)], limit=3)[-1]
        named = {"customer": {"$in": members}}
        after = {
            "$or": [
                {"$and": [named, {"event_time": {"$lt": last.event_time}}]},
                {"$and": [named, {"event_time": last.event_time}, {"_id": {"$lt": last.id}}]},
            ]
        }
        assert_indexed(
            TimelineEntry, {**named, "$and": [after]}, [("event_time", -1), ("_id", -1)], limit=3, max_keys=40
        )


def test_summaries_read_the_index_alone(crowded):
    with crowded.context():
        match = TimelineEntry.rows().scoped({"event": "E1"})
        for group in (
            {"_id": "$currency_code", "events": {"$sum": 1}, "amount": {"$sum": "$amount_minor"}},
            {"_id": "$customer"},
        ):
            command = {"aggregate": "timeline", "pipeline": [{"$match": match}, {"$group": group}], "cursor": {}}
            explained = docstore.database().command("explain", command, verbosity="queryPlanner")
            planner = explained.get("queryPlanner") or explained["stages"][0]["$cursor"]["queryPlanner"]
            plan = str(planner["winningPlan"])
            assert "PROJECTION_COVERED" in plan
            assert "'FETCH'" not in plan


def test_what_serves_all_tenants_uses_indexes(crowded):
    with docstore.platform_scope():
        for collection, filter, sort in [
            ("customers", {"purge_time": {"$lte": NOW}, "merged": False}, {}),
            ("ingestion_batches", {"state": {"$in": ["PENDING", "APPLYING"]}, **leases.free()}, {}),
        ]:
            command = {"find": collection, "filter": filter, **({"sort": sort} if sort else {})}
            explained = str(docstore.database().command("explain", command)["queryPlanner"]["winningPlan"])
            assert "COLLSCAN" not in explained, collection
    assert IngestionBatch.resource == "ingestionBatches"
