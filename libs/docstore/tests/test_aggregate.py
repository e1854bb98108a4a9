from datetime import UTC, datetime, timedelta, timezone

import mongoengine
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongoengine import DictField, EmbeddedDocument, EmbeddedDocumentListField, IntField, ListField, StringField
from rapport.identity.v1 import customer_pb2, events_pb2

import docstore
from chassis import clock, ids, tenancy
from chassis.errors import Aborted, AlreadyExists, NotFound, Unavailable
from docstore import outbox


class Line(EmbeddedDocument):
    product = StringField()
    count = IntField()


class Basket(docstore.Aggregate):
    meta = {
        "collection": "baskets",
        "indexes": [
            {
                "fields": ["tenant", "email"],
                "unique": True,
                "partialFilterExpression": {"email": {"$exists": True}},
            }
        ],
    }
    resource = "baskets"
    title = StringField()
    email = StringField()
    tags = ListField(StringField())
    labels = DictField()
    lines = EmbeddedDocumentListField(Line)
    paid = docstore.InstantField()


DOCUMENTS = [Basket]

pytestmark = pytest.mark.usefixtures("tenant")


def updated(name: str = "x") -> events_pb2.CustomerUpdated:
    return events_pb2.CustomerUpdated(customer=events_pb2.CustomerState(customer=name))


def stored(basket: Basket) -> docstore.Row:
    row = docstore.collection(Basket).find_one({"uid": basket.uid})
    assert row is not None
    return row


def test_insert_and_get(tenant: str) -> None:
    made = Basket.new(title="one").insert()
    read = Basket.get(made.uid)
    assert read.name == f"baskets/{made.uid}"
    assert read.id == f"{tenant}/{made.uid}"
    assert (read.version, read.etag, read.schema_version) == (1, '"1"', 1)
    assert read.create_time == read.update_time == made.create_time
    assert read.create_time.tzinfo is UTC
    assert abs(clock.now() - read.create_time) < timedelta(seconds=5)


def test_unknown_uid_names_the_resource() -> None:
    with pytest.raises(NotFound, match="baskets/nobody") as caught:
        Basket.get("nobody")
    assert caught.value.metadata == {"resource": "baskets/nobody"}


def test_another_tenants_document_does_not_exist() -> None:
    made = Basket.new(uid="same", title="mine").insert()
    with tenancy.service_context("other"):
        with pytest.raises(NotFound):
            Basket.get(made.uid)
        assert Basket.find() == []
        Basket.new(uid="same", title="theirs").insert()
    assert Basket.get("same").title == "mine"


def test_events_are_in_the_document_with_sequence_and_order() -> None:
    basket = Basket.new(title="one")
    basket.emit(updated("a"), ["customers/a"])
    basket.emit(updated("b"))
    basket.insert()
    basket.title = "two"
    basket.emit(updated("c"))
    basket.save()
    entries = stored(basket)["outbox"]
    assert [entry["sequence"] for entry in entries] == [[1, 0], [1, 1], [2, 0]]
    assert [entry["datasubjects"] for entry in entries] == [["customers/a"], [], []]
    assert {entry["subject"] for entry in entries} == {basket.name}
    assert {entry["type"] for entry in entries} == {"rapport.identity.v1.CustomerUpdated"}
    assert {entry["tenant"] for entry in entries} == {basket.tenant}
    assert len({ids.time_of(entry["id"]) and entry["id"] for entry in entries}) == 3
    bodies = [events_pb2.CustomerUpdated.FromString(entry["body"]).customer.customer for entry in entries]
    assert bodies == ["a", "b", "c"]


def test_a_message_that_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rapport\.identity\.v1\.Customer carries no"):
        Basket.new().emit(customer_pb2.Customer())


def test_a_failed_write_publishes_nothing() -> None:
    Basket.new(email="a@example.com").insert()
    second = Basket.new(email="a@example.com")
    second.emit(updated())
    with pytest.raises(AlreadyExists, match="same email") as caught:
        second.insert()
    assert "a@example.com" not in str(caught.value)
    assert docstore.collection(Basket).find_one({"uid": second.uid}) is None


