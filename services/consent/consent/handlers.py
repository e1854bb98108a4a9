"""What consent does about the events of other services."""

from typing import Protocol

from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.consent.v1 import erasure_answer_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2
from rapport.ticketing.v1 import events_pb2 as ticketing_events_pb2

from consent.usecases import erasures
from docstore import aliases
from eventing import erasing, tombstones
from eventing.envelope import Envelope
from eventing.subscribe import subscribe


class SubjectErased(Protocol):
    """What every service's event of that name has."""

    answer: erasure_answer_pb2.ErasureAnswer


class Handlers:
    """Keeps the map of merged customers, on which decisions rest, and collects what services have erased."""

    @subscribe(events_pb2.CustomerMerged)
    @subscribe(events_pb2.CustomerUnmerged)
    def follow_merge(self, event: events_pb2.CustomerMerged | events_pb2.CustomerUnmerged, envelope: Envelope) -> None:
        """Notes where the customer now belongs. No consent changes: a merge never re-points, decisions resolve."""
        alias = event.alias
        if tombstones.erased([alias.customer, alias.canonical_customer]):
            # Nobody is led to an erased customer. If the living one is the same person, identity, which knows all
            # merges, names it in its answer, and it is erased in the next round.
            return
        aliases.apply([aliases.AliasChange(alias.customer, alias.canonical_customer, envelope.sequence)])

    @subscribe(consent_events_pb2.ErasureRequested, erased_too=True)
    def erase(self, event: consent_events_pb2.ErasureRequested, envelope: Envelope) -> None:
        """Consent erases as every service does; the role `run` carries it out."""
        erasing.note(event, envelope)

    @subscribe(campaigns_events_pb2.SubjectErased, erased_too=True)
    @subscribe(consent_events_pb2.SubjectErased, erased_too=True)
    @subscribe(events_pb2.SubjectErased, erased_too=True)
    @subscribe(sales_events_pb2.SubjectErased, erased_too=True)
    @subscribe(scoring_events_pb2.SubjectErased, erased_too=True)
    @subscribe(ticketing_events_pb2.SubjectErased, erased_too=True)
    def collect_answer(self, event: SubjectErased, envelope: Envelope) -> None:
        """Notes what a service has erased: `rapport.<service>.v1.SubjectErased`."""
        erasures.collect(envelope.type.split(".")[1], event.answer, envelope.sequence)
