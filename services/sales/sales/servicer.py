"""The gRPC face of the service: requests to use cases and back."""

# ruff: noqa: D102, N802 - names and meanings of the methods are the contract's.

from collections.abc import Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from rapport.sales.v1 import (
    account_pb2,
    contact_pb2,
    lead_pb2,
    opportunity_pb2,
    order_pb2,
    pipeline_pb2,
    promise_pb2,
    sales_rep_pb2,
    sales_service_pb2,
    sales_service_pb2_grpc,
)
from rapport.sales.v1.promise_pb2 import Promise as PromiseMessage
from rapport.sales.v1.sales_service_pb2_grpc import add_SalesServiceServicer_to_server

import docstore
from chassis import inputs as fields
from chassis import server
from chassis.inputs import uid
from chassis.lifecycle import Stopping
from docstore import aliases, paging
from docstore.aggregate import Aggregate
from docstore.documents import Order as SortOrder
from docstore.filters import FilterField, parse
from sales import answers, inputs
from sales.migrate import VERSION
from sales.settings import SalesSettings
from sales.store import Account, Contact, Lead, Opportunity, Order, Pipeline, Promise, SalesRep
from sales.usecases import accounts, contacts, leads, opportunities, orders, pipelines, promises, sales_reps

pb = sales_service_pb2
Context = grpc.ServicerContext
D = TypeVar("D", bound=Aggregate)

_TEXT, _INSTANT = FilterField("string"), FilterField("timestamp")

_ACCOUNT_FILTER: Mapping[str, FilterField] = {
    "owner": _TEXT,
    "region_code": _TEXT,
    "display_name": _TEXT,
    "create_time": _INSTANT,
}
_CONTACT_FILTER: Mapping[str, FilterField] = {
    "account": _TEXT,
    "customer": _TEXT,
    "email": _TEXT,
    "create_time": _INSTANT,
}
_LEAD_FILTER: Mapping[str, FilterField] = {
    "state": FilterField("enum", values=lead_pb2.Lead.State.keys()[1:]),
    "owner": FilterField("string", path="assignment.owner"),
    "source": FilterField("enum", values=lead_pb2.Lead.Source.keys()[1:]),
    "customer": _TEXT,
    "email": _TEXT,
    "create_time": _INSTANT,
    "conversion_probability": FilterField("float", path="conversion_estimate.probability"),
}
_LEAD_ORDERS: Mapping[str, tuple[str, int]] = {
    "score desc": ("score", -1),
    "conversion_probability desc": ("conversion_estimate.probability", -1),
}
_OPPORTUNITY_FILTER: Mapping[str, FilterField] = {
    "state": FilterField("enum", values=opportunity_pb2.Opportunity.State.keys()[1:]),
    "pipeline": FilterField("string", convert=uid),
    "stage": _TEXT,
    "owner": _TEXT,
    "account": _TEXT,
    "customer": _TEXT,
    "lead": _TEXT,
    "create_time": _INSTANT,
    "close_time": _INSTANT,
}
_ORDER_FILTER: Mapping[str, FilterField] = {
    "customer": _TEXT,
    "source": _TEXT,
    "order_number": _TEXT,
    "state": FilterField("enum", values=order_pb2.Order.State.keys()[1:]),
    "order_time": _INSTANT,
}
_PROMISE_FILTER: Mapping[str, FilterField] = {
    "customer": _TEXT,
    "owner": _TEXT,
    "state": FilterField("enum", values=PromiseMessage.State.keys()[1:]),
    "subject": _TEXT,
    "due_time": _INSTANT,
    "create_time": _INSTANT,
}


def serve(settings: SalesSettings, stopping: Stopping) -> None:
    """Role `serve`."""
    docstore.connect(settings)
    servicers = [(add_SalesServiceServicer_to_server, SalesServicer())]
    server.serve(settings, stopping, servicers, [docstore.ping, lambda: docstore.require_version(VERSION)])
    docstore.disconnect()


