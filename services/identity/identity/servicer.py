"""IdentityService over gRPC: messages to use cases and back, nothing else."""

# ruff: noqa: N802 - the methods are named by the contract.

from typing import Any

from rapport.identity.v1 import agent_view_pb2, customer_pb2, identity_service_pb2_grpc, merge_pb2, tracking_event_pb2
from rapport.identity.v1 import identity_service_pb2 as service

from eventing import catching_up
from identity import messages
from identity.settings import IdentitySettings
from identity.store import Merge
from identity.usecases import agent_view, customers, ingestion, merges, timeline


class IdentityServicer(identity_service_pb2_grpc.IdentityServiceServicer):
    """Every RPC of the identity service; what each means is said in its proto."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings

    def CreateCustomer(self, request: service.CreateCustomerRequest, _context: Any) -> customer_pb2.Customer:
        """Create a customer."""
        return messages.customer(customers.create_customer(request, self._settings))

    def GetCustomer(self, request: service.GetCustomerRequest, _context: Any) -> customer_pb2.Customer:
        """Get a profile by any of its names."""
        return messages.customer(customers.get_customer(_uid(request.name)))

    def ListCustomers(self, request: service.ListCustomersRequest, _context: Any) -> service.ListCustomersResponse:
        """List profiles."""
        found, token = customers.list_customers(request)
        return service.ListCustomersResponse(customers=messages.customers(found), next_page_token=token)

    def LookupCustomer(self, request: service.LookupCustomerRequest, _context: Any) -> customer_pb2.Customer:
        """Find a profile by identifier."""
        return messages.customer(customers.lookup_customer(request, self._settings))

    def ViewCustomer(self, request: service.ViewCustomerRequest, call: Any) -> agent_view_pb2.AgentView:
        """Show everything of a customer in one read."""
        catching_up.wait("identity", call)
        return agent_view.view_customer(_uid(request.name))

    def UpdateCustomer(self, request: service.UpdateCustomerRequest, _context: Any) -> customer_pb2.Customer:
        """Change a profile."""
        return messages.customer(customers.update_customer(request.customer, request.update_mask, self._settings))

    def DeleteCustomer(self, request: service.DeleteCustomerRequest, _context: Any) -> customer_pb2.Customer:
        """Delete a profile."""
        return messages.customer(customers.delete_customer(_uid(request.name), request.etag))

    def UndeleteCustomer(self, request: service.UndeleteCustomerRequest, _context: Any) -> customer_pb2.Customer:
        """Bring a profile back."""
        return messages.customer(customers.undelete_customer(_uid(request.name), request.etag))

    def MergeCustomer(self, request: service.MergeCustomerRequest, _context: Any) -> merge_pb2.Merge:
        """Merge two profiles."""
        one, other = _uid(request.name), _uid(request.merged_customer)
        return messages.merge(merges.merge_customers(one, other, request.comment, self._settings))

    def GetMerge(self, request: service.GetMergeRequest, _context: Any) -> merge_pb2.Merge:
        """Get a merge."""
        return messages.merge(Merge.get(_uid(request.name)))

    def ListMerges(self, request: service.ListMergesRequest, _context: Any) -> service.ListMergesResponse:
        """List merges."""
        found, token = merges.list_merges(request)
        return service.ListMergesResponse(merges=map(messages.merge, found), next_page_token=token)

    def UndoMerge(self, request: service.UndoMergeRequest, _context: Any) -> merge_pb2.Merge:
        """Undo a merge."""
        return messages.merge(merges.undo_merge(_uid(request.name), request.etag))

    def ListMergeConflicts(
        self, request: service.ListMergeConflictsRequest, _context: Any
    ) -> service.ListMergeConflictsResponse:
        """List merges that a guard stopped."""
        found, token = merges.list_merge_conflicts(request)
        conflicts = map(messages.merge_conflict, found)
        return service.ListMergeConflictsResponse(merge_conflicts=conflicts, next_page_token=token)

    def IngestEvents(self, request: service.IngestEventsRequest, _context: Any) -> service.IngestEventsResponse:
        """Take events in."""
        return ingestion.ingest_events(request, self._settings)

    def GetIngestionBatch(
        self, request: service.GetIngestionBatchRequest, _context: Any
    ) -> tracking_event_pb2.IngestionBatch:
        """Get an ingestion batch."""
        return messages.ingestion_batch(ingestion.get_ingestion_batch(_uid(request.name)))

    def ListQuarantinedEvents(
        self, request: service.ListQuarantinedEventsRequest, _context: Any
    ) -> service.ListQuarantinedEventsResponse:
        """List quarantined events."""
        found, token = ingestion.list_quarantined_events(request)
        events = map(messages.quarantined_event, found)
        return service.ListQuarantinedEventsResponse(quarantined_events=events, next_page_token=token)

    def ListTimelineEntries(
        self, request: service.ListTimelineEntriesRequest, call: Any
    ) -> service.ListTimelineEntriesResponse:
        """List what happened with a customer."""
        catching_up.wait("identity", call)
        found, token = timeline.list_timeline_entries(request)
        entries = map(messages.timeline_entry, found)
        return service.ListTimelineEntriesResponse(timeline_entries=entries, next_page_token=token)

    def SummarizeTimeline(self, request: service.SummarizeTimelineRequest, _context: Any) -> service.TimelineSummary:
        """Count events and add up their money."""
        return messages.summary(*timeline.summarize_timeline(request))


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
