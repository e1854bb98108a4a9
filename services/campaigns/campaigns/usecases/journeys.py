"""Journeys: written, changed by revision, activated, paused."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.campaigns.v1 import journey_pb2

import docstore
from campaigns import answers, inputs
from campaigns.domain import journeys as rules
from campaigns.store import Journey, JourneyRevision, Step, Template, entries, journeys, messages
from chassis import clock, ids
from chassis import inputs as fields
from chassis.errors import FailedPrecondition, InvalidArgument


@docstore.command(None)
def create(uid: str, message: journey_pb2.Journey) -> Journey:
    """Creates a journey as a draft. Raises AlreadyExists for a taken id, InvalidArgument JOURNEY_INVALID."""
    journey = Journey.new(uid=uid, state=journeys.DRAFT, revision=1, holdout_salt=ids.uuid7())
    definition = _assign(journey, message)
    journey.insert()
    _revision(journey, definition).insert()
    return journey


@docstore.command(None)
def update(message: journey_pb2.Journey, mask: FieldMask) -> Journey:
    """Changes what the mask names; new steps are a new revision. Raises NotFound, Aborted, InvalidArgument."""
    journey = Journey.get(fields.uid(message.name))
    present = definition_of(journey)
    wanted = answers.journey(journey, present)
    docstore.masks.apply(mask, message, wanted)
    definition = _assign(journey, wanted)
    if definition.steps != present.steps:
        journey.revision += 1
        _revision(journey, definition).insert()
    return journey.save(message.etag or None)


@docstore.command(None)
def activate(uid: str, etag: str) -> Journey:
    """Lets people enter and move on. Raises NotFound, Aborted, InvalidArgument when a template is gone."""
    journey = Journey.get(uid)
    _check_templates(definition_of(journey))
    if journey.state != journeys.ACTIVE:
        journey.state = journeys.ACTIVE
        entries.hold(journey.uid, clock.now(), held=False)
        messages.hold(journey.name, clock.now(), held=False)
    return journey.save(etag or None)


@docstore.command(None)
def pause(uid: str, etag: str) -> Journey:
    """Stops everybody where they are. Raises NotFound, Aborted, FailedPrecondition JOURNEY_NOT_ACTIVE."""
    journey = Journey.get(uid)
    if journey.state == journeys.DRAFT:
        raise FailedPrecondition(
            "JOURNEY_NOT_ACTIVE", f"{journey.name} was never activated.", metadata={"resource": journey.name}
        )
    if journey.state == journeys.ACTIVE:
        journey.state = journeys.PAUSED
        entries.hold(journey.uid, clock.now(), held=True)
        messages.hold(journey.name, clock.now(), held=True)
    return journey.save(etag or None)


def definition_of(journey: Journey) -> rules.Definition:
    """The steps of the present revision."""
    return JourneyRevision.get(JourneyRevision.uid_of(journey.uid, journey.revision)).definition()


def _assign(journey: Journey, message: journey_pb2.Journey) -> rules.Definition:
    journey.display_name = fields.display_name(message.display_name, "journey.display_name")
    journey.trigger_kind, journey.trigger = inputs.trigger(message.trigger)
    journey.holdout_percent = inputs.holdout_percent(message.holdout_percent)
    definition = inputs.steps(message.steps)
    _check_templates(definition)
    return definition


def _check_templates(definition: rules.Definition) -> None:
    wanted = {
        index: step.action.template
        for index, step in enumerate(definition.steps)
        if isinstance(step.action, rules.Send)
    }
    known = Template.get_many(fields.uid(name) for name in wanted.values())
    unknown = [
        (f"journey.steps[{index}].send.template", f"{name} does not exist.")
        for index, name in wanted.items()
        if fields.uid(name) not in known
    ]
    if unknown:
        raise InvalidArgument("JOURNEY_INVALID", f"{unknown[0][0]}: {unknown[0][1]}", violations=unknown)


def _revision(journey: Journey, definition: rules.Definition) -> JourneyRevision:
    return JourneyRevision.new(
        uid=JourneyRevision.uid_of(journey.uid, journey.revision),
        journey=journey.uid,
        number=journey.revision,
        steps=[Step.of(step) for step in definition.steps],
    )
