import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pymongo.errors
import pytest
from mongoengine import IntField, StringField
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

import docstore
from chassis import tenancy
from docstore.listener import TenantGuard, TenantlessCommand


class Note(docstore.Record):
    meta = {"collection": "notes", "indexes": [{"fields": ["tenant", "kind", "rank"]}]}
    kind = StringField()
    rank = IntField()


DOCUMENTS = [Note]

OTHER = "neighbour"


@pytest.fixture(autouse=True)
def neighbour(tenant: str) -> object:
    """Another tenant with rows under the same uids, which nothing may see or touch."""
    rows = docstore.collection(Note)
    with tenancy.service_context(OTHER):
        rows.delete_many({})
        rows.insert_many([{"uid": uid, "kind": "k", "rank": 0} for uid in "abc"])
        before = list(rows.find())
    rows.insert_many([{"uid": uid, "kind": "k", "rank": rank} for rank, uid in enumerate("ab")])
    yield
    with tenancy.service_context(OTHER):
        assert list(rows.find()) == before


def ranks() -> dict[str, int]:
    return {row["uid"]: row.get("rank") for row in docstore.collection(Note).find()}


def test_reads_see_the_tenants_rows_only() -> None:
    rows = docstore.collection(Note)
    assert rows.count() == rows.count({"kind": "k"}) == 2
    assert {row["uid"] for row in rows.find({"kind": "k"})} == {"a", "b"}
    assert rows.find_one({"uid": "c"}) is None
    assert rows.distinct("uid") == ["a", "b"]
    assert [row["n"] for row in rows.aggregate([{"$group": {"_id": "$kind", "n": {"$sum": 1}}}])] == [2]
    both = rows.union([[{"$match": {"uid": "b"}}], [{"$match": {"kind": "k"}}, {"$sort": {"rank": 1}}, {"$limit": 1}]])
    assert [row["uid"] for row in both] == ["b", "a"]
    assert len(list(rows.union([[], []]))) == 4
    assert rows.count({"$or": [{"tenant": OTHER}, {"kind": "k"}]}) == 2
    assert set(Note.get_many(["a", "c"])) == {"a"}


def test_writes_touch_the_tenants_rows_only() -> None:
    rows = docstore.collection(Note)
    rows.update_many({}, {"$inc": {"rank": 10}})
    assert ranks() == {"a": 10, "b": 11}
    rows.update_one({"kind": "k"}, [{"$set": {"rank": {"$add": ["$rank", 1]}}}])
    rows.find_one_and_update({"uid": "b"}, {"$set": {"rank": 5}})
    assert ranks() == {"a": 11, "b": 5}
    rows.delete_one({"uid": "a"})
    rows.delete_many({"kind": "k"})
    assert ranks() == {}


def test_bulk_writes_touch_the_tenants_rows_only() -> None:
    rows = docstore.collection(Note)
    result = rows.bulk_write(
        [
            InsertOne({"uid": "d", "rank": 4}),
            UpdateOne({"uid": "a"}, {"$set": {"rank": 7}}),
            UpdateOne({"uid": "e"}, {"$set": {"rank": 8}}, upsert=True),
            UpdateMany({"kind": "k"}, {"$set": {"kind": "l"}}),
            ReplaceOne({"uid": "b"}, {"rank": 9}),
            DeleteOne({"uid": "c"}),
            DeleteMany({"kind": "none"}),
        ],
        ordered=True,
    )
    assert result is not None
    assert ranks() == {"a": 7, "b": 9, "d": 4, "e": 8}
    assert rows.bulk_write([]) is None


