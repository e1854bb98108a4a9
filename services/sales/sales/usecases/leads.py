"""Leads: taken in, scored, given to somebody, converted or disqualified."""

from dataclasses import asdict, dataclass

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import events_pb2, lead_pb2, sales_service_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import masks
from sales import answers, inputs
from sales.domain import lead_points
from sales.store import (
    Account,
    Contact,
    Conversion,
    Lead,
    LeadFacts,
    Opportunity,
    ScoreReason,
    leads,
    opportunities,
    tenants,
)
from sales.usecases import accounts, assigning, contacts, people, pipelines

MESSAGE_MAX, REASON_MAX = 5000, 2000
_EMPLOYEES_MAX = 10_000_000


@docstore.command(None)
def create(message: lead_pb2.Lead) -> Lead:
    """Takes a lead in. Raises InvalidArgument, FailedPrecondition CUSTOMER_ERASED."""
    lead = Lead.new(state=leads.OPEN, create_time=docstore.whole_milliseconds(clock.now()))
    _assign(lead, message)
    lead.facts = _facts(lead)
    assigning.assign_new(lead)
    lead.emit(events_pb2.LeadCreated(lead=lead.public_state()), lead.subjects)
    return lead.insert()


@docstore.command(None)
def update(message: lead_pb2.Lead, mask: FieldMask) -> Lead:
    """Changes what the mask names. Raises NotFound, Aborted, FailedPrecondition LEAD_CLOSED, and as `create`."""
    lead = Lead.get(fields.uid(message.name))
    wanted = answers.lead(lead)
    if masks.apply(mask, message, wanted):
        _require_open(lead)
        _assign(lead, wanted)
        if lead.waiting:
            leads.call_desk()
        lead.emit(events_pb2.LeadUpdated(lead=lead.public_state()), lead.subjects)
    return lead.save(message.etag or None)


@docstore.command(None)
def disqualify(uid: str, reason: str, etag: str) -> Lead:
    """Nothing will come of it. Raises NotFound, Aborted, FailedPrecondition LEAD_CLOSED for a converted one."""
    lead = Lead.get(uid)
    told = inputs.text(reason, "reason", REASON_MAX, required=True)
    if lead.state != leads.DISQUALIFIED:
        _require_open(lead)
        assigning.release(lead)
        lead.state, lead.waiting, lead.disqualification_reason = leads.DISQUALIFIED, None, told
        event = events_pb2.LeadDisqualified(lead=lead.public_state(), disqualify_time=clock.now())
        lead.emit(event, lead.subjects)
    return lead.save(etag or None)


@docstore.command(None)
def assign(uid: str, sales_rep: str, etag: str) -> Lead:
    """Gives a lead to a sales rep somebody chose.

    Raises NotFound, Aborted, FailedPrecondition SALES_REP_FULL or LEAD_CLOSED, InvalidArgument SALES_REP_UNKNOWN.
    """
    lead = Lead.get(uid)
    _require_open(lead)
    if lead.assignment.sales_rep == fields.uid(sales_rep):
        return lead.save(etag or None)
    assigner = assigning.Assigner()
    rep = assigner.rep(fields.uid(sales_rep))
    if rep is None:
        raise fields.refusal("SALES_REP_UNKNOWN", "sales_rep", "There is no such sales rep.")
    if rep.load >= rep.capacity:
        raise FailedPrecondition(
            "SALES_REP_FULL",
            f"{sales_rep} has {rep.load} of {rep.capacity} leads; raise the capacity or choose another one.",
            metadata={"resource": sales_rep, "load": str(rep.load), "capacity": str(rep.capacity)},
        )
    assigning.release(lead)
    assigner.give(lead, rep, leads.MANUAL, f"{inputs.caller() or 'A service'} chose so.")
    assigner.count()
    return lead.save(etag or None)


@dataclass(frozen=True, slots=True)
class Wish:
    """How a lead is to be converted, checked: everything but `account` and `pipeline` may be left out."""

    account: str
    display_name: str
    pipeline: str
    stage: str
    amount: tuple[int, str] | None
    expected_close_date: str

    @classmethod
    def of(cls, request: sales_service_pb2.ConvertLeadRequest) -> "Wish":
        """What the request asks for. Raises InvalidArgument."""
        name = request.opportunity_display_name
        return cls(
            account=request.account,
            display_name=fields.display_name(name, "opportunity_display_name") if name else "",
            pipeline=request.pipeline,
            stage=request.stage,
            amount=inputs.amount(request.amount, "amount") if request.HasField("amount") else None,
            expected_close_date=inputs.day(request.expected_close_date, "expected_close_date"),
        )


