"""Writing profiles: whoever changes one goes through here, so that data, aliases and events always agree."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from rapport.identity.v1 import events_pb2

from chassis.errors import FailedPrecondition, NotFound
from eventing import tombstones
from identity.domain.graph import canonical
from identity.events import alias_state, customer_state
from identity.store import Customer
from identity.store.customers import profile_members


def load(canonicals: Iterable[str]) -> dict[str, Customer]:
    """All members of these profiles, by uid."""
    return {member.uid: member for member in profile_members(canonicals)}


def assign(members: Collection[Customer], decided_by: str) -> None:
    """Make these customers one profile; those who change places tell their alias. `decided_by` is a merge's uid."""
    stands = canonical(member.node for member in members)
    for member in members:
        if member.canonical == stands:
            continue
        member.canonical = stands
        member.merged = stands != member.uid
        member.ever_merged = True
        member.last_merge = decided_by
        message = events_pb2.CustomerMerged if member.merged else events_pb2.CustomerUnmerged
        # About both: once who stood for it is erased, nobody needs to hear of the merge.
        member.emit(message(alias=alias_state(member)), [member.name, member.described(stands)])


def write(
    customers: dict[str, Customer],
    *,
    updated: Collection[str],
    touched: Collection[str] = (),
    expected_etag: str | None = None,
) -> None:
    """Insert and save customers with their events.

    `customers` holds all members of the profiles concerned; `updated` and `touched` are uids of members whose profile
    has other data, or other identifiers. `expected_etag` is the caller's for the only profile there is.
    """
    profiles: dict[str, list[Customer]] = defaultdict(list)
    for customer in customers.values():
        profiles[customer.canonical].append(customer)
    for uid in {customers[uid].canonical for uid in (*updated, *touched)}:
        customers[uid].profile_changes += 1
    for uid in {customers[uid].canonical for uid in updated}:
        stands = customers[uid]
        if stands.version:
            state = customer_state(stands, profiles[uid])
            message = events_pb2.CustomerDeleted if stands.delete_time else events_pb2.CustomerUpdated
            stands.emit(message(customer=state), [stands.name])
    started = [customer for customer in customers.values() if not customer.version]
    for customer in started:
        own = [customer] if customer.merged else profiles[customer.uid]
        customer.emit(events_pb2.CustomerCreated(customer=customer_state(customer, own)), [customer.name])
    if expected_etag:
        for uid in profiles:
            customers[uid].check_etag(expected_etag)
    Customer.save_many(customer for customer in customers.values() if customer.version)
    Customer.insert_many(started)


def refuse_erased(*uids: str) -> None:
    """Raises NotFound, as for a name that never was, for a customer whose erasure has begun."""
    if gone := tombstones.erased(map(Customer.described, uids)):
        name = min(gone)
        raise NotFound("NOT_FOUND", f"{name} does not exist.", metadata={"resource": name})


def refuse_deleted(customer: Customer) -> None:
    """Raises FailedPrecondition CUSTOMER_DELETED for a deleted customer."""
    if customer.delete_time:
        raise FailedPrecondition(
            "CUSTOMER_DELETED",
            f"{customer.name} is deleted; bring it back with undelete first.",
            metadata={"resource": customer.name},
            preconditions=[("NOT_DELETED", customer.name, "The customer must not be deleted.")],
        )