def test_an_upsert_gets_an_identity(tenant: str) -> None:
    rows = docstore.collection(Note)
    rows.update_one({"uid": "n"}, {"$set": {"rank": 1}, "$setOnInsert": {"kind": "new"}}, upsert=True)
    assert rows.find_one({"uid": "n"}) == {
        "_id": f"{tenant}/n", "tenant": tenant, "uid": "n", "rank": 1, "kind": "new"
    }  # fmt: skip
    rows.update_one({"_id": f"{tenant}/m"}, {"$set": {"rank": 2}}, upsert=True)
    assert Note.get("m").rank == 2
    made = rows.find_one_and_update({"kind": "unique"}, {"$set": {"rank": 3}}, upsert=True)
    assert made is not None
    assert made["_id"] == f"{tenant}/{made['uid']}"
    assert Note.get(made["uid"]).kind == "unique"


def test_upserts_of_one_row_at_the_same_time_make_one_row() -> None:
    at_once = threading.Barrier(4)

    def upsert(uid: str) -> None:
        at_once.wait(10)
        docstore.collection(Note).update_one({"uid": uid}, {"$inc": {"rank": 1}}, upsert=True)
        at_once.wait(10)
        docstore.collection(Note).find_one_and_update({"uid": f"{uid}-2"}, {"$inc": {"rank": 1}}, upsert=True)

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            for done in [pool.submit(contextvars.copy_context().run, upsert, f"race-{number}") for _ in range(4)]:
                done.result(20)
    assert {rank for uid, rank in ranks().items() if uid.startswith("race")} == {4}


def test_an_upsert_that_asks_for_more_than_the_uid_tells_that_the_row_exists() -> None:
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        docstore.collection(Note).update_one({"uid": "a", "rank": 99}, {"$set": {"kind": "k"}}, upsert=True)


def test_a_repeated_upsert_inside_a_transaction_does_not_abort_it() -> None:
    """What an inbox needs: note that something was seen, and learn whether it was new."""
    rows = docstore.collection(Note)

    def seen() -> bool:
        result = rows.update_one({"uid": "event"}, {"$setOnInsert": {"rank": 1}}, upsert=True)
        rows.update_one({"uid": "a"}, {"$inc": {"rank": 1}})
        return result.upserted_id is None

    assert [docstore.in_transaction(seen), docstore.in_transaction(seen)] == [False, True]
    assert ranks()["a"] == 2


@pytest.mark.parametrize(
    "attempt",
    [
        lambda rows: rows.find({"tenant": OTHER}),
        lambda rows: rows.insert_one({"tenant": OTHER, "uid": "x"}),
        lambda rows: rows.insert_one({"_id": f"{OTHER}/x"}),
        lambda rows: rows.insert_many([{"uid": "x"}, {"_id": f"{OTHER}/x", "uid": "x"}]),
        lambda rows: rows.update_one({"uid": "a"}, {"$set": {"tenant": OTHER}}),
        lambda rows: rows.update_many({}, {"$rename": {"tenant": "was"}}),
        lambda rows: rows.update_one({"uid": "a"}, [{"$set": {"tenant": OTHER}}]),
        lambda rows: rows.update_one({"uid": "a"}, [{"$replaceWith": {"tenant": OTHER}}]),
        lambda rows: rows.update_one({"uid": "a"}, [{"$replaceWith": "$rank"}]),
        lambda rows: rows.update_one({"uid": "a"}, [{"$unset": "tenant"}]),
        lambda rows: rows.update_one({"uid": "a"}, [{"$project": {"rank": 1}}]),
        lambda rows: rows.update_one({"uid": "a"}, {"$rename": {"kind": "tenant"}}),
        lambda rows: rows.update_one({"uid": "a"}, {"rank": 1}),
        lambda rows: rows.update_one({"_id": f"{OTHER}/x"}, {"$set": {"rank": 1}}, upsert=True),
        lambda rows: rows.bulk_write([ReplaceOne({"uid": "a"}, {"tenant": OTHER})]),
        lambda rows: rows.bulk_write([UpdateOne({"uid": "a"}, {"$set": {"_id": "x"}})]),
        lambda rows: rows.aggregate([{"$lookup": {"from": "notes", "pipeline": [], "as": "all"}}]),
        lambda rows: rows.aggregate([{"$facet": {"x": [{"$unionWith": "notes"}]}}]),
        lambda rows: rows.aggregate([{"$out": "elsewhere"}]),
        lambda rows: rows.union([[], [{"$unionWith": "notes"}]]),
        lambda rows: rows.union([[], [{"$match": {"tenant": OTHER}}]]),
    ],
)
def test_leaving_the_tenant_is_refused(attempt: Callable[[docstore.TenantCollection], object]) -> None:
    with pytest.raises(ValueError):
        attempt(docstore.collection(Note))
    assert ranks() == {"a": 0, "b": 1}


