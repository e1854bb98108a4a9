"""How a document is written whole: guarded by its version, with its events and the mark of the request."""

from collections.abc import Iterable
from typing import Any, ClassVar

import pymongo.errors
from google.protobuf.message import Message
from mongoengine import IntField

from chassis import clock, consistency
from chassis.consistency import Written
from chassis.errors import Aborted, Unavailable
from docstore import outbox
from docstore.connection import Row
from docstore.documents import InstantField, TenantDocument, whole_milliseconds
from docstore.errors import Conflict, already_exists, duplicate_fields
from docstore.idempotency import KEPT_PER_DOCUMENT, Mark, current_attempt, expired

_OWN_FIELDS = {"_id", "tenant", "uid", "version", "create_time", "update_time"}


class GuardedDocument(TenantDocument):
    """What an aggregate is made of: fields, version, etag, pending events, and the one update that writes them.

    Besides its fields the stored document has `outbox` (unsent events) and `requests` (marks of the requests that
    wrote it); both are written by updates only and are never part of a read document.
    """

    meta: ClassVar[dict[str, Any]] = {"abstract": True}
    hidden: ClassVar[tuple[str, ...]] = ("outbox",)

    resource: ClassVar[str] = ""
    """Collection part of the resource name, such as `customers`."""

    version: Any = IntField(required=True, default=0)
    """1 after the insert; every further write adds 1. 0: not stored yet."""
    schema_version: Any = IntField(required=True)
    create_time: Any = InstantField()
    update_time: Any = InstantField()
    delete_time: Any = InstantField()
    purge_time: Any = InstantField()

    def __init__(self, *args: Any, **values: Any) -> None:
        self._requests: list[Row] = values.pop("requests", [])
        self._events: list[outbox.Pending] = []
        for hidden in ("purged", *self.hidden):
            values.pop(hidden, None)
        super().__init__(*args, **values)
        if self.schema_version is None:
            self.schema_version = self.schema

    @property
    def name(self) -> str:
        """The resource name (AIP-122), such as `customers/0192…`."""
        return self.described(self.uid)

    @property
    def etag(self) -> str:
        """Changes with every write (AIP-154); quoted as in HTTP."""
        return f'"{self.version}"'

    @classmethod
    def described(cls, uid: str) -> str:
        """The resource name of the document with that uid."""
        return f"{cls.resource}/{uid}"

    def emit(self, event: Message, datasubjects: Iterable[str] = ()) -> None:
        """Publish an event with the next write of this document: both happen or neither does.

        The event is taken as it is now. `datasubjects` are the names of the people it is about; when none are given,
        the customers named in it (`outbox.people`). Raises ValueError for a message that is not declared an event or
        is about too many people.
        """
        self._events.append(outbox.pending(event, datasubjects))
        if len(self._events) > outbox.CAP:
            raise ValueError(f"one write carries at most {outbox.CAP} events; use one event with a repeated field")

    def write_guard(self) -> Row:
        """What else must hold of the stored document at a write, besides its version. Override it to add to it."""
        return {}

    def _first_row(self) -> Row:
        """What is stored of a new document, its events included."""
        now = whole_milliseconds(clock.now())
        self.version = 1
        self.create_time = self.create_time or now
        self.update_time = now
        row = self.to_row()
        if self._events:
            row["outbox"] = self._outbox_entries(version=1)
        return row

    def _changes(self) -> dict[str, Any]:
        """The update that saves what was changed, without events; empty when there is neither change nor event."""
        self.validate()
        changed, removed = self._delta()
        changed = {path: value for path, value in changed.items() if path not in _OWN_FIELDS}
        if not (changed or removed or self._events):
            return {}
        update: dict[str, Any] = {
            "$set": {**changed, "update_time": whole_milliseconds(clock.now())},
            "$inc": {"version": 1},
        }
        if removed:
            update["$unset"] = removed
        return update

    def _after_save(self, update: dict[str, Any]) -> None:
        self.version += 1
        self.update_time = update["$set"]["update_time"]
        self._clear_changed_fields()

    def check_etag(self, expected: str | None) -> None:
        """Raises Aborted ETAG_MISMATCH when a caller's etag is not the document's."""
        if not self.version:
            raise RuntimeError(f"{self.name} is not stored yet: insert it first")
        if expected and expected not in (self.etag, "*"):
            raise self._etag_mismatch()

    def _etag_mismatch(self) -> Aborted:
        return Aborted(
            "ETAG_MISMATCH",
            f"{self.name} has changed since it was read; read it again and repeat the change on what it is now.",
            metadata={"resource": self.name},
        )

    def _outbox_entries(self, version: int) -> list[Row]:
        entries = outbox.entries(
            self._events,
            subject=self.name,
            tenant=self.tenant,
            version=version,
            time=whole_milliseconds(clock.now()),
        )
        consistency.note(Written(entry["id"], entry["type"], entry["subject"], *entry["sequence"]) for entry in entries)
        return entries

    def _write(self, update: dict[str, Any], expected_etag: str | None) -> None:
        """Complete the update with events and request mark and send it; an empty one is not sent."""
        attempt = current_attempt()
        mark = attempt.mark_for(self) if attempt else None
        push: dict[str, Any] = {}
        if self._events:
            push["outbox"] = {"$each": self._outbox_entries(version=self.version + 1)}
        if mark:
            kept = [entry for entry in self._requests if not expired(entry)]
            if update and len(kept) < len(self._requests):
                # One update cannot both pull and push; the version guard makes setting the whole list safe.
                update["$set"]["requests"] = [*kept, mark.entry()][-KEPT_PER_DOCUMENT:]
            else:
                push["requests"] = {"$each": [mark.entry()], "$slice": -KEPT_PER_DOCUMENT}
        if push:
            update["$push"] = push
        if update:
            self._guarded_update(update, mark, expected_etag)
        self._after_write(mark)
        if attempt:
            attempt.wrote()

    def _guarded_update(self, update: Any, mark: Mark | None, expected_etag: str | None) -> None:
        guard = self._guard()
        if mark:
            guard["requests.key"] = {"$ne": mark.key}
        try:
            matched = self.rows().update_one(guard, update).matched_count
        except pymongo.errors.DuplicateKeyError as error:
            if "requests.key" in duplicate_fields(error):
                raise Conflict(self.name) from error
            raise already_exists(self.name, error) from error
        if matched:
            return
        self._refuse_full_outbox()
        raise self._etag_mismatch() if expected_etag and expected_etag != "*" else Conflict(self.name)

    def _guard(self) -> dict[str, Any]:
        """What must hold of the stored document at a write."""
        guard: dict[str, Any] = {"uid": self.uid, "version": self.version, **self.write_guard()}
        if self._events:
            guard[self._last_slot()] = {"$exists": False}
        return guard

    def _last_slot(self) -> str:
        """The place in the outbox that is taken when the pending events do not fit any more."""
        return f"outbox.{outbox.CAP - len(self._events)}"

    def _refuse_full_outbox(self) -> None:
        full = {"uid": self.uid, "version": self.version, self._last_slot(): {"$exists": True}}
        if self._events and self.rows().find_one(full, {"_id": 1}):
            raise Unavailable(
                "OUTBOX_FULL",
                f"{self.name} has too many changes waiting to be published; try again later.",
                metadata={"resource": self.name},
                retry_after_s=2.0,
            )

    def _after_write(self, mark: Mark | None) -> None:
        self._events = []
        if mark:
            self._requests = [*self._requests, mark.entry()]
        self._created = False
        self._clear_changed_fields()
