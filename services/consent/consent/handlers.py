"""What consent does about the events of other services."""

from rapport.identity.v1 import events_pb2

from docstore import aliases
from eventing.envelope import Envelope
from eventing.subscribe import subscribe


class Handlers:
    """Keeps the map of merged customers, on which decisions rest."""

    @subscribe(events_pb2.CustomerMerged)
    @subscribe(events_pb2.CustomerUnmerged)
    def follow_merge(self, event: events_pb2.CustomerMerged | events_pb2.CustomerUnmerged, envelope: Envelope) -> None:
        """Notes where the customer now belongs. No consent changes: a merge never re-points, decisions resolve."""
        alias = event.alias
        aliases.apply([aliases.AliasChange(alias.customer, alias.canonical_customer, envelope.sequence)])