def test_without_a_tenant_nothing_runs(connected: TenantGuard) -> None:
    from chassis import context

    with context.use(context.RequestContext(None, "public", frozenset(), "m")):
        for attempt in (
            lambda: docstore.collection(Note).find_one({}),
            lambda: docstore.collection(Note).insert_one({}),
            lambda: Note.new(),
            lambda: docstore.collection(Note).bulk_write([DeleteMany({})]),
        ):
            with pytest.raises(tenancy.TenantMissing):
                attempt()


def test_platform_collections_need_their_scope() -> None:
    with pytest.raises(RuntimeError):
        docstore.platform_collection(Note)
    with docstore.platform_scope():
        assert docstore.platform_collection(Note).count_documents({"kind": "k"}) >= 5
    assert not docstore.in_platform_scope()


COMMANDS: list[Callable] = [
    lambda notes: notes.find_one({"uid": "a"}),
    lambda notes: list(notes.find({"tenant": OTHER})),
    lambda notes: list(notes.find({"$or": [{"tenant": OTHER}]})),
    lambda notes: list(notes.aggregate([{"$group": {"_id": 1}}])),
    lambda notes: list(notes.aggregate([])),
    lambda notes: list(notes.aggregate([{"$match": {"tenant": tenancy.tenant()}}, {"$unionWith": "notes"}])),
    lambda notes: list(
        notes.aggregate([{"$match": {"tenant": tenancy.tenant()}}, {"$unionWith": {"coll": "notes", "pipeline": []}}])
    ),
    lambda notes: notes.count_documents({"kind": "k"}),
    lambda notes: notes.estimated_document_count(),
    lambda notes: notes.distinct("uid"),
    lambda notes: notes.insert_one({"_id": "x"}),
    lambda notes: notes.insert_many([{"_id": "x", "tenant": OTHER}]),
    lambda notes: notes.update_one({"uid": "a"}, {"$set": {"rank": 1}}),
    lambda notes: notes.bulk_write([UpdateOne({"uid": "a"}, {"$set": {"rank": 1}})]),
    lambda notes: notes.delete_many({}),
    lambda notes: notes.find_one_and_update({"uid": "a"}, {"$set": {"rank": 1}}),
    lambda notes: notes.find_one_and_delete({}),
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("transaction", [False, True])
def test_the_guard_stops_commands_without_the_tenant(
    connected: TenantGuard, command: Callable, transaction: bool
) -> None:
    notes = docstore.database()["notes"]
    with pytest.raises(TenantlessCommand, match=r"test_tenanted\.py"):
        docstore.in_transaction(lambda: command(notes)) if transaction else command(notes)
    with pytest.raises(AssertionError, match="not bound to tenant"):
        connected.check()
    connected.check()
    assert ranks() == {"a": 0, "b": 1}


def test_the_guard_lets_bound_commands_and_cursors_pass(connected: TenantGuard) -> None:
    rows = docstore.collection(Note)
    rows.insert_many([{"kind": "many"} for _ in range(300)])
    assert len(list(rows.find({"kind": "many"}, batch_size=50))) == 300
    docstore.in_transaction(lambda: rows.update_many({"kind": "many"}, {"$set": {"rank": 1}}))
    connected.check()
