"""Rows: documents without a version or events of their own."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import pymongo.errors

from docstore.documents import TenantDocument
from docstore.errors import already_exists


class Record(TenantDocument):
    """A row of one tenant: a timeline entry, an identifier, a decision.

    Change rows through `rows()` (tenant-bound pymongo): idempotent bulk operations, no hydration.
    """

    meta: ClassVar[dict[str, Any]] = {"abstract": True}

    def insert(self) -> Self:
        """Store the row. Raises AlreadyExists when its uid or another unique key is taken."""
        try:
            self.rows().insert_one(self.to_row())
        except pymongo.errors.DuplicateKeyError as error:
            raise already_exists(self.described(self.uid), error) from error
        self._created = False
        return self

    @classmethod
    def insert_many(cls, records: Iterable[Self]) -> int:
        """Store rows in one round trip; returns how many. Raises pymongo.errors.BulkWriteError on a taken key."""
        rows = [record.to_row() for record in records]
        return len(cls.rows().insert_many(rows).inserted_ids) if rows else 0
