from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongoengine import IntField, StringField

import docstore
from chassis import tenancy
from chassis.errors import InvalidArgument
from docstore.paging import page

START = datetime(2026, 1, 1, tzinfo=UTC)


class Item(docstore.Record):
    meta = {
        "collection": "items",
        "indexes": [{"fields": ["tenant", "kind", "rank", "_id"]}, {"fields": ["tenant", "rank", "_id"]}],
    }
    kind = StringField()
    rank = IntField()
    text = StringField()
    time = docstore.InstantField()


class Book(docstore.Aggregate):
    meta = {"collection": "books"}
    resource = "books"
    title = StringField()


DOCUMENTS = [Item, Book]


@dataclass
class Request:
    page_size: int = 0
    page_token: str = ""


rows = st.fixed_dictionaries(
    {},
    optional={
        "rank": st.one_of(st.none(), st.integers(-2, 2)),
        "text": st.one_of(st.none(), st.sampled_from(["", "a", "B", "b", "ä", "€"])),
        "time": st.sampled_from([START + timedelta(milliseconds=n) for n in (-1, 0, 1)]),
    },
)
orders = st.lists(
    st.tuples(st.sampled_from(["rank", "text", "time"]), st.sampled_from([1, -1])),
    unique_by=lambda pair: pair[0],
    max_size=3,
)


def sort_key(value: Any) -> tuple[bool, Any]:
    """MongoDB's order: nothing first, text by its UTF-8 bytes."""
    return (value is not None, value.encode() if isinstance(value, str) else value)


def in_order(found: list[docstore.Row], order: list[tuple[str, int]]) -> list[str]:
    for field, direction in [("_id", order[-1][1] if order else 1), *reversed(order)]:
        found = sorted(found, key=lambda row: sort_key(row.get(field)), reverse=direction == -1)
    return [row["uid"] for row in found]


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(rows, max_size=14), st.lists(rows, max_size=8), orders, st.integers(1, 5), st.booleans())
def test_every_row_once_and_in_order_while_rows_come(
    tenant: str,
    existing: list[docstore.Row],
    coming: list[docstore.Row],
    order: list[tuple[str, int]],
    size: int,
    filtered: bool,
) -> None:
    items = docstore.collection(Item)
    items.delete_many({})
    # An $or of the caller's own must survive the one that paging adds.
    condition: dict[str, Any] = {"$or": [{"kind": "wanted"}, {"kind": "also"}]} if filtered else {"kind": "wanted"}
    if existing:
        items.insert_many([{**row, "kind": "wanted"} for row in existing])
    items.insert_one({"kind": "unwanted"})
    before = list(items.find({"kind": "wanted"}))
    seen: list[str] = []
    token = ""
    waiting = list(coming)
    while True:
        found, token = page(items, filter=condition, order=order, request=Request(size, token), bind={"f": filtered})
        assert len(found) <= size
        seen += [row["uid"] for row in found]
        if not token:
            break
        if waiting:
            items.insert_one({**waiting.pop(), "kind": "wanted"})
    everything = in_order(list(items.find({"kind": "wanted"})), order)
    assert len(seen) == len(set(seen))
    assert seen == [uid for uid in everything if uid in set(seen)]
    assert {row["uid"] for row in before} <= set(seen)


def test_documents_and_sizes(tenant: str) -> None:
    for n in range(7):
        Book.new(title=str(n)).insert()
    Book.new(title="gone").insert().soft_delete()
    books, token = page(Book, filter={}, order=[("create_time", -1)], request=Request(5), bind={})
    assert [book.title for book in books] == ["6", "5", "4", "3", "2"]
    assert isinstance(books[0], Book)
    rest, end = page(Book, filter={}, order=[("create_time", -1)], request=Request(50, token), bind={})
    assert ([book.title for book in rest], end) == (["1", "0"], "")
    everything, _ = page(Book, filter={}, order=[], request=Request(), bind={}, deleted=True)
    assert len(everything) == 8
    assert len(page(Book, filter={}, order=[], request=Request(), bind={}, default=3)[0]) == 3
    assert len(page(Book, filter={}, order=[], request=Request(99), bind={}, max_page_size=4)[0]) == 4
    with pytest.raises(InvalidArgument) as caught:
        page(Book, filter={}, order=[], request=Request(-1), bind={})
    assert caught.value.reason == "INVALID_PAGE_SIZE"


