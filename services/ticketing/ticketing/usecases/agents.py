"""Agents: written, changed; what they can do decides which tickets they get."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.ticketing.v1 import agent_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from docstore import masks
from ticketing import answers, inputs
from ticketing.store import Agent


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


def _assign(agent: Agent, message: agent_pb2.Agent) -> None:
    agent.display_name = fields.display_name(message.display_name, "agent.display_name")
    agent.principal = inputs.principal(message.principal, "agent.principal") or None
    agent.skills = inputs.skills(message.skills, inputs.AGENT_SKILLS_MAX, "agent.skills")
    agent.languages = inputs.languages(message.languages, "agent.languages")
    agent.capacity = inputs.capacity(message.capacity, "agent.capacity")
    agent.available = message.available
    agent.due = clock.now()