@docstore.command(None)
def convert(uid: str, wish: Wish, etag: str) -> Lead:
    """Makes account, contact and opportunity of a lead, all or none.

    Raises NotFound, Aborted, InvalidArgument ACCOUNT_UNKNOWN, PIPELINE_UNKNOWN, STAGE_UNKNOWN, FailedPrecondition
    LEAD_ALREADY_CONVERTED, LEAD_CLOSED, CUSTOMER_ERASED.
    """
    lead = Lead.get(uid)
    lead.check_etag(etag or None)
    _require_unconverted(lead)
    _require_open(lead)
    people.customer(lead.customer or "", "lead.customer")
    account = accounts.known(wish.account, "account") if wish.account else _new_account(lead).insert()
    contact = Contact.new(
        account=account.name,
        customer=lead.customer,
        display_name=lead.display_name,
        email=lead.email,
        phone=lead.phone,
    ).insert()
    opportunity = _new_opportunity(lead, wish, account, contact).insert()
    assigning.release(lead)
    lead.state, lead.waiting = leads.CONVERTED, None
    lead.conversion = Conversion(
        account=account.name, contact=contact.name, opportunity=opportunity.name, convert_time=clock.now()
    )
    event = events_pb2.LeadConverted(
        lead=lead.public_state(),
        account=account.name,
        contact=contact.name,
        opportunity=opportunity.name,
        convert_time=lead.conversion.convert_time,
    )
    lead.emit(event, lead.subjects)
    return lead.save(etag or None)


def _new_account(lead: Lead) -> Account:
    return Account.new(
        display_name=lead.company_name or lead.display_name,
        region_code=lead.region_code,
        owner=lead.assignment.owner,
        person=None if lead.company_name else lead.customer,
    )


def _new_opportunity(lead: Lead, wish: Wish, account: Account, contact: Contact) -> Opportunity:
    pipeline = pipelines.known(wish.pipeline, "pipeline")
    budget = (lead.budget_minor, lead.budget_currency) if lead.budget_currency else (0, tenants.currency())
    minor, currency = wish.amount or budget
    return Opportunity.new(
        display_name=wish.display_name or lead.company_name or lead.display_name,
        account=account.name,
        contact=contact.name,
        customer=lead.customer,
        lead=lead.name,
        pipeline=pipeline.uid,
        stage=pipelines.stage_of(pipeline, wish.stage, "stage"),
        amount_minor=minor,
        currency=currency,
        expected_close_date=wish.expected_close_date or None,
        owner=lead.assignment.owner or inputs.caller() or None,
        state=opportunities.OPEN,
    )


def _require_unconverted(lead: Lead) -> None:
    if lead.state == leads.CONVERTED:
        became = lead.conversion
        made = {"account": became.account, "contact": became.contact, "opportunity": became.opportunity}
        raise FailedPrecondition(
            "LEAD_ALREADY_CONVERTED",
            f"{lead.name} became {became.account}, {became.contact} and {became.opportunity}.",
            metadata={"resource": lead.name, **made},
        )


def _require_open(lead: Lead) -> None:
    if lead.state != leads.OPEN:
        became = "converted" if lead.state == leads.CONVERTED else "disqualified"
        raise FailedPrecondition(
            "LEAD_CLOSED", f"{lead.name} was {became}.", metadata={"resource": lead.name, "state": lead.state}
        )


def _assign(lead: Lead, message: lead_pb2.Lead) -> None:
    lead.display_name = fields.display_name(message.display_name, "lead.display_name")
    lead.company_name = inputs.text(message.company_name, "lead.company_name", inputs.NAME_MAX).strip() or None
    lead.email = contacts.email(message.email, "lead.email") or None
    lead.region_code = fields.region(message.region_code, "lead.region_code") if message.region_code else None
    language = message.language_code
    lead.language_code = fields.language(language, "lead.language_code") if language else None
    lead.phone = contacts.phone(message.phone, "lead.phone", lead.region_code or "") or None
    lead.source = lead_pb2.Lead.Source.Name(message.source)
    lead.message = inputs.text(message.message, "lead.message", MESSAGE_MAX) or None
    employees = inputs.whole_number(message.employee_count, "lead.employee_count", _EMPLOYEES_MAX)
    lead.employee_count = employees or None
    minor, currency = inputs.amount(message.budget, "lead.budget") if message.HasField("budget") else (None, None)
    lead.budget_minor, lead.budget_currency = minor, currency
    lead.customer = people.customer(message.customer, "lead.customer") or None
    skills = inputs.skills(message.required_skills, "lead.required_skills")
    if skills != list(lead.required_skills):
        lead.required_skills = skills
    _score(lead)


def _known(lead: Lead) -> lead_points.Known:
    return lead_points.Known(
        source=lead.source,
        has_company=bool(lead.company_name),
        employee_count=lead.employee_count or 0,
        has_budget=bool(lead.budget_minor),
        region_code=lead.region_code or "",
        home_region=tenants.region(),
        has_email=bool(lead.email),
        has_phone=bool(lead.phone),
        message_length=len((lead.message or "").strip()),
        is_customer=bool(lead.customer),
    )


def _facts(lead: Lead) -> LeadFacts:
    known = asdict(_known(lead))
    del known["home_region"]
    return LeadFacts(**known, score=lead.score)


def _score(lead: Lead) -> None:
    reasons = lead_points.reasons(_known(lead))
    lead.score = sum(reason.points for reason in reasons)
    lead.score_reasons = [
        ScoreReason(rule=reason.rule, points=reason.points, description=reason.description) for reason in reasons
    ]
