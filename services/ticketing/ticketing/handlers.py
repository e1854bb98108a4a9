"""What ticketing does about the events of other services."""

from rapport.identity.v1 import events_pb2 as identity_events_pb2

from docstore import aliases
from eventing.envelope import Envelope
from eventing.subscribe import subscribe


class Handlers:
    """Keeps what tickets need to know of customers."""

    @subscribe(identity_events_pb2.CustomerMerged)
    @subscribe(identity_events_pb2.CustomerUnmerged)
    def follow_merge(
        self, event: identity_events_pb2.CustomerMerged | identity_events_pb2.CustomerUnmerged, envelope: Envelope
    ) -> None:
        """Note where the customer now belongs; tickets stay where they began."""
        alias = event.alias
        aliases.apply([aliases.AliasChange(alias.customer, alias.canonical_customer, envelope.sequence)])
