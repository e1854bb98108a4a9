"""Lists in pages (AIP-158), by key and never by offset: a page costs the same wherever it lies."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

import bson
from bson.errors import InvalidBSON

from chassis import context, tenancy
from chassis.errors import InvalidArgument
from chassis.keys import InvalidToken, keyring
from docstore.connection import Row
from docstore.documents import Order, TenantDocument
from docstore.tenanted import Filter, TenantCollection, whole_tenant

_KEY_USE = "page-token"

D = TypeVar("D", bound=TenantDocument)


class PageRequest(Protocol):
    """What every List request has."""

    @property
    def page_size(self) -> int:
        """Wished number of rows; 0 leaves it to the service."""

    @property
    def page_token(self) -> str:
        """`next_page_token` of the page before; empty for the first."""


@overload
def page(
    target: type[D],
    *,
    filter: Filter,
    order: Order,
    request: PageRequest,
    bind: Mapping[str, Any],
    max_page_size: int = ...,
    default: int = ...,
    deleted: bool = ...,
    ahead: Sequence[Row] = ...,
) -> tuple[list[D], str]: ...


@overload
def page(
    target: TenantCollection,
    *,
    filter: Filter,
    order: Order,
    request: PageRequest,
    bind: Mapping[str, Any],
    max_page_size: int = ...,
    default: int = ...,
    ahead: Sequence[Row] = ...,
) -> tuple[list[Row], str]: ...


def page(
    target: type[TenantDocument] | TenantCollection,
    *,
    filter: Filter,
    order: Order,
    request: PageRequest,
    bind: Mapping[str, Any],
    max_page_size: int = 1000,
    default: int = 50,
    deleted: bool = False,
    ahead: Sequence[Row] = (),
) -> tuple[list[Any], str]:
    """One page of the rows that match, in `order` (ties by `_id`, in the last field's direction), and the next token.

    Returns documents for a document class, rows (some seven times faster) for a collection; the token is empty after
    the last page. A row that exists throughout is returned exactly once, whatever is inserted meanwhile. Each field of
    `order` holds values of one type, or nothing (which sorts lowest), never a list.

    `bind` holds the request's other arguments that shape the list (filter, parent, ...): a token works only with the
    same ones, the same method and the same tenant. `max_page_size` is AIP-158's silent cap. `ahead`: rows of the same
    shape that are kept elsewhere and come before all others; for requests without a token. Raises InvalidArgument:
    INVALID_PAGE_TOKEN, INVALID_PAGE_SIZE (negative).
    """
    if request.page_size < 0:
        raise InvalidArgument(
            "INVALID_PAGE_SIZE",
            "page_size must not be negative.",
            violations=[("page_size", "must be 0 (the service decides) or more")],
        )
    size = min(request.page_size or default, max_page_size)
    if isinstance(target, TenantCollection):
        rows, projection = target, None
    else:
        rows, projection = target.rows(), target.projection()
        filter = target.read_filter(filter, deleted=deleted)
    if not order and "_id" not in filter:
        filter = {**filter, **whole_tenant()}
    order = [*order, ("_id", order[-1][1] if order else 1)]
    bound = _bound(order, bind)
    if request.page_token:
        last = _open(request.page_token, bound, len(order))
        filter = {**filter, **_after(last, order, {**filter, "tenant": tenancy.tenant()})}
    first = [] if request.page_token else list(ahead)[: size + 1]
    left = size + 1 - len(first)
    found = [*first, *(rows.find(filter, projection, sort=order, limit=left) if left else ())]
    token = _seal([_value(found[size - 1], field) for field, _ in order], bound) if len(found) > size else ""
    page_rows = found[:size]
    return (
        [target.from_row(row) for row in page_rows] if not isinstance(target, TenantCollection) else page_rows
    ), token


def _after(last: list[Any], order: Sequence[tuple[str, int]], filter: Filter) -> Row:
    """The condition for all rows behind `last`: equal in the first fields and past it in the next one.

    Each branch repeats the whole filter, so that MongoDB can walk the sort's index for each and merge them.
    """
    branches: list[Row] = []
    for position, (field, direction) in enumerate(order):
        past = _past(field, direction, last[position])
        if past is not None:
            equal = [{name: value} for (name, _), value in zip(order[:position], last, strict=False)]
            branches.append({"$and": [filter, *equal, past]})
    # `filter` may hold an $or of its own, which must not be overwritten.
    return {"$and": [*filter.get("$and", ()), {"$or": branches}]}


def _past(field: str, direction: int, value: Any) -> Row | None:
    """Rows whose `field` comes after `value`; None when there can be none. Missing values sort lowest."""
    if direction == 1:
        return {field: {"$ne": None} if value is None else {"$gt": value}}
    if value is None:
        return None
    # Not >= takes missing values along, in one range of the index; an $or of $lt and null would be sorted in memory.
    return {field: {"$not": {"$gte": value}}}


def _value(row: Row, path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _bound(order: Sequence[tuple[str, int]], bind: Mapping[str, Any]) -> bytes:
    request = context.current_or_none()
    method = request.method if request else ""
    parts = json.dumps([tenancy.tenant(), method, list(order), bind], sort_keys=True, default=str)
    return hashlib.sha256(parts.encode()).digest()


def _seal(last: list[Any], bound: bytes) -> str:
    sealed = keyring().seal(_KEY_USE, bson.encode({"last": last}), bound)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _open(token: str, bound: bytes, fields: int) -> list[Any]:
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        opened: Row = bson.decode(keyring().open(_KEY_USE, sealed, bound), bson.CodecOptions(tz_aware=True))
    except (InvalidToken, InvalidBSON, binascii.Error, ValueError) as error:
        raise InvalidArgument(
            "INVALID_PAGE_TOKEN",
            "page_token does not belong to this list; use the last answer's next_page_token with unchanged arguments.",
            violations=[("page_token", "is not a token of this list with these arguments")],
        ) from error
    last: list[Any] = opened["last"]
    assert len(last) == fields, "the sort order is part of what the token is bound to"
    return last