def test_a_token_belongs_to_its_list(request_of: Callable) -> None:
    for _ in range(3):
        Book.new(title="x").insert()

    def listed(token: str, bind: dict[str, str] | None = None, order: list[tuple[str, int]] | None = None) -> int:
        books, _ = page(Book, filter={}, order=order or [], request=Request(1, token), bind=bind or {"filter": "a"})
        return len(books)

    with request_of(method="x/List"):
        _, token = page(Book, filter={}, order=[], request=Request(1), bind={"filter": "a"})
        assert listed(token) == 1
        damaged = [
            token[:-2],
            token + "AA",
            "x",
            "!!",
            "ü",
            token[:20] + ("B" if token[20] == "A" else "A") + token[21:],
        ]
        for wrong in damaged:
            with pytest.raises(InvalidArgument) as caught:
                listed(wrong)
            assert caught.value.reason == "INVALID_PAGE_TOKEN"
            assert caught.value.violations[0][0] == "page_token"
        with pytest.raises(InvalidArgument):
            listed(token, bind={"filter": "b"})
        with pytest.raises(InvalidArgument):
            listed(token, order=[("title", 1)])
    with request_of(method="x/Other"), pytest.raises(InvalidArgument):
        listed(token)
    with tenancy.service_context("other", method="x/List"), pytest.raises(InvalidArgument):
        listed(token)


def test_a_token_tells_nothing(tenant: str) -> None:
    for _ in range(2):
        Book.new(title="secret-title").insert()
    _, token = page(Book, filter={}, order=[("title", 1)], request=Request(1), bind={})
    import base64

    assert b"secret" not in base64.urlsafe_b64decode(token + "==")


@pytest.mark.parametrize(("order", "condition"), [([("rank", -1)], {"kind": "k"}), ([("rank", 1)], {})])
def test_a_late_page_costs_no_more_than_the_first(
    tenant: str, order: list[tuple[str, int]], condition: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = docstore.collection(Item)
    items.insert_many([{"kind": "k", "rank": n // 400} for n in range(4000)])
    items.insert_many([{"kind": "other", "rank": n // 400} for n in range(2000)])
    asked: list[dict[str, Any]] = []
    find = docstore.TenantCollection.find
    monkeypatch.setattr(
        docstore.TenantCollection,
        "find",
        lambda self, filter, *args, **options: asked.append(filter) or find(self, filter, *args, **options),
    )
    token = ""
    for _ in range(4):
        _, token = page(items, filter=condition, order=order, request=Request(900, token), bind={})
    page(items, filter=condition, order=order, request=Request(10, token), bind={})
    stats = docstore.explain.assert_indexed(items, asked[-1], [*order, ("_id", order[0][1])], limit=11, max_keys=60)
    assert stats["nReturned"] == 11


def test_without_an_order_the_tenants_own_range_is_walked(tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of other tenants come first and last in the collection, and must not be walked through."""
    for other in ("000", "zzz"):
        with tenancy.service_context(other):
            Book.rows().insert_many([{"title": "x"} for _ in range(500)])
    Book.rows().insert_many([{"title": "x"} for _ in range(60)])
    docstore.explain.assert_indexed(Book, Book.read_filter({}, deleted=False), max_keys=61)
    docstore.explain.assert_indexed(Book, {}, max_keys=61)
    asked: list[dict[str, Any]] = []
    find = docstore.TenantCollection.find
    monkeypatch.setattr(
        docstore.TenantCollection,
        "find",
        lambda self, filter, *args, **options: asked.append(filter) or find(self, filter, *args, **options),
    )
    seen, token = page(Book, filter={}, order=[], request=Request(25), bind={})
    more, token = page(Book, filter={}, order=[], request=Request(25, token), bind={})
    rest, token = page(Book, filter={}, order=[], request=Request(25, token), bind={})
    assert (len({book.uid for book in [*seen, *more, *rest]}), token) == (60, "")
    for filter in asked:
        docstore.explain.assert_indexed(Book, filter, [("_id", 1)], limit=26, max_keys=30)
