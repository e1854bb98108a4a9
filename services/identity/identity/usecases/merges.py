"""Merging customers into one profile, and taking that back."""

from typing import Any

from rapport.identity.v1 import identity_service_pb2

import docstore
from chassis import clock, context, ids
from chassis.errors import FailedPrecondition, InvalidArgument
from docstore import filters, paging
from docstore.filters import FilterField
from docstore.paging import PageRequest
from identity.domain.graph import components
from identity.settings import IdentitySettings
from identity.store import Customer, Merge, MergeConflict
from identity.store.customers import canonical_of
from identity.store.merges import ACTIVE, UNDONE, edges
from identity.usecases import profiles

COMMENT_MAX = 1000


def _uid(name: Any) -> str:
    uid: str = str(name).removeprefix(f"{Customer.resource}/")
    return uid


_FILTER = {
    "customer": FilterField("string", convert=_uid),
    "merged_customer": FilterField("string", convert=_uid),
    "state": FilterField("enum", values=(ACTIVE, UNDONE)),
    "create_time": FilterField("timestamp"),
}


@docstore.command(None)
def merge_customers(one: str, other: str, comment: str, settings: IdentitySettings) -> Merge:
    """Join the profiles of two customers because a person or program says so. Guards against data do not apply.

    Raises NotFound, InvalidArgument MERGE_WITH_ITSELF, FailedPrecondition ALREADY_MERGED, CUSTOMER_DELETED and
    MEMBER_LIMIT.
    """
    if one == other:
        raise InvalidArgument(
            "MERGE_WITH_ITSELF",
            "A customer cannot be merged with itself; name two customers.",
            violations=[("merged_customer", "is the same as name; name another customer")],
        )
    if len(comment) > COMMENT_MAX:
        raise InvalidArgument(
            "COMMENT_TOO_LONG",
            f"comment has more than {COMMENT_MAX} characters; shorten it.",
            violations=[("comment", f"at most {COMMENT_MAX} characters")],
        )
    profiles.refuse_erased(one, other)
    left, right = canonical_of(one), canonical_of(other)
    if left.uid == right.uid:
        raise FailedPrecondition(
            "ALREADY_MERGED",
            f"Both customers belong to {left.name} already.",
            metadata={"customer": left.name},
            preconditions=[("NOT_MERGED", left.name, "The customers must belong to different profiles.")],
        )
    profiles.refuse_deleted(left)
    profiles.refuse_deleted(right)
    members = profiles.load([left.uid, right.uid])
    if len(members) > settings.max_members:
        raise FailedPrecondition(
            "MEMBER_LIMIT",
            f"The profile would have {len(members)} members, more than {settings.max_members}.",
            metadata={"limit": str(settings.max_members)},
            preconditions=[("MEMBER_LIMIT", left.name, "A profile has a limited number of members.")],
        )
    merge = join(members, (one, other), {"rule": "RULE_MANUAL", "comment": comment}, context.current().principal)
    profiles.write(members, updated=[one])
    return merge


def join(customers: dict[str, Customer], ends: tuple[str, str], reason: dict[str, str], actor: str) -> Merge:
    """Store the edge between two customers and make their profiles one; `customers` holds all their members.

    The caller writes the customers, in the same transaction.
    """
    stood = {customers[end].canonical for end in ends}
    joined = [customer for customer in customers.values() if customer.canonical in stood]
    uid = ids.uuid7()
    profiles.assign(joined, uid)
    stands = joined[0].canonical
    merge = Merge.new(
        uid,
        ends=list(ends),
        customer=stands,
        merged_customer=next(iter(stood - {stands})),
        state=ACTIVE,
        actor=actor,
        reasons=[{**reason, "customers": list(ends)}],
    )
    return merge.insert()


@docstore.command(None)
def undo_merge(uid: str, etag: str) -> Merge:
    """Take a merge back: profiles become what the other merges make of them.

    The same evidence will not merge them again. Raises NotFound, FailedPrecondition ALREADY_UNDONE and Aborted
    ETAG_MISMATCH.
    """
    merge = Merge.get(uid)
    if merge.state == UNDONE:
        raise FailedPrecondition(
            "ALREADY_UNDONE",
            f"{merge.name} is undone already.",
            metadata={"resource": merge.name},
            preconditions=[("ACTIVE", merge.name, "The merge must be active.")],
        )
    merge.state = UNDONE
    merge.undo_time = clock.now()
    merge.save(etag or None)
    former = canonical_of(merge.ends[0]).uid
    members = profiles.load([former])
    for component in components(members, edges(members, ACTIVE)):
        profiles.assign([members[member] for member in component], merge.uid)
    profiles.write(members, updated=list(merge.ends))
    return merge


def list_merges(request: identity_service_pb2.ListMergesRequest) -> tuple[list[Merge], str]:
    """Merges, the newest first."""
    return paging.page(
        Merge,
        filter=filters.parse(request.filter, _FILTER),
        order=[("create_time", -1)],
        request=request,
        bind={"filter": request.filter},
    )


def list_merge_conflicts(request: PageRequest) -> tuple[list[MergeConflict], str]:
    """Stopped merges, the newest first."""
    return paging.page(MergeConflict, filter={}, order=[("create_time", -1)], request=request, bind={})
