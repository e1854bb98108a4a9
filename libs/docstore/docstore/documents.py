"""What all stored documents share: the tenant-bound key, and shape and validation by mongoengine."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from mongoengine import DateTimeField, Document, StringField

from chassis import ids, tenancy
from chassis.errors import NotFound
from docstore.connection import Row
from docstore.tenanted import Filter, TenantCollection, collection

Order = Sequence[tuple[str, int]]
"""Sort order: pairs of field and 1 (ascending) or -1 (descending)."""


class InstantField(DateTimeField):
    """An instant: timezone-aware on the way in, UTC, and whole milliseconds as MongoDB keeps them."""

    def __set__(self, instance: Any, value: Any) -> None:
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = whole_milliseconds(value)
        super().__set__(instance, value)

    def validate(self, value: Any) -> None:
        """Raise mongoengine.ValidationError for anything but a timezone-aware datetime."""
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.error("must be a timezone-aware datetime")


def whole_milliseconds(instant: datetime) -> datetime:
    """The instant in UTC, cut to the precision MongoDB stores."""
    return instant.astimezone(UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


class _NoQuerySet:
    """mongoengine's query sets know no tenant, so there are none."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise TypeError("query through the class methods or docstore.collection(...), not through .objects")


class TenantDocument(Document):
    """A document of one tenant. `id` (stored as `_id`) is `<tenant>/<uid>`, so equal uids of two tenants never meet."""

    meta: ClassVar[dict[str, Any]] = {"abstract": True, "strict": False, "auto_create_index": False}
    objects = _NoQuerySet()

    hidden: ClassVar[tuple[str, ...]] = ()
    """Stored fields that no reading through the class brings along."""

    schema: ClassVar[int] = 1
    """The shape this code writes; `upcast` turns older rows into it."""

    id: Any = StringField(primary_key=True)
    tenant: Any = StringField(required=True)
    uid: Any = StringField(required=True)

    @classmethod
    def new(cls, uid: str | None = None, **fields: Any) -> Self:
        """A document of the current tenant, not yet stored; without `uid` it gets a new UUIDv7."""
        uid = uid or ids.uuid7()
        return cls(id=cls.key(uid), tenant=tenancy.tenant(), uid=uid, **fields)

    @classmethod
    def key(cls, uid: str) -> str:
        """The stored `_id` of a uid of the current tenant."""
        return f"{tenancy.tenant()}/{uid}"

    @classmethod
    def rows(cls) -> TenantCollection:
        """The tenant-bound collection, for bulk work and partial reads."""
        return collection(cls)

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The document a stored row holds."""
        document: Self = cls._from_son(cls.upcast(row))
        return document

    @classmethod
    def upcast(cls, row: Row) -> Row:
        """Turn a row of an older `schema_version` into the present shape. Override it when a shape changes."""
        return row

    @classmethod
    def read_filter(cls, filter: Filter | None, *, deleted: bool) -> Filter:  # noqa: ARG003 - for subclasses
        """The filter a reading through the class uses; `deleted` asks for soft-deleted documents too."""
        return filter or {}

    @classmethod
    def projection(cls) -> dict[str, int] | None:
        """What a reading through the class leaves out."""
        return dict.fromkeys(cls.hidden, 0) or None

    @classmethod
    def get(cls, uid: str, *, deleted: bool = False) -> Self:
        """The document with that uid. Raises NotFound, also for a soft-deleted one unless `deleted`."""
        row = cls.rows().find_one(cls.read_filter({"uid": uid}, deleted=deleted), cls.projection())
        if row is None:
            raise NotFound(
                "NOT_FOUND", f"{cls.described(uid)} does not exist.", metadata={"resource": cls.described(uid)}
            )
        return cls.from_row(row)

    @classmethod
    def get_many(cls, uids: Iterable[str], *, deleted: bool = False) -> dict[str, Self]:
        """The documents with those uids, by uid, in one query; missing ones are left out."""
        filter = cls.read_filter({"uid": {"$in": list(dict.fromkeys(uids))}}, deleted=deleted)
        return {row["uid"]: cls.from_row(row) for row in cls.rows().find(filter, cls.projection())}

    @classmethod
    def find(
        cls, filter: Filter | None = None, sort: Order = (), limit: int = 1000, *, deleted: bool = False
    ) -> list[Self]:
        """The documents that match, at most `limit`; for listings to callers use `docstore.paging`."""
        cursor = cls.rows().find(cls.read_filter(filter, deleted=deleted), cls.projection(), limit=limit)
        return [cls.from_row(row) for row in (cursor.sort(list(sort)) if sort else cursor)]

    @classmethod
    def described(cls, uid: str) -> str:
        """How messages name the document with that uid."""
        return f"{cls._get_collection_name()}/{uid}"

    def to_row(self) -> Row:
        """What is stored. Raises mongoengine.ValidationError when a field is missing or malformed."""
        self.validate()
        return dict(self.to_mongo())

    def save(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Refused: a bare save neither knows the tenant nor detects concurrent changes."""
        raise TypeError(f"{type(self).__name__} is written through docstore.collection(...)")
