"""The role `run` as processes, killed where it hurts."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.ticketing.v1 import events_pb2

import docstore
from eventing.records import ErasureTask
from testkit import eventually

SERVICE = "ticketing"
MONDAY = datetime(2026, 6, 1, 8, tzinfo=UTC)


@pytest.fixture
def free_leases(client):
    """Lets the tickets a killed process held be claimed at once: tests need not wait as long as people must.

    Not the agents: its transaction may still hold them, until the next process ends it.
    """

    def free() -> None:
        with client.context():
            docstore.collection("tickets").update_many({}, {"$unset": {"lease": ""}})

    return free


def test_each_ticket_is_assigned_and_told_of_once_whatever_is_killed(
    client, travel, runner, failpoint, free_leases
) -> None:
    """Killed within the transaction of an assignment, right after one, and within that of warnings and breaches."""
    travel.to(MONDAY)
    client.calendar()
    client.policy()
    client.queue("tasks", filter="kind = KIND_TASK", required_skills=["tasks"])
    for name in ("ann", "bob"):
        client.agent(name, capacity=8, skills=["tasks"])
    made = [client.ticket(kind="KIND_TASK") for _ in range(20)]

    def killed_at(place: str, call: int = 1) -> None:
        with failpoint(place, call=call) as there:
            process = runner().start()
            there.wait()
        eventually(lambda: process.process.poll() is not None, 10, "it is dead")
        free_leases()

    def assigned() -> Counter[str]:
        return Counter(client.now(ticket).assignment.agent for ticket in made)

    killed_at("ticketing.usecases.lifecycle:conclude", call=5)
    assert assigned() == {"": 20}
    killed_at("ticketing.store.tickets:explain_waiting")
    assert assigned() == {"agents/ann": 8, "agents/bob": 8, "": 4}
    travel(days=7)
    killed_at("ticketing.usecases.lifecycle:tick", call=7)
    assert "SlaBreached" not in told(client, made)
    client.ResolveTicket(name=client.ticket(intent="refund").name)
    one, other = runner().start().wait_ready(), runner().start().wait_ready()
    eventually(lambda: told(client, made)["SlaBreached"] == 40, 120, "all breaches are told")
    eventually(lambda: client.GetIntentModel().HasField("attempt_time"), 20, "they look for what teaches intents")
    assert (one.stop(), other.stop()) == (0, 0)
    assert told(client, made) == {
        "TicketOpened": 20,
        "TicketAssigned": 16,
        "SlaWarning": 40,
        "SlaBreached": 40,
    }


def told(client, made) -> Counter[str]:
    wanted = {ticket.name for ticket in made}
    return Counter(name for name, event in client.told() if ticket_of(event) in wanted)


def ticket_of(event) -> str:
    return event.clock.ticket if hasattr(event, "clock") else event.ticket.ticket


def test_a_ticket_is_assigned_within_a_second(client, runner, record_property) -> None:
    client.agent("ann", capacity=100)
    process = runner().start().wait_ready()
    delays = []
    for _ in range(5):
        ticket = client.ticket()
        eventually(lambda ticket=ticket: client.now(ticket).state == 2, 60, "it is assigned")
        found = client.now(ticket)
        delays.append((found.assignment.assign_time.ToDatetime() - found.create_time.ToDatetime()).total_seconds())
    record_property("seconds_to_assignment", max(delays))
    assert sorted(delays)[2] < 5, delays
    assert process.stop() == 0


def test_the_role_serve_answers_and_ends_in_peace(client, settings, role) -> None:
    process = role(settings.model_copy(update={"role": "serve"})).start().wait_ready()
    assert process.stop() == 0


def test_the_role_run_erases_and_answers_once_all_has_come_to_rest(client, runner) -> None:
    ticket = client.ticket(customer=client.customer(), subject="planted")
    request = consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/1", customers=[ticket.customer])
    client.tell(request, ticket.customer)
    process = runner().start().wait_ready()
    eventually(lambda: client.now(ticket).subject == "erased", 20, "the first sweep")

    def answers() -> list[events_pb2.SubjectErased]:
        """After the sweep it waits for what was under way to end, half a minute: here that is long ago."""
        long_ago = datetime.now(UTC) - timedelta(minutes=5)
        with client.context():
            ErasureTask.rows().update_one({"sweeps": 1}, {"$set": {"quiet_from": long_ago, "lease.until": long_ago}})
            (task,) = ErasureTask.rows().find({})
        return [events_pb2.SubjectErased.FromString(entry["body"]) for entry in task.get("outbox", ())]

    eventually(answers, 20, "consent is answered")
    (told,) = answers()
    assert (told.answer.erasure_request, list(told.answer.customers)) == (request.erasure_request, [ticket.customer])
    assert [(item.kind, item.anonymized) for item in told.answer.items if item.kind == "tickets"] == [("tickets", 1)]
    assert process.stop() == 0
    assert ticket.customer not in process.log.read_text()
