"""Customers in segments, and what goes wrong with them."""

from datetime import timedelta

import pytest
from rapport.identity.v1 import events_pb2

import docstore
from chassis import clock
from scoring.store import Profile, ScoringJob
from scoring.usecases import recompute_inputs, signals

from ..conftest import START, Client, customer, purchase

RECOMPUTE = {"task": "TASK_SEGMENT"}


@pytest.fixture(autouse=True)
def later(monkeypatch) -> None:
    """The purchases lie behind us."""
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(days=20))


@pytest.fixture
def few(monkeypatch) -> None:
    """Two customers a file."""
    monkeypatch.setattr(recompute_inputs, "CHUNK", 2)
    monkeypatch.setattr(recompute_inputs, "FILE_ROWS", 2)


@pytest.fixture
def members(client) -> list[str]:
    """Five customers in the order of their names, all in a segment that asks for events."""
    names = sorted(customer() for _ in range(5))
    happen(client, *(purchase(name, 15) for name in names))
    client.segment('count("Order Completed", 30d) >= 1', "buyers")
    client.segment("in_segment(buyers)", "some")
    assert client.members() == set(names)
    return names


def happen(client: Client, *events: events_pb2.TrackedEvent) -> None:
    """Takes events into profiles."""
    with client.context():
        docstore.in_transaction(lambda: signals.note_events(events))
    client.keep()


def overwrite(client: Client, name: str, *segments: str) -> None:
    """Stores memberships behind the product's back."""
    with client.context():
        change = {"$set": {"segments": list(segments)}}
        assert Profile.rows().update_one({"uid": name.rpartition("/")[2]}, change).modified_count == 1


def read_anew(job: ScoringJob) -> ScoringJob:
    """The job as another runner finds it."""
    again: ScoringJob = ScoringJob.get(job.uid)
    again.lease = job.lease
    return again
