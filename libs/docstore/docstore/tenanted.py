"""Collections that know their tenant: the only way a service reads and writes its data."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pymongo.errors
from mongoengine import Document
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.collection import Collection
from pymongo.command_cursor import CommandCursor
from pymongo.cursor import Cursor
from pymongo.results import BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from chassis import ids, tenancy
from docstore import gathering
from docstore.connection import Row, database
from docstore.errors import duplicate_fields
from docstore.scope import in_platform_scope
from docstore.transactions import transaction_active

R = TypeVar("R")
Filter = Mapping[str, Any]
Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Operation = InsertOne[Row] | UpdateOne | UpdateMany | ReplaceOne[Row] | DeleteOne | DeleteMany

_CROSS_COLLECTION_STAGES = {"$lookup", "$graphLookup", "$unionWith", "$out", "$merge"}
_IDENTITY = {"_id", "tenant"}


class TenantCollection:
    """One collection seen by the current tenant (`chassis.tenancy`); without a tenant every call raises TenantMissing.

    The methods are pymongo's. Each filter is narrowed to the tenant; a `uid` in a filter, alone or with `$in`, is
    looked up by `_id`; each inserted document gets `tenant`, `uid` (a new one unless given) and `_id`
    (`<tenant>/<uid>`). Options in `**options` are passed to pymongo.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def find(self, filter: Filter | None = None, projection: Any = None, **options: Any) -> Cursor[Row]:
        """Rows that match, lazily."""
        return self._raw().find(self.scoped(filter), projection, **options)

    def find_one(self, filter: Filter | None = None, projection: Any = None, **options: Any) -> Row | None:
        """The first row that matches, or None."""
        return self._raw().find_one(self.scoped(filter), projection, **options)

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]], **options: Any) -> CommandCursor[Row]:
        """Run a pipeline over the tenant's rows. Stages that reach into other collections raise ValueError."""
        return self._raw().aggregate(self._scoped_pipeline(pipeline), **options)

    def union(self, pipelines: Sequence[Sequence[Mapping[str, Any]]], **options: Any) -> CommandCursor[Row]:
        """The results of several pipelines over the tenant's rows, one after the other, in one round trip.

        Each is planned by itself, so each may be sorted and limited by an index of its own. Raises what `aggregate`
        raises.
        """
        first, *others = map(self._scoped_pipeline, pipelines)
        joined = [{"$unionWith": {"coll": self.name, "pipeline": pipeline}} for pipeline in others]
        return self._raw().aggregate([*first, *joined], **options)

    def count(self, filter: Filter | None = None, **options: Any) -> int:
        """How many rows match (`limit=` bounds the work)."""
        return self._raw().count_documents(self.scoped(filter), **options)

    def distinct(self, key: str, filter: Filter | None = None, **options: Any) -> list[Any]:
        """The different values of a field among the rows that match."""
        return self._raw().distinct(key, self.scoped(filter), **options)

    def insert_one(self, document: Row, **options: Any) -> InsertOneResult:
        """Insert a row (a copy: `document` itself is not changed)."""
        return self._raw().insert_one(self._owned(document), **options)

    def insert_many(self, documents: Iterable[Row], *, ordered: bool = True, **options: Any) -> InsertManyResult:
        """Insert rows in one round trip per 100,000."""
        return self._raw().insert_many([self._owned(row) for row in documents], ordered=ordered, **options)

    def update_one(self, filter: Filter, update: Update, *, upsert: bool = False, **options: Any) -> UpdateResult:
        """Change the first row that matches; with `upsert`, insert one when none does."""
        scoped = self.scoped(filter)
        changes = self._changes(scoped, update, upsert)
        return _once_more(scoped, lambda: self._raw().update_one(scoped, changes, upsert=upsert, **options))

    def update_many(self, filter: Filter, update: Update, **options: Any) -> UpdateResult:
        """Change all rows that match."""
        scoped = self.scoped(filter)
        return self._raw().update_many(scoped, self._changes(scoped, update, upsert=False), **options)

    def find_one_and_update(
        self, filter: Filter, update: Update, *, upsert: bool = False, after: bool = True, **options: Any
    ) -> Row | None:
        """Change the first row that matches and return it as it is after (or, with `after=False`, was before)."""
        scoped = self.scoped(filter)
        changes = self._changes(scoped, update, upsert)
        wanted = ReturnDocument.AFTER if after else ReturnDocument.BEFORE
        return _once_more(
            scoped,
            lambda: self._raw().find_one_and_update(scoped, changes, upsert=upsert, return_document=wanted, **options),
        )

    def delete_one(self, filter: Filter, **options: Any) -> DeleteResult:
        """Delete the first row that matches."""
        return self._raw().delete_one(self.scoped(filter), **options)

    def delete_many(self, filter: Filter, **options: Any) -> DeleteResult:
        """Delete all rows that match."""
        return self._raw().delete_many(self.scoped(filter), **options)

    def bulk_write(
        self, operations: Iterable[Operation], *, ordered: bool = False, **options: Any
    ) -> BulkWriteResult | None:
        """Send many writes at once, unordered unless asked; None when there are none."""
        scoped = [self._scoped_operation(operation) for operation in operations]
        return self._raw().bulk_write(scoped, ordered=ordered, **options) if scoped else None

    def gather(self, operations: Iterable[Operation]) -> None:
        """Send writes in this order: at the end of the block inside `gathered_writes()`, else now.

        For writes whose result nobody looks at and that nobody reads before the transaction ends.
        """
        scoped = [self._scoped_operation(operation) for operation in operations]
        if scoped and not gathering.gather(self.name, scoped):
            self._raw().bulk_write(scoped)

    def scoped(self, filter: Filter | None) -> Row:
        """The filter narrowed to the current tenant. Raises ValueError when it names another tenant."""
        tenant = tenancy.tenant()
        narrowed: Row = {"tenant": tenant, **(filter or whole_tenant())}
        if narrowed["tenant"] != tenant:
            raise ValueError("the filter names another tenant")
        if "_id" not in narrowed:
            uid = narrowed.get("uid")
            if isinstance(uid, str):
                narrowed["_id"] = f"{tenant}/{uid}"
            elif isinstance(uid, Mapping) and set(uid) == {"$in"}:
                narrowed["_id"] = {"$in": [f"{tenant}/{item}" for item in uid["$in"]]}
        return narrowed

    def _scoped_pipeline(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        refused = _stages(pipeline) & _CROSS_COLLECTION_STAGES
        if refused:
            raise ValueError(f"{', '.join(sorted(refused))} would leave the tenant's rows; read the other side by id")
        head, rest = (
            ({}, pipeline) if not pipeline or "$match" not in pipeline[0] else (pipeline[0]["$match"], pipeline[1:])
        )
        return [{"$match": self.scoped(head)}, *rest]

    def _raw(self) -> Collection[Row]:
        return database()[self.name]

    def _owned(self, document: Mapping[str, Any]) -> Row:
        tenant = tenancy.tenant()
        key = document.get("_id")
        uid = document.get("uid") or (key.partition("/")[2] if isinstance(key, str) else ids.uuid7())
        owned: Row = {"_id": f"{tenant}/{uid}", **document, "tenant": tenant, "uid": uid}
        if owned["_id"] != f"{tenant}/{uid}" or document.get("tenant", tenant) != tenant:
            raise ValueError("the document belongs to another tenant")
        return owned

    def _changes(self, scoped: Row, update: Update, upsert: bool) -> Any:
        """The update, checked not to move a row to another tenant; an upsert also gets its identity."""
        if not isinstance(update, Mapping):
            for stage in update:
                _check_stage(stage)
            if upsert and not isinstance(scoped.get("_id"), str):
                raise ValueError("an upsert by pipeline needs the uid in its filter")
            return update
        for operator, fields in update.items():
            if not operator.startswith("$"):
                raise ValueError("an update consists of operators such as $set")
            targets = {*fields, *fields.values()} if operator == "$rename" else set(fields)
            if _IDENTITY & targets:
                raise ValueError("an update cannot change tenant or _id")
        if not upsert:
            return update
        tenant = scoped["tenant"]
        key = scoped.get("_id")
        identity: Row = {}
        if isinstance(key, str):
            if not key.startswith(f"{tenant}/"):
                raise ValueError("the filter names another tenant")
            uid = key.removeprefix(f"{tenant}/")
        else:
            uid = ids.uuid7()
            identity["_id"] = f"{tenant}/{uid}"
        if "uid" not in scoped:
            identity["uid"] = uid
        return {**update, "$setOnInsert": {**update.get("$setOnInsert", {}), **identity}} if identity else update

    def _scoped_operation(self, operation: Operation) -> Operation:
        """A copy of the operation bound to the tenant (pymongo keeps an operation's parts in these attributes)."""
        bound: Any = copy.copy(operation)
        if isinstance(operation, InsertOne):
            bound._doc = self._owned(bound._doc)
            return operation.__class__(bound._doc)
        bound._filter = self.scoped(bound._filter)
        if isinstance(operation, UpdateOne | UpdateMany):
            bound._doc = self._changes(bound._filter, bound._doc, bool(bound._upsert))
        elif isinstance(operation, ReplaceOne):
            key = bound._filter.get("_id")
            bound._doc = self._owned({"_id": key, **bound._doc} if isinstance(key, str) else bound._doc)
        return bound  # type: ignore[no-any-return]


def whole_tenant() -> Row:
    """All rows of the current tenant as a range of `_id`: what a query without any other condition is served by."""
    tenant = tenancy.tenant()
    return {"_id": {"$gt": f"{tenant}/", "$lt": f"{tenant}0"}}  # 0 follows / in ASCII


def collection(target: type[Document] | str) -> TenantCollection:
    """The tenant-bound collection of a document class, or of that name."""
    return TenantCollection(target if isinstance(target, str) else target._get_collection_name())


def platform_collection(target: type[Document] | str) -> Collection[Row]:
    """The bare pymongo collection, all tenants in it. Raises RuntimeError outside `platform_scope()`."""
    if not in_platform_scope():
        raise RuntimeError("platform_collection() works only inside platform_scope()")
    return database()[target if isinstance(target, str) else target._get_collection_name()]


def _once_more(scoped: Row, write: Callable[[], R]) -> R:
    """The result of a write, done again where another upsert of the same uid came between.

    The server repeats such an upsert by itself only where the filter holds nothing but `_id`, and ours hold the tenant.
    A filter with conditions is not repeated: there the clash says that the row exists and does not meet them.
    """
    try:
        return write()
    except pymongo.errors.DuplicateKeyError as error:
        if duplicate_fields(error) != ["_id"] or not set(scoped) <= {"_id", "tenant", "uid"} or transaction_active():
            raise
        return write()


def _stages(value: Any) -> set[str]:
    """All keys that start with `$`, however deep (`$facet` holds pipelines)."""
    if isinstance(value, Mapping):
        return {key for key in value if key.startswith("$")}.union(*(_stages(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_stages(item) for item in value))
    return set()


def _check_stage(stage: Mapping[str, Any]) -> None:
    """Raises ValueError for a stage of an update pipeline that changes whose row it is, or could."""
    for operator, argument in stage.items():
        if operator in ("$set", "$addFields"):
            kept = not _IDENTITY & set(argument)
        elif operator == "$unset":
            kept = not _IDENTITY & ({argument} if isinstance(argument, str) else set(argument))
        elif operator == "$replaceWith":
            kept = isinstance(argument, Mapping) and all(argument.get(key) == f"${key}" for key in _IDENTITY)
        else:
            raise ValueError(f"an update pipeline consists of $set, $unset and $replaceWith, not {operator}")
        if not kept:
            raise ValueError("an update cannot change tenant or _id")
