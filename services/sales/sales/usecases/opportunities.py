"""Opportunities: created, moved, won, lost, opened again."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import events_pb2, opportunity_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import masks
from sales import answers, inputs
from sales.store import Contact, Opportunity, Pipeline, tenants
from sales.store.opportunities import LOST, OPEN, WON
from sales.usecases import accounts, people, pipelines

REASON_MAX = 2000


@docstore.command(None)
def create(message: opportunity_pb2.Opportunity) -> Opportunity:
    """Creates an opportunity. Raises InvalidArgument, FailedPrecondition CUSTOMER_ERASED."""
    opportunity = Opportunity.new(state=OPEN)
    _assign(opportunity, message)
    opportunity.owner = opportunity.owner or inputs.caller() or None
    return opportunity.insert()


@docstore.command(None)
def update(message: opportunity_pb2.Opportunity, mask: FieldMask) -> Opportunity:
    """Changes what the mask names. Raises NotFound, Aborted, FailedPrecondition OPPORTUNITY_CLOSED, as `create` too."""
    opportunity = Opportunity.get(fields.uid(message.name))
    wanted = answers.opportunity(opportunity)
    if masks.apply(mask, message, wanted):
        _require_open(opportunity)
        _assign(opportunity, wanted)
    return opportunity.save(message.etag or None)


@docstore.command(Opportunity)
def win(uid: str, etag: str) -> Opportunity:
    """The deal was made. Raises NotFound, Aborted, FailedPrecondition OPPORTUNITY_CLOSED."""
    opportunity = Opportunity.get(uid)
    _require_open(opportunity)
    opportunity.state, opportunity.close_time = WON, clock.now()
    event = events_pb2.OpportunityWon(opportunity=opportunity.public_state(), win_time=opportunity.close_time)
    opportunity.emit(event, opportunity.subjects)
    return opportunity.save(etag or None)


@docstore.command(Opportunity)
def lose(uid: str, reason: str, etag: str) -> Opportunity:
    """The deal will not be made. Raises NotFound, Aborted, FailedPrecondition OPPORTUNITY_CLOSED."""
    opportunity = Opportunity.get(uid)
    _require_open(opportunity)
    opportunity.state, opportunity.close_time = LOST, clock.now()
    opportunity.lost_reason = inputs.text(reason, "lost_reason", REASON_MAX, required=True)
    event = events_pb2.OpportunityLost(opportunity=opportunity.public_state(), lose_time=opportunity.close_time)
    opportunity.emit(event, opportunity.subjects)
    return opportunity.save(etag or None)


@docstore.command(None)
def reopen(uid: str, etag: str) -> Opportunity:
    """The deal may be made after all. Raises NotFound, Aborted, FailedPrecondition OPPORTUNITY_OPEN, CUSTOMER_ERASED.

    A pipeline may have lost the stage meanwhile, or be gone: only open opportunities hold it.
    """
    opportunity = Opportunity.get(uid)
    if opportunity.state == OPEN:
        raise FailedPrecondition(
            "OPPORTUNITY_OPEN", f"{opportunity.name} is open.", metadata={"resource": opportunity.name}
        )
    people.customer(opportunity.customer or "", "opportunity.customer")
    opportunity.state = OPEN
    opportunity.close_time = opportunity.lost_reason = None
    pipeline = Pipeline.get_many([opportunity.pipeline]).get(opportunity.pipeline)
    if pipeline is None:
        pipeline = pipelines.known("", "opportunity.pipeline")
        opportunity.pipeline = pipeline.uid
    stages = [stage.id for stage in pipeline.values()]
    if opportunity.stage not in stages:
        opportunity.stage = stages[0]
    event = events_pb2.OpportunityReopened(opportunity=opportunity.public_state())
    event.reopen_time.FromDatetime(clock.now())
    opportunity.emit(event, opportunity.subjects)
    return opportunity.save(etag or None)


def _require_open(opportunity: Opportunity) -> None:
    if opportunity.state != OPEN:
        raise FailedPrecondition(
            "OPPORTUNITY_CLOSED",
            f"{opportunity.name} is {'won' if opportunity.state == WON else 'lost'}; reopen it first.",
            metadata={"resource": opportunity.name, "state": opportunity.state},
        )


def _assign(opportunity: Opportunity, message: opportunity_pb2.Opportunity) -> None:
    new = not opportunity.version
    opportunity.display_name = fields.display_name(message.display_name, "opportunity.display_name")
    if new or message.account != opportunity.account or message.contact != (opportunity.contact or ""):
        _put_people(opportunity, message)
    customer = people.customer(message.customer, "opportunity.customer")
    opportunity.customer = customer or (opportunity.customer if new else None)
    if new or fields.uid(message.pipeline) != opportunity.pipeline or message.stage != opportunity.stage:
        pipeline = pipelines.known(message.pipeline, "opportunity.pipeline")
        opportunity.stage = pipelines.stage_of(pipeline, message.stage, "opportunity.stage")
        opportunity.pipeline = pipeline.uid
    if message.HasField("amount"):
        opportunity.amount_minor, opportunity.currency = inputs.amount(message.amount, "opportunity.amount")
    else:
        opportunity.amount_minor, opportunity.currency = 0, tenants.currency()
    expected = inputs.day(message.expected_close_date, "opportunity.expected_close_date")
    opportunity.expected_close_date = expected or None
    opportunity.owner = inputs.principal(message.owner, "opportunity.owner") or None


def _put_people(opportunity: Opportunity, message: opportunity_pb2.Opportunity) -> None:
    """Account and contact; of a new opportunity the contact's customer too."""
    if message.account != opportunity.account:
        opportunity.account = accounts.known(message.account, "opportunity.account").name
    contact = None
    if message.contact:
        contact = Contact.get_many([fields.uid(message.contact)]).get(fields.uid(message.contact))
        if contact is None or contact.account != opportunity.account:
            raise fields.refusal("CONTACT_UNKNOWN", "opportunity.contact", "The account has no such contact.")
    opportunity.contact = contact.name if contact else None
    if contact and not opportunity.version:
        opportunity.customer = people.customer(contact.customer or "", "opportunity.contact") or None
