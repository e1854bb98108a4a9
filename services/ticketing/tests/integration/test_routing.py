"""Queues, agents, and who gets which ticket, through the API and what `run` does."""

import random
import threading
import uuid

import grpc
import pytest

from chassis.tenant_cache import TenantCache
from ticketing.store import Agent, Queue, Ticket, tickets
from ticketing.usecases import assigning, routing, timekeeping

SERVICE = "ticketing"


def test_agents_are_written_listed_and_changed(client, refused) -> None:
    made = client.agent("ann", skills=["b", "a", "b"], languages=["DE-at", "en"], principal="principals/ann")
    assert (list(made.skills), list(made.languages), made.load) == (["a", "b"], ["de-AT", "en"], 0)
    assert client.GetAgent(name=made.name) == made
    assert client.agent("bob").name == "agents/bob"
    page = client.ListAgents(page_size=1)
    assert [each.uid for each in page.agents] == ["ann"]
    assert [each.uid for each in client.ListAgents(page_token=page.next_page_token).agents] == ["bob"]
    changed = client.UpdateAgent(agent={"name": made.name, "capacity": 5}, update_mask={"paths": ["capacity"]})
    assert (changed.capacity, changed.available, list(changed.skills)) == (5, True, ["a", "b"])
    away = client.UpdateAgent(agent={"name": made.name}, update_mask={"paths": ["available"]})
    assert not away.available
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.UpdateAgent(agent={"name": made.name, "capacity": 6, "etag": made.etag})
    with refused("ALREADY_EXISTS"):
        client.agent("ann")


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"capacity": 1001}, "INVALID_CAPACITY", "agent.capacity"),
        ({"capacity": -1}, "INVALID_CAPACITY", "agent.capacity"),
        ({"skills": ["x y"]}, "INVALID_SKILL", "agent.skills[0]"),
        ({"languages": ["en", "klingon!"]}, "INVALID_LANGUAGE", "agent.languages[1]"),
        ({"principal": "users/1"}, "INVALID_FIELDS", "agent.principal"),
        ({"display_name": "x" * 201}, "INVALID_DISPLAY_NAME", "agent.display_name"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(client, refused, fields, reason, field) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.agent(**fields)
    assert field in error.violations


def test_the_first_queue_that_fits_takes_a_ticket(client, refused) -> None:
    client.queue("late", filter="priority = PRIORITY_HIGH", order=20)
    client.queue("angry", filter="kind = KIND_COMPLAINT AND sentiment = LABEL_NEGATIVE", order=10,
                 required_skills=["complaints"])  # fmt: skip
    client.queue("german", filter="language_code = de OR language_code = de-AT", order=20)
    assert [each.uid for each in client.ListQueues().queues] == ["angry", "german", "late", "default"]
    angry = client.ticket(kind="KIND_COMPLAINT", priority="PRIORITY_HIGH", text="This is terrible, I am very angry.")
    assert angry.queue == "queues/angry"
    assert client.ticket(priority="PRIORITY_HIGH", language_code="de").queue == "queues/german"
    assert client.ticket(priority="PRIORITY_HIGH").queue == "queues/late"
    assert client.ticket().queue == "queues/default"
    default = client.GetQueue(name="queues/default")
    assert (default.display_name, default.etag) == ("Default", "")
    renamed = client.UpdateQueue(queue={"name": "queues/default", "display_name": "Rest", "required_skills": ["all"]})
    assert client.GetQueue(name="queues/default") == renamed
    assert [each.display_name for each in client.ListQueues().queues][-1] == "Rest"
    for call, reason in (
        (lambda: client.queue("default"), "ALREADY_EXISTS"),
        (lambda: client.queue("late"), "ALREADY_EXISTS"),
        (lambda: client.DeleteQueue(name="queues/default"), "DEFAULT_QUEUE"),
        (lambda: client.DeleteQueue(name="queues/none"), "NOT_FOUND"),
        (lambda: client.queue("odd", filter="color = red"), "INVALID_FILTER"),
        (lambda: client.queue("odd", order=-1), "INVALID_ORDER"),
        (lambda: client.queue("odd", required_skills=["?"]), "INVALID_SKILL"),
        (lambda: client.queue("Odd One"), "INVALID_QUEUE_ID"),
    ):
        with refused(reason):
            call()


def test_a_deletion_that_is_repeated_is_answered_as_the_first_time(client, work, travel) -> None:
    client.queue("tasks")
    client.always()
    client.policy(calendar="calendars/always")
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    for _ in range(2):
        client.DeleteQueue(name="queues/tasks", request_id=first)
        client.DeleteSlaPolicy(name="slaPolicies/standard", request_id=second)
        travel(seconds=5)
        work()


def test_a_ticket_that_another_process_put_by_older_rules_follows_too(client, work, travel, monkeypatch) -> None:
    client.queue("tasks", filter="kind = KIND_TASK")
    with client.context():
        older = routing.rules.get()
    client.DeleteQueue(name="queues/tasks")
    work()
    with monkeypatch.context() as patch:  # as a process that has not read them anew yet
        patch.setattr(routing, "rules", TenantCache(lambda: older, 60))
        ticket = client.ticket(kind="KIND_TASK")
    assert ticket.queue == "queues/tasks"
    travel(seconds=5)
    work()
    assert client.now(ticket).queue == "queues/default"


def test_waiting_tickets_follow_their_queues(client, work, travel) -> None:
    ticket, assigned = client.ticket(kind="KIND_TASK"), client.ticket(kind="KIND_TASK")
    client.agent("ann")
    client.AssignTicket(name=assigned.name, agent="agents/ann")
    client.UpdateAgent(agent={"name": "agents/ann"}, update_mask={"paths": ["available"]})
    client.queue("tasks", filter="kind = KIND_TASK", required_skills=["tasks"])
    work()
    moved = client.now(ticket)
    assert moved.queue == "queues/tasks"
    assert client.now(assigned).queue == "queues/default"
    client.UpdateQueue(queue={"name": "queues/tasks", "filter": "kind = KIND_PROBLEM"})
    work()
    assert client.now(ticket).queue == "queues/default"
    client.UpdateTicket(ticket={"name": ticket.name, "kind": "KIND_PROBLEM"}, update_mask={"paths": ["kind"]})
    assert client.now(ticket).queue == "queues/tasks"
    client.DeleteQueue(name="queues/tasks")
    assert [each.uid for each in client.ListQueues().queues] == ["default"]
    work()
    assert client.now(ticket).queue == "queues/default"
    travel(seconds=5)
    work()
    assert client.queue("tasks").name == "queues/tasks"


def test_tickets_go_to_whoever_has_most_room_with_the_reason(client, work) -> None:
    client.queue("complaints", filter="kind = KIND_COMPLAINT", required_skills=["complaints"])
    for name in ("ann", "bob", "cid"):
        client.agent(name, skills=["complaints"], capacity=10)
    client.agent("dan", capacity=10)
    first = client.ticket(kind="KIND_COMPLAINT", customer=client.customer())
    work()
    ticket = client.now(first)
    assert (ticket.state, ticket.assignment.agent, ticket.assignment.agent_load) == (2, "agents/ann", 0)
    assert ticket.assignment.reason == "has the skills complaints; 0 of 10 tickets, the fewest of 3 who could"
    assert ticket.assignment.HasField("assign_time")
    assert client.GetAgent(name="agents/ann").load == 1
    assert client.told_names(first.name) == ["ComplaintOpened", "TicketOpened", "TicketAssigned"]
    (told,) = [event for name, event in client.told(first.name) if name == "TicketAssigned"]
    assert (told.reason, told.ticket.agent, told.ticket.state) == (ticket.assignment.reason, "agents/ann", 2)


def test_urgent_tickets_come_first_then_those_due_first(client, work) -> None:
    client.always()
    client.policy(
        calendar="calendars/always",
        targets=[{"priority": "PRIORITY_NORMAL", "resolution": {"seconds": 7200}}],
        filter="channel = CHANNEL_WEB",
    )
    client.policy(
        "fast",
        calendar="calendars/always",
        targets=[{"priority": "PRIORITY_NORMAL", "resolution": {"seconds": 60}}],
        filter="channel = CHANNEL_PHONE",
    )
    made = [
        client.ticket(priority="PRIORITY_LOW"),
        client.ticket(),
        client.ticket(channel="CHANNEL_WEB"),
        client.ticket(channel="CHANNEL_PHONE"),
        client.ticket(priority="PRIORITY_URGENT"),
    ]
    client.agent("ann", capacity=1)
    order = []
    for _ in made:
        work()
        (current,) = client.ListTickets(filter="state = STATE_OPEN").tickets
        order.append(made.index(next(each for each in made if each.name == current.name)))
        client.ResolveTicket(name=current.name)
    assert order == [4, 3, 2, 1, 0]


def test_a_ticket_waits_with_the_reason_until_somebody_can_take_it(client, work) -> None:
    ticket = client.ticket(required_skills=["refunds"])
    plain = client.ticket()
    work()
    assert client.now(ticket).assignment.reason == "waits: nobody is available"
    client.agent("ann", capacity=1)
    work()
    assert client.now(ticket).assignment.reason == "waits: nobody available has the skills refunds"
    assert client.now(plain).assignment.agent == "agents/ann"
    client.UpdateAgent(agent={"name": "agents/ann", "skills": ["refunds"]})
    work()
    assert client.now(ticket).assignment.reason == "waits: the only one who could take it has no room"
    client.ResolveTicket(name=plain.name)
    work()
    assert client.now(ticket).assignment.agent == "agents/ann"
    third = client.ticket()
    work()
    assert client.now(third).state == 1
    client.UpdateAgent(agent={"name": "agents/ann", "capacity": 2})
    work()
    assert client.now(third).assignment.agent == "agents/ann"


def test_the_language_is_found_or_the_lack_of_it_stated(client, work) -> None:
    client.agent("ann", languages=["en"], capacity=10)
    client.agent("bob", languages=["de"], capacity=10)
    german, french = client.ticket(language_code="de-CH"), client.ticket(language_code="fr")
    work()
    assert client.now(german).assignment.agent == "agents/bob"
    assert client.now(french).assignment.agent == "agents/ann"
    assert client.now(french).assignment.reason.startswith("nobody with room writes fr; 0 of 10")


def test_assigning_by_hand_stays_within_capacity_unless_forced(client, work, refused) -> None:
    client.agent("ann", capacity=1, available=False)
    first, second = client.ticket(required_skills=["x"]), client.ticket()
    given = client.AssignTicket(name=first.name, agent="agents/ann", etag=first.etag)
    assert (given.state, given.assignment.agent, given.assignment.reason) == (2, "agents/ann", "given by hand")
    assert client.AssignTicket(name=first.name, agent="agents/ann") == given
    with refused("AGENT_FULL", grpc.StatusCode.FAILED_PRECONDITION):
        client.AssignTicket(name=second.name, agent="agents/ann")
    with refused("NOT_FOUND"):
        client.AssignTicket(name=second.name, agent="agents/none")
    with refused("ETAG_MISMATCH"):
        client.AssignTicket(name=first.name, etag=first.etag)
    forced = client.AssignTicket(name=second.name, agent="agents/ann", force=True)
    assert (forced.assignment.agent_load, client.GetAgent(name="agents/ann").load) == (1, 2)
    back = client.AssignTicket(name=second.name)
    assert (back.state, back.assignment.agent, back.assignment.reason) == (1, "", "given back by hand")
    client.agent("bob", skills=["x"])
    work()
    assert client.now(second).assignment.agent == "agents/bob"
    moved = client.AssignTicket(name=first.name, agent="agents/bob")
    assert moved.assignment.agent == "agents/bob"
    assert client.GetAgent(name="agents/ann").load == 0


def test_a_reopened_ticket_goes_back_to_its_agent_if_there_is_room(client, work) -> None:
    client.agent("ann", capacity=1)
    first = client.ticket()
    work()
    client.ResolveTicket(name=first.name)
    client.say(first)
    assert (client.now(first).state, client.now(first).assignment.agent) == (2, "agents/ann")
    client.ResolveTicket(name=first.name)
    second = client.ticket()
    work()
    client.say(first)
    waiting = client.now(first)
    assert (waiting.state, waiting.assignment.agent) == (1, "")
    assert waiting.assignment.reason == "waits: the agent who had it has no room"
    client.PendTicket(name=second.name)
    assert client.GetAgent(name="agents/ann").load == 1
    client.ResolveTicket(name=second.name)
    work()
    assert client.now(first).assignment.agent == "agents/ann"


def test_nobody_ever_gets_more_than_fits_whoever_assigns(client, settings) -> None:
    """Assigners, people who assign by hand and customers who reopen, all at once, on a few agents."""
    names = [f"a{number}" for number in range(4)]
    for name in names:
        client.agent(name, capacity=3)
    made = [client.ticket() for _ in range(30)]
    stop, over, errors = threading.Event(), [], []
    chance = random.Random(7)

    def watch() -> None:
        with client.context():
            while not stop.is_set():
                over.extend(load for load in tickets.loads(names).values() if load > 3)

    def during(work, times: int) -> None:
        try:
            for _ in range(times):
                work()
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    def assign() -> None:
        with client.context():
            assigning.assign_waiting()

    def by_hand() -> None:
        ticket = chance.choice(made)
        _tolerant(lambda: client.AssignTicket(name=ticket.name, agent=f"agents/{chance.choice(names)}"))

    def come_and_go() -> None:
        ticket = chance.choice(made)
        _tolerant(lambda: client.ResolveTicket(name=ticket.name))
        _tolerant(lambda: client.say(chance.choice(made)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [
        threading.Thread(target=during, args=job) for job in [(assign, 25)] * 3 + [(by_hand, 40), (come_and_go, 40)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert errors == []
    assert over == []
    with client.context():
        assigning.assign_waiting()
        loads = tickets.loads(names)
        waiting = Ticket.rows().count({"state": "STATE_NEW"})
        assert Agent.rows().count({"assignments": {"$gt": 0}}) == 4
    assert all(load <= 3 for load in loads.values())
    assert waiting == 0 or sum(loads.values()) == 12


def _tolerant(call) -> None:
    """Full agents, resolved tickets and crowds are refused, as they should be."""
    try:
        call()
    except grpc.RpcError as error:
        if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED):
            raise


def test_a_tenant_whose_rules_cannot_be_read_holds_up_nobody(client, channel, work, monkeypatch) -> None:
    broken, whole = type(client)(channel, f"a{client.tenant}"), type(client)(channel, f"z{client.tenant}")
    failures = []
    monkeypatch.setattr(timekeeping.logger, "exception", failures.append)
    for each in (broken, whole):
        each.agent("ann", available=each is whole)
        each.ticket()
        each.queue("tasks", filter="kind = KIND_TASK")
    with broken.context():
        Queue.rows().update_one({"uid": "tasks"}, {"$set": {"filter": "no such field = 1"}})
    work()
    assert [each.assignment.agent for each in whole.ListTickets().tickets] == ["agents/ann"]
    assert failures
    assert "the work of one tenant failed" in failures[0]
    with broken.context():
        Queue.rows().update_one({"uid": "tasks"}, {"$set": {"filter": "kind = KIND_TASK"}})
