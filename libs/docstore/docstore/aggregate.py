"""Documents that are written whole: state, version, events and request mark in one update."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self

import pymongo.errors
from google.protobuf.message import Message
from pymongo import UpdateOne

from chassis import clock
from docstore import outbox
from docstore.documents import whole_milliseconds
from docstore.errors import Conflict, already_exists
from docstore.guarded import GuardedDocument
from docstore.idempotency import Mark, current_attempt
from docstore.tenanted import Filter, whole_tenant
from docstore.transactions import transaction_active


class Aggregate(GuardedDocument):
    """A document with a version, events and idempotent writes; the unit that is consistent in itself."""

    meta: ClassVar[dict[str, Any]] = {"abstract": True}

    purge_after: ClassVar[timedelta] = timedelta(days=30)
    """How long a soft-deleted document can be brought back (AIP-164)."""

    @classmethod
    def read_filter(cls, filter: Filter | None, *, deleted: bool) -> Filter:
        """Hides soft-deleted documents unless `deleted`, and tombstones always."""
        hide = {"purged": None} if deleted else {"delete_time": None}
        return {**hide, **(filter or whole_tenant())}

    def state_events(self) -> list[Message]:
        """The STATE events that describe the document as it is now, for republishing. Override it to publish state."""
        return []

    def insert(self) -> Self:
        """Store the new document with its events; returns it, or the stored one when the request is a repeat.

        Raises AlreadyExists when the uid or another unique key is taken (ALREADY_EXISTS) or the request id came with
        other content before (REQUEST_ID_REUSED). Inside a transaction a refusal ends the transaction.
        """
        attempt = current_attempt()
        mark = attempt.mark_for(self) if attempt else None
        row = self._first_row()
        if mark:
            row["requests"] = [mark.entry()]
        try:
            self.rows().insert_one(row)
        except pymongo.errors.DuplicateKeyError as error:
            self.version = 0
            repeated = self.find_request(mark) if mark else None
            if repeated is None:
                raise already_exists(self.name, error) from error
            return repeated
        self._after_write(mark)
        if attempt:
            attempt.wrote()
        return self

    def save(self, expected_etag: str | None = None) -> Self:
        """Write the changed fields with the emitted events, guarded by the version that was read.

        `expected_etag` is the caller's, if it gave one. Writes nothing when nothing changed. Raises Aborted
        ETAG_MISMATCH, Conflict when somebody else wrote meanwhile, and Unavailable OUTBOX_FULL.
        """
        self.check_etag(expected_etag)
        update = self._changes()
        anew = bool(update)  # a request's mark alone is no new version
        self._write(update, expected_etag)
        if anew:
            self._after_save(update)
        return self

    @classmethod
    def insert_many(cls, documents: Iterable[Self]) -> None:
        """Store new documents with their events, in one round trip; only inside a transaction, so all or none.

        Raises AlreadyExists when one exists. The mark of a request is left by `@command(None)`.
        """
        _refuse_outside_transaction()
        new = list(documents)
        if not new:
            return
        try:
            cls.rows().insert_many([document._first_row() for document in new])
        except pymongo.errors.BulkWriteError as error:
            first = (error.details or {})["writeErrors"][0]
            raise already_exists(cls.resource, pymongo.errors.DuplicateKeyError("", details=first)) from error
        for document in new:
            document._after_write(None)

    @classmethod
    def save_many(cls, documents: Iterable[Self]) -> None:
        """Write the changed ones among the documents like `save`, in one round trip; only inside a transaction.

        Raises Conflict when somebody else wrote one of them meanwhile, and Unavailable OUTBOX_FULL.
        """
        _refuse_outside_transaction()
        changed = [(document, update) for document in documents if (update := document._changes())]
        for document, update in changed:
            document.check_etag(None)
            if document._events:
                update["$push"] = {"outbox": {"$each": document._outbox_entries(version=document.version + 1)}}
        written = cls.rows().bulk_write(UpdateOne(document._guard(), update) for document, update in changed)
        if written is not None and written.matched_count < len(changed):
            for document, _ in changed:
                document._refuse_full_outbox()
            raise Conflict(cls.resource)
        for document, update in changed:
            document._after_save(update)
            document._after_write(None)

    def soft_delete(self, expected_etag: str | None = None) -> Self:
        """Hide the document; it can be brought back until `purge_time` (AIP-164). Writes like `save`."""
        self.delete_time = whole_milliseconds(clock.now())
        self.purge_time = self.delete_time + self.purge_after
        return self.save(expected_etag)

    def undelete(self, expected_etag: str | None = None) -> Self:
        """Bring a soft-deleted document back. Writes like `save`."""
        self.delete_time = None
        self.purge_time = None
        return self.save(expected_etag)

    def purge(self, expected_etag: str | None = None) -> None:
        """Erase the content for good; a tombstone stays until its events are out. Raises what `save` raises."""
        self.check_etag(expected_etag)
        attempt = current_attempt()
        mark = attempt.mark_for(self) if attempt else None
        now = whole_milliseconds(clock.now())
        tombstone = {
            "_id": "$_id",
            "tenant": "$tenant",
            "uid": "$uid",
            "schema_version": "$schema_version",
            "version": {"$add": ["$version", 1]},
            "delete_time": {"$ifNull": ["$delete_time", now]},
            "purged": {"$literal": True},
            "requests": {"$literal": [mark.entry()] if mark else []},
            "outbox": {
                "$concatArrays": [
                    {"$ifNull": ["$outbox", []]},
                    {"$literal": self._outbox_entries(version=self.version + 1)},
                ]
            },
        }
        self._guarded_update([{"$replaceWith": tombstone}], mark, expected_etag)
        self.rows().delete_one({"uid": self.uid, **outbox.PURGED_AND_SENT})
        self.version += 1
        self._after_write(mark)
        if attempt:
            attempt.wrote()

    @classmethod
    def find_request(cls, mark: Mark) -> Self | None:
        """The document a request has written. Raises AlreadyExists REQUEST_ID_REUSED for other content."""
        row = cls.rows().find_one({"requests.key": mark.key}, cls.projection())
        if row is None:
            return None
        for entry in row["requests"]:
            if entry["key"] == mark.key:
                mark.check(entry["body"])
        return cls.from_row(row)


def _refuse_outside_transaction() -> None:
    if not transaction_active():
        raise RuntimeError("bulk writes of aggregates belong into a transaction: otherwise some may fail and some not")


def aggregates() -> list[type[Aggregate]]:
    """All aggregate classes the process has imported, by collection name: the relay and `migrate` walk them."""
    found: list[type[Aggregate]] = []
    waiting: list[type[Aggregate]] = [Aggregate]
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        if not cls._meta.get("abstract"):
            found.append(cls)
    return sorted(found, key=lambda cls: cls._get_collection_name())


def aggregate_of(name: str) -> tuple[type[Aggregate], str]:
    """Class and uid of a resource name. Raises KeyError when no imported class has that resource."""
    resource, _, uid = name.rpartition("/")
    for cls in aggregates():
        if cls.resource == resource:
            return cls, uid
    raise KeyError(resource)
