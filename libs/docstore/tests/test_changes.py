"""Change streams: nothing is missed, waiting or resting, and they rest only where others write much."""

import threading
import time
from collections.abc import Iterator

import pytest

import docstore
from docstore.changes import Changes
from docstore.scope import platform_scope

INSERTS = [{"$match": {"operationType": "insert"}}, {"$project": {"documentKey": 1}}]
DEADLINE_S = 30.0


@pytest.fixture(autouse=True)
def platform(connected) -> Iterator[None]:
    """A reader of changes serves all tenants."""
    with platform_scope():
        yield


@pytest.fixture
def changes(connected) -> Iterator[Changes]:
    with Changes(lambda: docstore.database()["watched"], INSERTS, time.sleep) as opened:
        yield opened


@pytest.fixture
def crowd(connected) -> Iterator[threading.Event]:
    """Somebody who writes much elsewhere until the event is set."""
    enough = threading.Event()

    def write() -> None:
        with platform_scope():
            while not enough.wait(0.02):
                docstore.database()["elsewhere"].insert_many([{} for _ in range(20)])

    writer = threading.Thread(target=write)
    writer.start()
    yield enough
    enough.set()
    writer.join()


def read(changes: Changes, wanted: list[int]) -> None:
    """Reads on until all these were told, in their order."""
    told, deadline = [], time.monotonic() + DEADLINE_S
    while told != wanted:
        assert time.monotonic() < deadline, told
        if (change := changes.next()) is not None:
            told.append(change["documentKey"]["_id"])


def until(changes: Changes, *, resting: bool) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while changes.resting != resting:
        assert time.monotonic() < deadline
        assert changes.next() is None


def write(*ids: int) -> None:
    docstore.database()["watched"].insert_many([{"_id": each} for each in ids])


def test_alone_it_waits_at_the_server(changes):
    for each in range(3):
        write(each)
        read(changes, [each])
    began = time.monotonic()
    assert changes.next() is None
    assert not changes.resting
    assert time.monotonic() - began > 0.5


def test_it_rests_while_others_write_much_and_misses_nothing(changes, crowd):
    until(changes, resting=True)
    write(21, 22, 23)
    read(changes, [21, 22, 23])
    assert not changes.resting  # Who reads waits: what comes next comes at once.
    until(changes, resting=True)
    crowd.set()
    until(changes, resting=False)
    write(24)
    read(changes, [24])


def test_what_is_written_in_between_is_told_after_entering_anew_only_if_it_came_after(connected):
    changes = Changes(lambda: docstore.database()["watched"], INSERTS, time.sleep)
    with changes:
        write(11)
        read(changes, [11])
    write(12)
    with changes:
        write(13)
        read(changes, [13])
