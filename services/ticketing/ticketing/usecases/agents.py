"""Agents: written, changed, deleted; what they can do decides which tickets they get."""

import functools

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.ticketing.v1 import agent_pb2, events_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from docstore import masks, whole_milliseconds
from ticketing import answers, inputs
from ticketing.store import Agent, Ticket
from ticketing.store.tickets import HELD
from ticketing.usecases import lifecycle

_BATCH = 200


@docstore.command(Agent)
def create(uid: str, message: agent_pb2.Agent) -> Agent:
    """Creates an agent. Raises AlreadyExists for a taken id, InvalidArgument."""
    agent = Agent.new(uid=uid)
    _assign(agent, message)
    return agent.insert()


@docstore.command(Agent)
def update(message: agent_pb2.Agent, mask: FieldMask) -> Agent:
    """Changes what the mask names, under its etag if it has one. Raises NotFound, Aborted, InvalidArgument."""
    agent = Agent.get(fields.uid(message.name))
    wanted = answers.agent(agent, 0)
    if masks.apply(mask, message, wanted):
        _assign(agent, wanted)
    return agent.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Deletes an agent, who gets no ticket any more; `run` takes back those there are. Raises NotFound, Aborted."""
    agent = Agent.get(uid)
    agent.available = False
    agent.due = clock.now()
    agent.soft_delete(etag or None)
    return Empty()


def take_back(uid: str) -> None:
    """Takes the unresolved tickets of a deleted agent of the current tenant back, and removes the agent for good."""
    while docstore.in_transaction(functools.partial(_take_back_batch, uid)) == _BATCH:
        pass
    found = Agent.get_many([uid], deleted=True).get(uid)
    if found is not None and found.delete_time is not None:
        found.purge()


def _take_back_batch(uid: str) -> int:
    """Returns how many tickets it took back."""
    now = whole_milliseconds(clock.now())
    held = {"agent": uid, "state": {"$in": list(HELD)}}
    tickets = Ticket.find(held, limit=_BATCH)
    for ticket in tickets:
        lifecycle.release(ticket, "waits: the agent who had it was deleted")
        lifecycle.conclude(ticket, now, events_pb2.TicketUpdated())
    Ticket.save_many(tickets)
    return len(tickets)


def _assign(agent: Agent, message: agent_pb2.Agent) -> None:
    agent.display_name = fields.display_name(message.display_name, "agent.display_name")
    agent.principal = message.principal or None
    agent.skills = inputs.skills(message.skills, inputs.AGENT_SKILLS_MAX, "agent.skills")
    agent.languages = inputs.languages(message.languages, "agent.languages")
    agent.capacity = inputs.capacity(message.capacity, "agent.capacity")
    agent.available = message.available
    agent.due = clock.now()
