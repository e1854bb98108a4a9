import pytest
from mongoengine import IntField
from rapport.identity.v1 import events_pb2

import docstore
from chassis.errors import AlreadyExists, Unavailable
from docstore import outbox


class Seat(docstore.Aggregate):
    meta = {"collection": "seats"}
    resource = "seats"
    row = IntField()


DOCUMENTS = [Seat]

pytestmark = pytest.mark.usefixtures("tenant")


def seats(count: int) -> list[Seat]:
    made = [Seat.new(uid=str(n), row=n) for n in range(count)]
    for seat in made:
        seat.emit(events_pb2.CustomerCreated())
    docstore.in_transaction(lambda: Seat.insert_many(made))
    return made


def stored() -> dict[str, docstore.Row]:
    return {row["uid"]: row for row in docstore.collection(Seat).find()}


def test_inserted_with_their_events() -> None:
    made = seats(3)
    assert {uid: (row["version"], [e["sequence"] for e in row["outbox"]]) for uid, row in stored().items()} == {
        str(n): (1, [[1, 0]]) for n in range(3)
    }
    made[0].row = 7
    assert made[0].save().version == 2
    assert len(stored()["0"]["outbox"]) == 1


def test_saved_with_their_events_and_only_if_changed() -> None:
    made = seats(3)
    made[0].row = 10
    made[1].emit(events_pb2.CustomerUpdated())
    docstore.in_transaction(lambda: Seat.save_many(made))
    found = stored()
    assert {uid: (row["version"], row["row"], len(row["outbox"])) for uid, row in found.items()} == {
        "0": (2, 10, 1),
        "1": (2, 1, 2),
        "2": (1, 2, 1),
    }
    assert found["1"]["outbox"][1]["sequence"] == [2, 0]
    assert [seat.version for seat in made] == [2, 2, 1]
    assert Seat.get("0").update_time == made[0].update_time


def test_one_conflict_stops_all() -> None:
    made = seats(2)
    other = Seat.get("1")
    other.row = 99
    other.save()
    for seat in made:
        seat.row = 50
    with pytest.raises(docstore.Conflict):
        docstore.in_transaction(lambda: Seat.save_many(made))
    assert [stored()[uid]["row"] for uid in "01"] == [0, 99]


def test_one_taken_uid_stops_all() -> None:
    seats(1)
    with pytest.raises(AlreadyExists):
        docstore.in_transaction(lambda: Seat.insert_many([Seat.new(uid="new"), Seat.new(uid="0")]))
    assert set(stored()) == {"0"}


def test_one_full_outbox_stops_all() -> None:
    made = seats(2)
    for _ in range(outbox.CAP):
        made[1].emit(events_pb2.CustomerUpdated())
    made[0].row = 50
    with pytest.raises(Unavailable) as caught:
        docstore.in_transaction(lambda: Seat.save_many(made))
    assert caught.value.reason == "OUTBOX_FULL"
    assert stored()["0"]["row"] == 0


def test_only_inside_a_transaction() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        Seat.insert_many([Seat.new()])
    with pytest.raises(RuntimeError, match="transaction"):
        Seat.save_many([])
