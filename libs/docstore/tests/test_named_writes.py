"""A mutation knows the events it wrote: those of the attempt that came to something."""

import pytest
from mongoengine import IntField
from rapport.identity.v1 import events_pb2

import docstore
from chassis.consistency import Written, collecting
from docstore.errors import Conflict


class Told(docstore.Aggregate):
    resource = "told"
    meta = {"collection": "told"}
    count = IntField(default=0)


DOCUMENTS = [Told]


def made() -> Told:
    told = Told.new()
    told.emit(events_pb2.CustomerCreated())
    return told.insert()


def named(found: list[Written]) -> list[tuple[str, int, int]]:
    return [(event.subject, event.version, event.index) for event in found]


@pytest.mark.usefixtures("tenant")
def test_every_write_is_named_with_its_sequence() -> None:
    with collecting() as found:
        told = made()
        told.count = 1
        told.emit(events_pb2.CustomerUpdated())
        told.emit(events_pb2.CustomerMerged())
        told.save()
    assert named(found) == [(told.name, 1, 0), (told.name, 2, 0), (told.name, 2, 1)]
    outbox = Told.rows().find_one({"uid": told.uid})["outbox"]
    assert [(event.id, event.type) for event in found] == [(entry["id"], entry["type"]) for entry in outbox]


@pytest.mark.usefixtures("tenant")
@pytest.mark.parametrize("several", [False, True])
def test_attempts_that_came_to_nothing_are_not_named(several: bool) -> None:
    attempts = []

    @docstore.command(None if several else Told)
    def change() -> Told:
        attempts.append(made())
        if len(attempts) < 3:
            raise Conflict("told")
        return attempts[-1]

    with collecting() as found:
        before = made()
        change()
    assert named(found) == [(before.name, 1, 0), (attempts[-1].name, 1, 0)]
