"""Turns documents into the contract's messages."""

from datetime import date

from google.type.date_pb2 import Date
from rapport.sales.v1 import (
    account_pb2,
    contact_pb2,
    lead_pb2,
    opportunity_pb2,
    order_pb2,
    pipeline_pb2,
    promise_pb2,
    sales_rep_pb2,
)

from chassis import money
from sales.store import Account, Contact, Lead, Opportunity, Order, Pipeline, Promise, SalesRep


def account(document: Account) -> account_pb2.Account:
    """An account."""
    return account_pb2.Account(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        website=document.website or "",
        region_code=document.region_code or "",
        owner=document.owner or "",
        create_time=document.create_time,
        update_time=document.update_time,
        delete_time=document.delete_time,
        purge_time=document.purge_time,
        etag=document.etag,
    )


def contact(document: Contact) -> contact_pb2.Contact:
    """A contact."""
    return contact_pb2.Contact(
        name=document.name,
        uid=document.uid,
        account=document.account,
        customer=document.customer or "",
        display_name=document.display_name,
        email=document.email or "",
        phone=document.phone or "",
        job_title=document.job_title or "",
        create_time=document.create_time,
        update_time=document.update_time,
        delete_time=document.delete_time,
        purge_time=document.purge_time,
        etag=document.etag,
    )


def lead(document: Lead) -> lead_pb2.Lead:
    """A lead."""
    assigned = document.assignment
    became = document.conversion
    told = document.conversion_estimate
    if told and told.probability is None:
        told = None
    return lead_pb2.Lead(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        company_name=document.company_name or "",
        email=document.email or "",
        phone=document.phone or "",
        region_code=document.region_code or "",
        language_code=document.language_code or "",
        source=document.source,
        message=document.message or "",
        employee_count=document.employee_count or 0,
        budget=money.from_minor(document.budget_minor, document.budget_currency) if document.budget_currency else None,
        customer=document.customer or "",
        required_skills=list(document.required_skills),
        score=document.score,
        score_reasons=[
            lead_pb2.LeadScoreReason(rule=reason.rule, points=reason.points, description=reason.description)
            for reason in document.score_reasons
        ],
        assignment=lead_pb2.LeadAssignment(
            owner=assigned.owner or "",
            sales_rep=SalesRep.described(assigned.sales_rep) if assigned.sales_rep else "",
            rule=assigned.rule,
            reason=assigned.reason,
            load=assigned.load or 0,
            capacity=assigned.capacity or 0,
            assign_time=assigned.assign_time,
        ),
        state=document.state,
        conversion=lead_pb2.LeadConversion(
            account=became.account,
            contact=became.contact,
            opportunity=became.opportunity,
            convert_time=became.convert_time,
        )
        if became
        else None,
        disqualification_reason=document.disqualification_reason or "",
        conversion_probability=told.probability if told else None,
        conversion_estimate=lead_pb2.LeadConversionEstimate(
            low=told.low,
            high=told.high,
            percentile=told.percentile,
            reasons=list(told.reasons),
            model=told.model,
            decision=told.decision or "",
            score_time=told.score_time,
        )
        if told
        else None,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def sales_rep(document: SalesRep) -> sales_rep_pb2.SalesRep:
    """A sales rep."""
    return sales_rep_pb2.SalesRep(
        name=document.name,
        uid=document.uid,
        principal=document.principal,
        display_name=document.display_name,
        region_codes=list(document.region_codes),
        language_codes=list(document.language_codes),
        skills=list(document.skills),
        capacity=document.capacity,
        available=document.available,
        load=document.load,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def pipeline(document: Pipeline) -> pipeline_pb2.Pipeline:
    """A pipeline."""
    return pipeline_pb2.Pipeline(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        stages=[
            pipeline_pb2.Stage(id=stage.id, display_name=stage.display_name, probability_percent=stage.probability)
            for stage in document.values()
        ],
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def opportunity(document: Opportunity) -> opportunity_pb2.Opportunity:
    """An opportunity."""
    return opportunity_pb2.Opportunity(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        account=document.account,
        contact=document.contact or "",
        customer=document.customer or "",
        lead=document.lead or "",
        pipeline=Pipeline.described(document.pipeline),
        stage=document.stage,
        amount=money.from_minor(document.amount_minor, document.currency),
        expected_close_date=_date(document.expected_close_date),
        owner=document.owner or "",
        state=document.state,
        lost_reason=document.lost_reason or "",
        close_time=document.close_time,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def order(document: Order) -> order_pb2.Order:
    """An order."""
    return order_pb2.Order(
        name=document.name,
        uid=document.uid,
        customer=document.customer or "",
        source=document.source,
        order_number=document.order_number or "",
        amount=money.from_minor(document.amount_minor, document.currency),
        refunded_amount=money.from_minor(document.refunded_minor, document.currency),
        state=document.state,
        order_time=document.order_time,
        refunds=[
            order_pb2.Refund(amount=money.from_minor(refund.share, document.currency), refund_time=refund.time)
            for refund in document.refunds
        ],
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def promise(document: Promise) -> promise_pb2.Promise:
    """A promise."""
    return promise_pb2.Promise(
        name=document.name,
        uid=document.uid,
        customer=document.customer,
        subject=document.subject or "",
        text=document.text,
        due_time=document.due_time,
        owner=document.owner or "",
        state=document.state,
        end_time=document.end_time,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def _date(iso: str | None) -> Date | None:
    if not iso:
        return None
    found = date.fromisoformat(iso)
    return Date(year=found.year, month=found.month, day=found.day)
