"""Many aggregates in one round trip, inside a transaction."""

from datetime import timedelta

import pytest
from mongoengine import IntField, StringField
from rapport.identity.v1 import events_pb2

import docstore
from chassis.errors import AlreadyExists, Unavailable
from docstore import outbox


class Parcel(docstore.Aggregate):
    resource = "parcels"
    meta = {
        "collection": "parcels",
        "indexes": [
            {
                "fields": ["tenant", "code"],
                "unique": True,
                "partialFilterExpression": {"code": {"$type": "string"}},
            }
        ],
    }
    weight = IntField()
    code = StringField()


DOCUMENTS = [Parcel]


def told(uid: str) -> list[list[int]]:
    row = Parcel.rows().find_one({"uid": uid})
    assert row is not None
    return [entry["sequence"] for entry in row.get("outbox", ())]


def parcels(*uids: str) -> list[Parcel]:
    made = [Parcel.new(uid, weight=1) for uid in uids]
    for one in made:
        one.emit(events_pb2.CustomerCreated(), [one.name])
    return made


def test_new_ones_are_stored_with_their_events(tenant: str) -> None:
    made = parcels("a", "b")
    docstore.in_transaction(lambda: Parcel.insert_many(made))
    for one in made:
        assert Parcel.get(one.uid).version == one.version == 1
        assert told(one.uid) == [[1, 0]]
        one.weight = 2
        one.save()
    assert Parcel.get("a").weight == 2


def test_changed_ones_are_saved_and_others_left_alone(tenant: str) -> None:
    made = parcels("a", "b", "c")
    docstore.in_transaction(lambda: Parcel.insert_many(made))
    first, second, third = made
    first.weight = 7
    second.emit(events_pb2.CustomerUpdated())
    docstore.in_transaction(lambda: Parcel.save_many(made))
    assert [Parcel.get(uid).version for uid in "abc"] == [2, 2, 1] == [one.version for one in made]
    assert Parcel.get("a").weight == 7
    assert told("b") == [[1, 0], [2, 0]]
    assert first.update_time - first.create_time < timedelta(minutes=1)
    third.weight = 9
    third.save()
    assert Parcel.get("c").weight == 9


def test_a_stale_one_fails_them_all(tenant: str) -> None:
    docstore.in_transaction(lambda: Parcel.insert_many(parcels("a", "b")))
    stale, other = Parcel.get("a"), Parcel.get("b")
    fresh = Parcel.get("a")
    fresh.weight = 5
    fresh.save()
    stale.weight = other.weight = 6
    with pytest.raises(docstore.Conflict):
        docstore.in_transaction(lambda: Parcel.save_many([other, stale]))
    assert [Parcel.get(uid).weight for uid in "ab"] == [5, 1]


def test_a_taken_key_fails_them_all(tenant: str) -> None:
    docstore.in_transaction(lambda: Parcel.insert_many([Parcel.new("a", code="x")]))
    with pytest.raises(AlreadyExists) as caught:
        docstore.in_transaction(lambda: Parcel.insert_many([Parcel.new("b"), Parcel.new("c", code="x")]))
    assert caught.value.metadata["fields"] == "code"
    assert [row["uid"] for row in Parcel.rows().find({})] == ["a"]


def test_a_full_outbox_fails_them_all(tenant: str) -> None:
    docstore.in_transaction(lambda: Parcel.insert_many(parcels("a", "b")))
    Parcel.rows().update_one({"uid": "a"}, {"$set": {"outbox": [{"id": str(n)} for n in range(outbox.CAP)]}})
    both = [Parcel.get("b"), Parcel.get("a")]
    for one in both:
        one.emit(events_pb2.CustomerUpdated())
    with pytest.raises(Unavailable) as caught:
        docstore.in_transaction(lambda: Parcel.save_many(both))
    assert caught.value.reason == "OUTBOX_FULL"
    assert Parcel.get("b").version == 1


def test_they_ask_for_a_transaction(tenant: str) -> None:
    for write in (Parcel.insert_many, Parcel.save_many):
        with pytest.raises(RuntimeError, match="transaction"):
            write([Parcel.new("a")])
