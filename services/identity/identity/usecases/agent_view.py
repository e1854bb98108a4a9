"""Everything of a customer in one read."""

from rapport.identity.v1 import agent_view_pb2

from chassis import clock
from identity import messages, view_messages
from identity.domain.agent_view import RECENT
from identity.store.agent_view import of_customers
from identity.store.customers import profile_of
from identity.store.timeline import newest

TIMELINE_ENTRIES = 20


def view_customer(uid: str) -> agent_view_pb2.AgentView:
    """What is known of the profile that `uid` belongs to. Raises NotFound.

    Four queries, whatever there is to show; two more for a customer that was merged into another.
    """
    canonical, members = profile_of(uid)
    uids = [member.uid for member in members]
    now = clock.now()
    totals, rows = of_customers(uids, now - RECENT)
    entries = newest(uids, TIMELINE_ENTRIES)
    view = view_messages.agent_view(canonical.uid, totals, rows, now)
    view.customer.CopyFrom(messages.profile(canonical, members))
    view.timeline_entries.extend(map(messages.timeline_entry, entries))
    return view
