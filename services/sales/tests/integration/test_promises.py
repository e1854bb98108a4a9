"""Promises to customers: kept, taken back, overdue exactly once."""

from datetime import timedelta

import grpc
import pytest
from rapport.sales.v1 import events_pb2, promise_pb2

from chassis import clock
from sales.store import Promise
from sales.usecases import promises

SERVICE = "sales"
State = promise_pb2.Promise.State


@pytest.fixture
def promise(client):
    """Makes a promise that is due in so many hours."""

    def make(hours: float = 1, **fields):
        values = {"text": "Call back", "due_time": clock.now() + timedelta(hours=hours)}
        return client.CreatePromise(promise=values | {"customer": fields.pop("customer", client.customer())} | fields)

    return make


def told(client, name: str) -> list[tuple[str, int]]:
    """The events of a promise: kind and state."""
    kinds = {kind.DESCRIPTOR.full_name: kind
             for kind in (events_pb2.PromiseMade, events_pb2.PromiseUpdated, events_pb2.PromiseOverdue)}  # fmt: skip
    with client.context():
        row = Promise.rows().find_one({"uid": name.partition("/")[2]})
    assert all(each["datasubjects"] == [row["customer"]] for each in row["outbox"])
    return [
        (each["type"].rpartition(".")[2], kinds[each["type"]].FromString(each["body"]).promise.state)
        for each in row["outbox"]
    ]


def miss() -> None:
    while promises.miss_due("test"):
        pass


def test_a_promise_is_made_changed_and_kept(client, promise, refused) -> None:
    made = promise(subject="tickets/0192f0c1-aaaa", owner="principals/anna")
    assert (made.state, made.owner, promise().owner) == (State.STATE_OPEN, "principals/anna", "principals/tester")
    changed = client.UpdatePromise(promise={"name": made.name, "text": "Write", "etag": made.etag})
    assert (changed.text, changed.due_time, changed.subject) == ("Write", made.due_time, made.subject)
    kept = client.KeepPromise(name=made.name)
    assert (kept.state, kept.HasField("end_time")) == (State.STATE_KEPT, True)
    assert client.KeepPromise(name=made.name) == kept
    with refused("PROMISE_CLOSED", grpc.StatusCode.FAILED_PRECONDITION):
        client.CancelPromise(name=made.name)
    with refused("PROMISE_CLOSED"):
        client.UpdatePromise(promise={"name": made.name, "text": "X"})
    assert told(client, made.name) == [("PromiseMade", 1), ("PromiseUpdated", 1), ("PromiseUpdated", 3)]


def test_what_events_say_of_a_promise(client, promise) -> None:
    made = promise(text="Send the manual")
    with client.context():
        row = Promise.rows().find_one({"uid": made.uid})
        (republished,) = Promise.get(made.uid).state_events()
    state = events_pb2.PromiseMade.FromString(row["outbox"][0]["body"]).promise
    assert (state.promise, state.customer, state.text, state.due_time, state.create_time) == (
        made.name, made.customer, "Send the manual", made.due_time, made.create_time,
    )  # fmt: skip
    assert republished.promise == state


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"due_time": {"seconds": 1000}}, "INVALID_DUE_TIME"),
        ({"subject": "people/1"}, "INVALID_SUBJECT"),
        ({"text": " "}, "INVALID_TEXT"),
        ({"owner": "anna"}, "INVALID_OWNER"),
    ],
)
def test_a_promise_that_cannot_be_is_refused(promise, refused, fields, reason) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT):
        promise(**fields)


def test_it_is_overdue_when_its_time_is_over_and_can_still_be_kept(client, promise, travel, refused) -> None:
    made, kept, back = promise(), promise(), promise()
    client.KeepPromise(name=kept.name)
    client.CancelPromise(name=back.name)
    miss()
    assert client.GetPromise(name=made.name).state == State.STATE_OPEN
    travel(hours=2)
    miss()
    miss()
    assert [client.GetPromise(name=each.name).state for each in (made, kept, back)] == [
        State.STATE_OVERDUE, State.STATE_KEPT, State.STATE_CANCELLED,
    ]  # fmt: skip
    assert told(client, made.name) == [("PromiseMade", 1), ("PromiseOverdue", 2)]
    assert client.KeepPromise(name=made.name).state == State.STATE_KEPT
    with refused("INVALID_DUE_TIME"):
        client.UpdatePromise(promise={"name": promise().name, "due_time": made.due_time})


def test_a_new_time_opens_it_again_and_it_is_overdue_anew(client, promise, travel) -> None:
    made = promise()
    travel(hours=2)
    miss()
    again = client.UpdatePromise(promise={"name": made.name, "due_time": clock.now() + timedelta(hours=5)})
    assert again.state == State.STATE_OPEN
    travel(hours=4)
    miss()
    assert client.GetPromise(name=made.name).state == State.STATE_OPEN
    travel(hours=2)
    with client.context():  # the lease of the first time it was due
        Promise.rows().update_many({}, {"$unset": {"lease": ""}})
    miss()
    assert [kind for kind, _ in told(client, made.name)] == [
        "PromiseMade", "PromiseOverdue", "PromiseUpdated", "PromiseOverdue",
    ]  # fmt: skip


def test_one_kept_as_its_time_runs_out_is_not_overdue(client, promise, travel) -> None:
    made = promise()
    with client.context():
        row = Promise.rows().find_one({"uid": made.uid}, {"outbox": 0})
        client.KeepPromise(name=made.name)
        promises._miss(row)
    assert client.GetPromise(name=made.name).state == State.STATE_KEPT


def test_promises_are_listed_by_what_is_due_first_and_by_whole_profiles(client, promise) -> None:
    ann, alias = client.customer(), client.customer()
    late, soon = promise(5, customer=ann), promise(1, customer=alias)
    promise(3)
    client.merge(alias, ann)
    found = client.ListPromises(filter=f'customer = "{ann}"', order_by="due_time").promises
    assert [each.name for each in found] == [soon.name, late.name]
    first = client.ListPromises(order_by="due_time", page_size=2)
    rest = client.ListPromises(order_by="due_time", page_size=2, page_token=first.next_page_token)
    due = [each.due_time.seconds for each in [*first.promises, *rest.promises]]
    assert due == sorted(due)
    assert len(due) == 3