def test_save_writes_only_what_changed_and_never_the_outbox() -> None:
    basket = Basket.new(title="one", tags=["a"], labels={"x": 1}, lines=[Line(product="p", count=1)])
    basket.emit(updated())
    basket.insert()
    read = Basket.get(basket.uid)
    # The relay drains the outbox between reading and writing, without touching the version.
    docstore.collection(Basket).update_one({"uid": basket.uid}, {"$set": {"outbox": [], "tags.0": "relay"}})
    read.lines[0].count = 5
    read.labels["y"] = 2
    read.save()
    row = stored(basket)
    assert row["outbox"] == []
    assert row["tags"] == ["relay"]
    assert row["lines"] == [{"product": "p", "count": 5}]
    assert row["labels"] == {"x": 1, "y": 2}
    assert row["version"] == 2


def test_a_save_without_a_change_writes_nothing() -> None:
    basket = Basket.new(title="one").insert()
    before = stored(basket)
    Basket.get(basket.uid).save()
    assert stored(basket) == before


def test_unknown_fields_of_a_newer_release_survive() -> None:
    basket = Basket.new(title="one").insert()
    docstore.collection(Basket).update_one({"uid": basket.uid}, {"$set": {"added_later": 7}})
    read = Basket.get(basket.uid)
    read.title = "two"
    read.save()
    assert stored(basket)["added_later"] == 7


def test_an_older_shape_is_read_by_upcast() -> None:
    class Renamed(docstore.Aggregate):
        meta = {"collection": "baskets"}
        resource = "baskets"
        schema = 2
        heading = StringField()

        @classmethod
        def upcast(cls, row: docstore.Row) -> docstore.Row:
            if row["schema_version"] < 2:
                row["heading"] = row.pop("title")
            return row

    basket = Basket.new(title="old").insert()
    assert Renamed.get(basket.uid).heading == "old"


def test_concurrent_change_is_a_conflict() -> None:
    basket = Basket.new(title="one").insert()
    first, second = Basket.get(basket.uid), Basket.get(basket.uid)
    first.title = "first"
    first.save()
    second.title = "second"
    second.emit(updated())
    with pytest.raises(docstore.Conflict):
        second.save()
    assert stored(basket)["title"] == "first"
    assert "outbox" not in stored(basket)


def test_an_etag_must_match() -> None:
    basket = Basket.new(title="one").insert()
    basket.title = "two"
    with pytest.raises(Aborted) as caught:
        basket.save(expected_etag='"7"')
    assert caught.value.reason == "ETAG_MISMATCH"
    assert basket.save(expected_etag='"1"').etag == '"2"'
    basket.title = "three"
    assert basket.save(expected_etag="*").version == 3


def test_a_race_under_an_etag_is_a_mismatch_and_not_retried() -> None:
    basket = Basket.new(title="one").insert()
    stale = Basket.get(basket.uid)
    basket.title = "two"
    basket.save()
    stale.title = "three"
    with pytest.raises(Aborted) as caught:
        stale.save(expected_etag='"1"')
    assert caught.value.reason == "ETAG_MISMATCH"


def test_a_full_outbox_refuses_the_write_until_it_is_drained() -> None:
    basket = Basket.new()
    for _ in range(outbox.CAP - 1):
        basket.emit(updated())
    basket.insert()
    basket.emit(updated())
    basket.save()
    basket.title = "no room"
    basket.emit(updated())
    with pytest.raises(Unavailable) as caught:
        basket.save()
    assert (caught.value.reason, caught.value.retry_after_s) == ("OUTBOX_FULL", 2.0)
    assert len(stored(basket)["outbox"]) == outbox.CAP
    docstore.collection(Basket).update_one({"uid": basket.uid}, {"$pop": {"outbox": -1}})
    basket.save()
    assert stored(basket)["title"] == "no room"


def test_soft_delete_hides_and_undelete_brings_back() -> None:
    basket = Basket.new(title="one").insert()
    basket.emit(updated())
    basket.soft_delete()
    assert basket.purge_time - basket.delete_time == timedelta(days=30)
    with pytest.raises(NotFound):
        Basket.get(basket.uid)
    assert Basket.find() == []
    assert Basket.get_many([basket.uid]) == {}
    read = Basket.get(basket.uid, deleted=True)
    read.undelete()
    assert Basket.get(basket.uid).delete_time is None
    assert len(stored(basket)["outbox"]) == 1