class SalesServicer(sales_service_pb2_grpc.SalesServiceServicer):
    """Requests arrive checked by the interceptors (required fields, shapes of names, permissions)."""

    # Accounts

    def CreateAccount(self, request: pb.CreateAccountRequest, _: Context) -> account_pb2.Account:
        return answers.account(accounts.create(request.account))

    def GetAccount(self, request: pb.GetAccountRequest, _: Context) -> account_pb2.Account:
        return answers.account(Account.get(uid(request.name), deleted=True))

    def ListAccounts(self, request: pb.ListAccountsRequest, _: Context) -> pb.ListAccountsResponse:
        found, token = _page(Account, request, _ACCOUNT_FILTER, deleted=request.show_deleted)
        return pb.ListAccountsResponse(accounts=map(answers.account, found), next_page_token=token)

    def UpdateAccount(self, request: pb.UpdateAccountRequest, _: Context) -> account_pb2.Account:
        return answers.account(accounts.update(request.account, request.update_mask))

    def DeleteAccount(self, request: pb.DeleteAccountRequest, _: Context) -> account_pb2.Account:
        return answers.account(accounts.delete(uid(request.name), request.etag))

    def UndeleteAccount(self, request: pb.UndeleteAccountRequest, _: Context) -> account_pb2.Account:
        return answers.account(accounts.undelete(uid(request.name), request.etag))

    # Contacts

    def CreateContact(self, request: pb.CreateContactRequest, _: Context) -> contact_pb2.Contact:
        return answers.contact(contacts.create(request.contact))

    def GetContact(self, request: pb.GetContactRequest, _: Context) -> contact_pb2.Contact:
        return answers.contact(Contact.get(uid(request.name), deleted=True))

    def ListContacts(self, request: pb.ListContactsRequest, _: Context) -> pb.ListContactsResponse:
        found, token = _page(Contact, request, _CONTACT_FILTER, deleted=request.show_deleted)
        return pb.ListContactsResponse(contacts=map(answers.contact, found), next_page_token=token)

    def UpdateContact(self, request: pb.UpdateContactRequest, _: Context) -> contact_pb2.Contact:
        return answers.contact(contacts.update(request.contact, request.update_mask))

    def DeleteContact(self, request: pb.DeleteContactRequest, _: Context) -> contact_pb2.Contact:
        return answers.contact(contacts.delete(uid(request.name), request.etag))

    def UndeleteContact(self, request: pb.UndeleteContactRequest, _: Context) -> contact_pb2.Contact:
        return answers.contact(contacts.undelete(uid(request.name), request.etag))

    # Leads and who looks after them

    def CreateLead(self, request: pb.CreateLeadRequest, _: Context) -> lead_pb2.Lead:
        return answers.lead(leads.create(request.lead))

    def GetLead(self, request: pb.GetLeadRequest, _: Context) -> lead_pb2.Lead:
        return answers.lead(Lead.get(uid(request.name)))

    def ListLeads(self, request: pb.ListLeadsRequest, _: Context) -> pb.ListLeadsResponse:
        order = inputs.order_by(request.order_by, _LEAD_ORDERS)
        found, token = _page(Lead, request, _LEAD_FILTER, order)
        return pb.ListLeadsResponse(leads=map(answers.lead, found), next_page_token=token)

    def UpdateLead(self, request: pb.UpdateLeadRequest, _: Context) -> lead_pb2.Lead:
        return answers.lead(leads.update(request.lead, request.update_mask))

    def ConvertLead(self, request: pb.ConvertLeadRequest, _: Context) -> lead_pb2.Lead:
        return answers.lead(leads.convert(uid(request.name), leads.Wish.of(request), request.etag))

    def DisqualifyLead(self, request: pb.DisqualifyLeadRequest, _: Context) -> lead_pb2.Lead:
        return answers.lead(leads.disqualify(uid(request.name), request.reason, request.etag))

    def AssignLead(self, request: pb.AssignLeadRequest, _: Context) -> lead_pb2.Lead:
        return answers.lead(leads.assign(uid(request.name), request.sales_rep, request.etag))

    def CreateSalesRep(self, request: pb.CreateSalesRepRequest, _: Context) -> sales_rep_pb2.SalesRep:
        chosen = fields.slug(request.sales_rep_id, "sales_rep_id")
        return answers.sales_rep(sales_reps.create(chosen, request.sales_rep))

    def GetSalesRep(self, request: pb.GetSalesRepRequest, _: Context) -> sales_rep_pb2.SalesRep:
        return answers.sales_rep(SalesRep.get(uid(request.name)))

    def ListSalesReps(self, request: pb.ListSalesRepsRequest, _: Context) -> pb.ListSalesRepsResponse:
        found, token = _page(SalesRep, request, {}, [("create_time", 1)])
        return pb.ListSalesRepsResponse(sales_reps=map(answers.sales_rep, found), next_page_token=token)

    def UpdateSalesRep(self, request: pb.UpdateSalesRepRequest, _: Context) -> sales_rep_pb2.SalesRep:
        return answers.sales_rep(sales_reps.update(request.sales_rep, request.update_mask))

    def DeleteSalesRep(self, request: pb.DeleteSalesRepRequest, _: Context) -> Empty:
        return sales_reps.delete(uid(request.name), request.etag)

    # Pipelines and opportunities

    def CreatePipeline(self, request: pb.CreatePipelineRequest, _: Context) -> pipeline_pb2.Pipeline:
        return answers.pipeline(pipelines.create(fields.slug(request.pipeline_id, "pipeline_id"), request.pipeline))

    def GetPipeline(self, request: pb.GetPipelineRequest, _: Context) -> pipeline_pb2.Pipeline:
        return answers.pipeline(Pipeline.get(uid(request.name)))

    def ListPipelines(self, request: pb.ListPipelinesRequest, _: Context) -> pb.ListPipelinesResponse:
        pipelines.ensure_default()
        found, token = _page(Pipeline, request, {}, [("create_time", 1)])
        return pb.ListPipelinesResponse(pipelines=map(answers.pipeline, found), next_page_token=token)

    def UpdatePipeline(self, request: pb.UpdatePipelineRequest, _: Context) -> pipeline_pb2.Pipeline:
        return answers.pipeline(pipelines.update(request.pipeline, request.update_mask))

    def DeletePipeline(self, request: pb.DeletePipelineRequest, _: Context) -> Empty:
        return pipelines.delete(uid(request.name), request.etag)

    def CreateOpportunity(self, request: pb.CreateOpportunityRequest, _: Context) -> opportunity_pb2.Opportunity:
        return answers.opportunity(opportunities.create(request.opportunity))

    def GetOpportunity(self, request: pb.GetOpportunityRequest, _: Context) -> opportunity_pb2.Opportunity:
        return answers.opportunity(Opportunity.get(uid(request.name)))

    def ListOpportunities(self, request: pb.ListOpportunitiesRequest, _: Context) -> pb.ListOpportunitiesResponse:
        found, token = _page(Opportunity, request, _OPPORTUNITY_FILTER)
        return pb.ListOpportunitiesResponse(opportunities=map(answers.opportunity, found), next_page_token=token)

    def UpdateOpportunity(self, request: pb.UpdateOpportunityRequest, _: Context) -> opportunity_pb2.Opportunity:
        return answers.opportunity(opportunities.update(request.opportunity, request.update_mask))

    def WinOpportunity(self, request: pb.WinOpportunityRequest, _: Context) -> opportunity_pb2.Opportunity:
        return answers.opportunity(opportunities.win(uid(request.name), request.etag))

    def LoseOpportunity(self, request: pb.LoseOpportunityRequest, _: Context) -> opportunity_pb2.Opportunity:
        return answers.opportunity(opportunities.lose(uid(request.name), request.lost_reason, request.etag))

    def ReopenOpportunity(self, request: pb.ReopenOpportunityRequest, _: Context) -> opportunity_pb2.Opportunity:
        return answers.opportunity(opportunities.reopen(uid(request.name), request.etag))

    # Orders

    def CreateOrder(self, request: pb.CreateOrderRequest, _: Context) -> order_pb2.Order:
        return answers.order(orders.create(request.order))

    def GetOrder(self, request: pb.GetOrderRequest, _: Context) -> order_pb2.Order:
        return answers.order(Order.get(uid(request.name)))

    def ListOrders(self, request: pb.ListOrdersRequest, _: Context) -> pb.ListOrdersResponse:
        found, token = _page(Order, request, _ORDER_FILTER, [("order_time", -1)])
        return pb.ListOrdersResponse(orders=map(answers.order, found), next_page_token=token)

    def RefundOrder(self, request: pb.RefundOrderRequest, _: Context) -> order_pb2.Order:
        amount = request.amount if request.HasField("amount") else None
        when = inputs.instant(request.refund_time) if request.HasField("refund_time") else None
        return answers.order(orders.refund(uid(request.name), amount, when, request.etag))

    def SummarizeOrders(self, request: pb.SummarizeOrdersRequest, _: Context) -> order_pb2.OrderSummary:
        start = request.start_time if request.HasField("start_time") else None
        end = request.end_time if request.HasField("end_time") else None
        return orders.summarize(start, end, request.source)

    # Promises

    def CreatePromise(self, request: pb.CreatePromiseRequest, _: Context) -> promise_pb2.Promise:
        return answers.promise(promises.create(request.promise))

    def GetPromise(self, request: pb.GetPromiseRequest, _: Context) -> promise_pb2.Promise:
        return answers.promise(Promise.get(uid(request.name)))

    def ListPromises(self, request: pb.ListPromisesRequest, _: Context) -> pb.ListPromisesResponse:
        order = inputs.order_by(request.order_by, {"due_time": ("due_time", 1)})
        found, token = _page(Promise, request, _PROMISE_FILTER, order)
        return pb.ListPromisesResponse(promises=map(answers.promise, found), next_page_token=token)

    def UpdatePromise(self, request: pb.UpdatePromiseRequest, _: Context) -> promise_pb2.Promise:
        return answers.promise(promises.update(request.promise, request.update_mask))

    def KeepPromise(self, request: pb.KeepPromiseRequest, _: Context) -> promise_pb2.Promise:
        return answers.promise(promises.keep(uid(request.name), request.etag))

    def CancelPromise(self, request: pb.CancelPromiseRequest, _: Context) -> promise_pb2.Promise:
        return answers.promise(promises.cancel(uid(request.name), request.etag))


def _page(
    kind: type[D],
    request: Any,
    fields: Mapping[str, FilterField],
    order: SortOrder = (("create_time", 1),),
    *,
    deleted: bool = False,
) -> tuple[list[D], str]:
    """One page of documents as a List request asks; customers it names stand for their whole profiles."""
    expression = request.filter if fields else ""
    filter = aliases.of_whole_profile(parse(expression, fields)) if fields else {}
    bind = {"filter": expression, "deleted": deleted}
    return paging.page(kind, filter=filter, order=order, request=request, bind=bind, deleted=deleted)
