"""Brings a service's database up to the code: indexes and numbered migrations; safe to repeat and to interrupt."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymongo.errors
from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.database import Database

from chassis import clock
from chassis.errors import FailedPrecondition, Unavailable
from chassis.settings import Settings
from docstore import leases
from docstore.aggregate import Aggregate
from docstore.commands import CommandRequest
from docstore.connection import Row, connect, database, is_connected
from docstore.documents import TenantDocument
from docstore.scope import platform_scope

logger = logging.getLogger(__name__)

_VERSION_ID = "schema"
_LOCK_S = 15.0
_WAIT_S = 60.0

_AGGREGATE_INDEXES: tuple[Row, ...] = (
    {
        "fields": [("tenant", 1), ("requests.key", 1)],
        "unique": True,
        "partialFilterExpression": {"requests.key": {"$exists": True}},
    },
    {
        "fields": [("outbox.time", 1)],
        "partialFilterExpression": {"outbox.0": {"$exists": True}},
        "platform": True,
    },
    {"fields": [("purged", 1)], "partialFilterExpression": {"purged": True}, "platform": True},
)
_OPTIONS = ("unique", "sparse", "partialFilterExpression", "expireAfterSeconds", "collation", "weights", "hidden")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step. `run` must be idempotent and leave what the previous release's code can still read.

    It runs in `platform_scope()`; a crash half-way makes it run again.
    """

    number: int
    description: str
    run: Callable[[Database[Row]], None]


def migrate(
    service: str, documents: Sequence[type[TenantDocument]], migrations: Sequence[Migration], settings: Settings
) -> int:
    """Create indexes, run the migrations that have not run, and return the version the database is brought to.

    Connects unless the process is connected.
    Raises ValueError for an index that leaves out the tenant or numbers that are not 1, 2, 3, …; Unavailable
    MIGRATION_RUNNING when another process still migrates the same database after a minute.
    """
    if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError("migrations are numbered 1, 2, 3, … in their order")
    if not is_connected():
        connect(settings)
    with platform_scope():
        platform = database()["platform"]
        platform.update_one({"_id": _VERSION_ID}, {"$setOnInsert": {"service": service, "version": 0}}, upsert=True)
        with _locked(platform, settings.instance) as locked:
            create_indexes(documents)
            for migration in migrations[locked["version"] :]:
                logger.info("migration %d: %s", migration.number, migration.description)
                migration.run(database())
                done = {"version": migration.number, "migrate_time": clock.real_now()}
                platform.update_one(leases.held(locked), {"$set": done})
    return len(migrations)


@contextmanager
def _locked(platform: Collection[Row], owner: str) -> Iterator[Row]:
    """Let nobody else migrate meanwhile; a lock left by a process that died is free after `_LOCK_S`."""
    deadline = time.monotonic() + _WAIT_S
    while (locked := leases.claim(platform, {"_id": _VERSION_ID}, _LOCK_S, owner)) is None:
        if time.monotonic() > deadline:
            raise Unavailable("MIGRATION_RUNNING", "Another process is migrating this database.", retry_after_s=5.0)
        time.sleep(0.5)
    ended = threading.Event()

    def renew() -> None:
        with platform_scope():
            while not ended.wait(_LOCK_S / 3):
                leases.renew(platform, locked, _LOCK_S)

    renewer = threading.Thread(target=renew, name="migration-lock", daemon=True)
    renewer.start()
    try:
        yield locked
    finally:
        ended.set()
        renewer.join()
        leases.release(platform, locked)


def require_version(number: int) -> None:
    """Raises FailedPrecondition DATABASE_TOO_OLD while the database has not seen migration `number`; for readiness.

    A newer database is fine: migrations leave what the previous release can read.
    """
    with platform_scope():
        found = database()["platform"].find_one({"_id": _VERSION_ID})
    version = found["version"] if found else -1
    if version < number:
        raise FailedPrecondition(
            "DATABASE_TOO_OLD",
            f"The database is at version {version}, the code needs {number}: run the migrate role.",
            metadata={"version": str(version), "required": str(number)},
        )


def create_indexes(documents: Iterable[type[TenantDocument]]) -> None:
    """Create the collections and indexes of the document classes; an index that was declared otherwise is replaced.

    Indexes nobody declares any more stay, so that the previous release keeps running; they are logged.
    """
    there = set(database().list_collection_names())
    classes: list[type[TenantDocument]] = [*documents, CommandRequest]
    for cls in dict.fromkeys(classes):
        _create_indexes(cls, exists=cls._get_collection_name() in there)


def _create_indexes(cls: type[TenantDocument], exists: bool) -> None:
    name = cls._get_collection_name()
    target = database()[name]
    existing = target.index_information() if exists else {}
    declared = {"_id_"}
    models = []
    for spec in declared_indexes(cls):
        index = spec.pop("name")
        keys = spec.pop("fields")
        declared.add(index)
        if index in existing:
            if not _differs(existing[index], keys, spec):
                continue
            logger.info("replacing index %s.%s", name, index)
            target.drop_index(index)
        models.append(IndexModel(keys, name=index, **spec))
    if models:
        _create(target, models)
    elif not exists:
        database().create_collection(name)
    for orphan in sorted(existing.keys() - declared):
        logger.warning("index %s.%s is declared nowhere", name, orphan)


def _create(target: Collection[Row], models: list[IndexModel]) -> None:
    """Creates indexes by one command, and the collection with them: one command for each takes many times as long."""
    try:
        target.create_indexes(models)
    except pymongo.errors.DuplicateKeyError:
        for model in models:
            _create_one(target, model)


def _create_one(target: Collection[Row], model: IndexModel) -> None:
    try:
        target.create_indexes([model])
    except pymongo.errors.DuplicateKeyError as error:
        index, fields = model.document["name"], ", ".join(model.document["key"])
        raise FailedPrecondition(
            "DUPLICATES_PRESENT",
            f"{target.name} holds documents with equal {fields}; a migration must part them before index {index}.",
            metadata={"collection": target.name, "index": index},
        ) from error


def declared_indexes(cls: type[TenantDocument]) -> list[Row]:
    """The index specs of a class: `fields` (pairs), `name` and options.

    A spec in `meta["indexes"]` is mongoengine's, plus `platform: True` for the few indexes that serve all tenants.
    Raises ValueError for any other index that does not begin with the tenant.
    """
    specs = [dict(spec) for spec in cls._meta["index_specs"]]
    if issubclass(cls, Aggregate):
        specs += [dict(spec) for spec in _AGGREGATE_INDEXES]
    for spec in specs:
        keys = [tuple(key) for key in spec["fields"]]
        everybody = spec.pop("platform", False) or "expireAfterSeconds" in spec
        if keys[0][0] != "tenant" and not everybody:
            raise ValueError(f"an index of {cls.__name__} does not begin with tenant: {', '.join(k for k, _ in keys)}")
        spec["fields"] = keys
        spec.setdefault("name", "_".join(f"{key}_{direction}" for key, direction in keys))
    return specs


def _differs(stored: Row, keys: list[tuple[str, Any]], options: Row) -> bool:
    if [tuple(key) for key in stored["key"]] != keys:
        return True
    return any((stored.get(option) or None) != (options.get(option) or None) for option in _OPTIONS)
