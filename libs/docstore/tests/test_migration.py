import logging
import time
from typing import Any

import pytest
from mongoengine import IntField, StringField
from pymongo.database import Database

import docstore
from chassis import tenancy
from chassis.errors import FailedPrecondition, Unavailable
from chassis.settings import Settings
from docstore import leases, migration
from docstore.migration import Migration, create_indexes, declared_indexes, migrate, require_version


class Parcel(docstore.Aggregate):
    meta = {"collection": "parcels", "indexes": [{"fields": ["tenant", "code"], "unique": True, "name": "code"}]}
    resource = "parcels"
    code = StringField()


def record(collection: str, *indexes: Any, **fields: Any) -> type[docstore.Record]:
    """A class as another release of the code declares it."""
    return type("Stamp", (docstore.Record,), {"meta": {"collection": collection, "indexes": list(indexes)}, **fields})


@pytest.fixture(autouse=True)
def empty_platform(connected: object) -> None:
    with docstore.platform_scope():
        docstore.database()["platform"].delete_many({})


def indexes(collection: str) -> dict[str, Any]:
    return dict(docstore.database()[collection].index_information())


def run(settings: Settings, *migrations: Migration) -> int:
    return migrate("docstore", [Parcel], migrations, settings)


def test_indexes_of_an_aggregate() -> None:
    create_indexes([Parcel])
    create_indexes([Parcel])
    found = indexes("parcels")
    assert found["code"]["key"] == [("tenant", 1), ("code", 1)]
    assert found["tenant_1_requests.key_1"]["unique"]
    assert found["outbox.time_1"]["partialFilterExpression"] == {"outbox.0": {"$exists": True}}
    assert indexes("requests")["time_1"]["expireAfterSeconds"] == 86400


def test_the_relays_query_uses_its_index(tenant: str) -> None:
    create_indexes([Parcel])
    Parcel.new(code="x").insert()
    with docstore.platform_scope():
        plan = docstore.platform_collection(Parcel).find({"outbox.0": {"$exists": True}}).sort("outbox.time").explain()
    assert "outbox.time_1" in str(plan["queryPlanner"]["winningPlan"])


def test_a_changed_index_is_replaced_and_an_orphan_stays(caplog: pytest.LogCaptureFixture) -> None:
    one = {"fields": ["tenant", "rank"], "name": "rank"}
    create_indexes([record("stamps", one, {"fields": ["tenant", "old"]}, rank=IntField(), old=IntField())])
    with caplog.at_level(logging.WARNING, "docstore.migration"):
        create_indexes([record("stamps", {**one, "unique": True, "fields": ["tenant", "-rank"]}, rank=IntField())])
    found = indexes("stamps")
    assert found["rank"]["key"] == [("tenant", 1), ("rank", -1)]
    assert found["rank"]["unique"]
    assert "tenant_1_old_1" in found
    assert "stamps.tenant_1_old_1 is declared nowhere" in caplog.text


def test_indexes_begin_with_the_tenant() -> None:
    with pytest.raises(ValueError, match="does not begin with tenant: rank"):
        declared_indexes(record("stamps2", {"fields": ["rank"]}, rank=IntField()))
    with pytest.raises(ValueError, match="does not begin with tenant: code"):
        declared_indexes(record("stamps2", code=StringField(unique=True)))
    allowed = record("stamps3", {"fields": ["rank"], "platform": True}, rank=IntField())
    assert [spec["name"] for spec in declared_indexes(allowed)] == ["rank_1"]


def test_duplicates_are_told_without_values(tenant: str) -> None:
    rows = docstore.collection("stamps4")
    rows.insert_many([{"code": "ann@example.com"}, {"code": "ann@example.com"}])
    with pytest.raises(FailedPrecondition) as caught:
        create_indexes([record("stamps4", {"fields": ["tenant", "code"], "unique": True}, code=StringField())])
    assert caught.value.reason == "DUPLICATES_PRESENT"
    assert "ann@example.com" not in str(caught.value)


def test_migrations_run_once_in_order_and_go_on_after_a_crash(settings: Settings) -> None:
    ran: list[int] = []
    broken = [True]

    def second(database: Database[docstore.Row]) -> None:
        ran.append(2)
        docstore.platform_collection("parcels").update_many({"code": None}, {"$set": {"code": "none"}})
        if broken:
            raise KeyError

    steps = [Migration(1, "one", lambda _: ran.append(1)), Migration(2, "two", second)]
    with pytest.raises(KeyError):
        run(settings, *steps)
    require_version(1)
    with pytest.raises(FailedPrecondition) as caught:
        require_version(2)
    assert caught.value.reason == "DATABASE_TOO_OLD"
    broken.clear()
    assert run(settings, *steps) == 2
    assert run(settings, *steps) == 2
    require_version(2)
    assert ran == [1, 2, 2]
    # A rolled-back release finds a newer database and is fine with it.
    assert run(settings, steps[0]) == 1
    require_version(2)


def test_a_database_nobody_migrated_is_too_old(settings: Settings) -> None:
    with pytest.raises(FailedPrecondition):
        require_version(0)
    run(settings)
    require_version(0)


def test_two_migrations_at_once_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run(settings)
    monkeypatch.setattr(migration, "_WAIT_S", 0.2)
    with docstore.platform_scope():
        held = leases.claim(docstore.database()["platform"], {"_id": "schema"}, 60, "other")
        assert held is not None
        with pytest.raises(Unavailable) as caught:
            run(settings)
        assert caught.value.reason == "MIGRATION_RUNNING"
        leases.release(docstore.database()["platform"], held)
    run(settings)


def test_a_dead_migrations_lock_is_waited_for(settings: Settings) -> None:
    run(settings)
    with docstore.platform_scope():
        assert leases.claim(docstore.database()["platform"], {"_id": "schema"}, 0.7, "dead") is not None
    assert run(settings, Migration(1, "one", lambda _: None)) == 1


def test_a_long_migration_keeps_its_lock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "_LOCK_S", 0.3)
    claims: list[Any] = []

    def long(database: Database[docstore.Row]) -> None:
        started = time.monotonic()
        while time.monotonic() - started < 1.0:
            claims.append(leases.claim(database["platform"], {"_id": "schema"}, 0.3, "other"))

    run(settings, Migration(1, "long", long))
    assert set(claims) == {None}
    require_version(1)


def test_numbers_without_a_gap(settings: Settings) -> None:
    with pytest.raises(ValueError, match="1, 2, 3"):
        run(settings, Migration(2, "two", lambda _: None))


def test_a_unique_key_is_per_tenant(tenant: str) -> None:
    create_indexes([Parcel])
    Parcel.new(code="same").insert()
    with tenancy.service_context("elsewhere"):
        Parcel.new(code="same").insert()
