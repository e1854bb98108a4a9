"""Agents who leave: what they worked on goes to others."""

import uuid

import grpc

from ticketing.usecases import agents

SERVICE = "ticketing"


def test_a_deleted_agent_s_tickets_go_to_others(client, work, refused) -> None:
    client.agent("ann", capacity=3)
    opened, pending, resolved = (client.ticket() for _ in range(3))
    for ticket in (opened, pending, resolved):
        client.AssignTicket(name=ticket.name, agent="agents/ann")
    client.PendTicket(name=pending.name)
    client.ResolveTicket(name=resolved.name)
    deleted = {"name": "agents/ann", "request_id": str(uuid.uuid4())}
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.DeleteAgent(name="agents/ann", etag='"77"')
    client.DeleteAgent(**deleted)
    client.DeleteAgent(**deleted)
    for call in (
        lambda: client.GetAgent(name="agents/ann"),
        lambda: client.DeleteAgent(name="agents/ann"),
        lambda: client.AssignTicket(name=opened.name, agent="agents/ann"),
    ):
        with refused("NOT_FOUND"):
            call()
    assert list(client.ListAgents().agents) == []
    work()
    waiting = client.now(opened)
    assert (waiting.state, waiting.assignment.agent) == (1, "")
    assert waiting.assignment.reason == "waits: nobody is available"
    assert (client.now(pending).state, client.now(pending).assignment.agent) == (3, "")
    assert client.now(pending).assignment.reason == "waits: the agent who had it was deleted"
    assert client.now(resolved).assignment.agent == "agents/ann"
    assert client.told_names(opened.name)[-1] == "TicketUpdated"
    client.agent("bob", capacity=3)
    client.say(pending)
    client.ReopenTicket(name=resolved.name)
    work()
    assert {client.now(each).assignment.agent for each in (opened, pending, resolved)} == {"agents/bob"}
    assert client.agent("ann").name == "agents/ann", "the id is free again"
    client.DeleteAgent(**deleted)  # answered as the first time: this is another Ann
    assert client.GetAgent(name="agents/ann").load == 0


def test_many_tickets_of_a_deleted_agent_go_back_though_run_is_slow(client, work, monkeypatch) -> None:
    monkeypatch.setattr(agents, "_BATCH", 2)
    client.agent("ann", capacity=10)
    tickets = [client.ticket() for _ in range(5)]
    work()
    client.DeleteAgent(name="agents/ann")
    work()
    assert {client.now(each).state for each in tickets} == {1}