def test_purge_leaves_a_tombstone_until_the_events_are_out() -> None:
    basket = Basket.new(title="one", email="gone@example.com")
    basket.emit(updated("a"))
    basket.insert()
    basket.emit(updated("b"))
    basket.purge()
    row = stored(basket)
    assert {"title", "email"}.isdisjoint(row)
    assert [entry["sequence"] for entry in row["outbox"]] == [[1, 0], [2, 0]]
    with pytest.raises(NotFound):
        Basket.get(basket.uid, deleted=True)
    docstore.collection(Basket).update_one({"uid": basket.uid}, {"$set": {"outbox": []}})
    with docstore.platform_scope():
        assert docstore.platform_collection(Basket).delete_many(outbox.PURGED_AND_SENT).deleted_count == 1


def test_purge_without_events_leaves_nothing() -> None:
    basket = Basket.new(title="one").insert()
    basket.purge()
    assert docstore.collection(Basket).find_one({"uid": basket.uid}) is None


def test_get_many_takes_one_query() -> None:
    made = [Basket.new(title=str(n)).insert() for n in range(3)]
    found = Basket.get_many([basket.uid for basket in made] + ["nobody"])
    assert {uid: basket.title for uid, basket in found.items()} == {b.uid: b.title for b in made}


def test_instants_are_aware_utc_and_milliseconds() -> None:
    instant = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    basket = Basket.new(paid=instant).insert()
    assert basket.paid == Basket.get(basket.uid).paid == datetime(2026, 3, 1, 10, 0, 0, 123000, tzinfo=UTC)
    with pytest.raises(mongoengine.ValidationError):
        Basket.new(paid=datetime(2026, 3, 1)).insert()  # noqa: DTZ001


def test_query_sets_are_refused() -> None:
    with pytest.raises(TypeError):
        Basket.objects(title="x")


def test_aggregates_lists_the_class() -> None:
    assert Basket in docstore.aggregates()
    assert docstore.aggregate_of("baskets/7") in [(cls, "7") for cls in docstore.aggregates()]


changes = st.lists(
    st.one_of(
        st.tuples(st.just("title"), st.one_of(st.none(), st.text(max_size=5).filter(lambda t: "\0" not in t))),
        st.tuples(st.just("tags"), st.lists(st.sampled_from("abc"), max_size=3)),
        st.tuples(st.just("append"), st.sampled_from("abc")),
        st.tuples(st.just("label"), st.tuples(st.sampled_from("xyz"), st.integers(0, 9))),
        st.tuples(st.just("unlabel"), st.sampled_from("xyz")),
        st.tuples(st.just("line"), st.integers(0, 9)),
        st.tuples(st.just("count"), st.integers(0, 9)),
        st.tuples(st.just("save"), st.none()),
    ),
    max_size=12,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes)
def test_what_is_saved_is_what_is_read(steps: list[tuple[str, object]]) -> None:
    """Change tracking loses nothing, whatever is changed between saves."""
    basket = Basket.new().insert()
    for step, value in steps:
        if step == "title":
            basket.title = value
        elif step == "tags":
            basket.tags = value
        elif step == "append":
            basket.tags.append(value)
        elif step == "label":
            basket.labels[value[0]] = value[1]
        elif step == "unlabel":
            basket.labels.pop(value, None)
        elif step == "line":
            basket.lines.append(Line(product="p", count=value))
        elif step == "count" and basket.lines:
            basket.lines[0].count = value
        elif step == "save":
            basket.save()
            basket = Basket.get(basket.uid)
    basket.save()
    read = Basket.get(basket.uid)
    # MongoDB keeps no difference between a missing string and None; an empty text is one of its own.
    assert read.title == basket.title
    assert list(read.tags) == list(basket.tags)
    assert dict(read.labels) == dict(basket.labels)
    assert [line.count for line in read.lines] == [line.count for line in basket.lines]
