"""Documents as the messages callers see."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.identity.v1 import customer_pb2, identity_service_pb2, merge_pb2, timeline_entry_pb2, tracking_event_pb2

from chassis import money
from docstore import batches
from docstore.connection import Row
from identity.domain.identifiers import Kind
from identity.domain.profile import FIELDS, TRAIT_PREFIX
from identity.store import Customer, IngestionBatch, Merge, MergeConflict, QuarantinedEvent
from identity.store.customers import folded, identifiers_of, members_by_canonical

_BATCH_STATES = {
    batches.PENDING: tracking_event_pb2.IngestionBatch.STATE_PENDING,
    batches.APPLYING: tracking_event_pb2.IngestionBatch.STATE_PENDING,
    batches.DONE: tracking_event_pb2.IngestionBatch.STATE_APPLIED,
    batches.FAILED: tracking_event_pb2.IngestionBatch.STATE_FAILED,
}


def customer(canonical: Customer) -> customer_pb2.Customer:
    """The profile that a customer stands for. Two queries.

    Merged since it was read, it is in the profile of the one that stands for it now. Raises NotFound when erased.
    """
    if found := customers([canonical]):
        return found[0]
    now = Customer.get(canonical.uid, deleted=True)
    return customer(Customer.get(now.canonical, deleted=True))


def profile(canonical: Customer, members: Sequence[Customer]) -> customer_pb2.Customer:
    """The profile of these members. One query."""
    return _whole(canonical, members, identifiers_of([member.uid for member in members]))


def customers(canonicals: Sequence[Customer]) -> list[customer_pb2.Customer]:
    """The profiles that these customers stand for, but for those erased or merged since they were read.

    Two queries however many they are.
    """
    members = members_by_canonical(one.uid for one in canonicals)
    canonicals = [one for one in canonicals if any(member.uid == one.uid for member in members[one.uid])]
    identifiers = identifiers_of([member.uid for group in members.values() for member in group])
    return [_whole(one, members[one.uid], identifiers) for one in canonicals]


def writable(canonical: Customer, members: Iterable[Customer]) -> customer_pb2.Customer:
    """The part of a profile that callers may write, for field masks."""
    values = folded(canonical, members)
    message = customer_pb2.Customer(name=canonical.name, **{key: values[key] for key in FIELDS if key in values})
    traits = {key.removeprefix(TRAIT_PREFIX): value for key, value in values.items() if key.startswith(TRAIT_PREFIX)}
    if traits:
        message.traits.update(traits)
    return message


def _whole(
    canonical: Customer, members: Sequence[Customer], identifiers: Mapping[str, Iterable[Mapping[str, Any]]]
) -> customer_pb2.Customer:
    message = writable(canonical, members)
    message.uid, message.etag = canonical.uid, canonical.etag
    message.merged_customers.extend(sorted(member.name for member in members if member.uid != canonical.uid))
    rows = [row for member in members for row in identifiers.get(member.uid, ())]
    order = list(Kind)
    for row in sorted(rows, key=lambda row: (order.index(Kind(row["kind"])), row["create_time"], row["uid"])):
        added = message.identifiers.add(
            kind=customer_pb2.Identifier.Kind.Value(row["kind"]),
            value=row["value"],
            source=row["source"],
            customer=Customer.described(row["customer"]),
        )
        added.create_time.FromDatetime(row["create_time"])
    _stamp(message, canonical, "create_time", "update_time", "delete_time", "purge_time")
    return message


def merge(document: Merge) -> merge_pb2.Merge:
    """A merge."""
    message = merge_pb2.Merge(
        name=document.name,
        uid=document.uid,
        etag=document.etag,
        customer=Customer.described(document.customer),
        merged_customer=Customer.described(document.merged_customer),
        state=document.state,
        actor=document.actor,
    )
    for reason in document.reasons:
        message.reasons.add(
            rule=merge_pb2.MergeReason.Rule.Value(reason["rule"]),
            identifier_kind=reason.get("identifier_kind", ""),
            message_id=reason.get("message_id", ""),
            comment=reason.get("comment", ""),
            customers=[Customer.described(uid) for uid in reason["customers"]],
        )
    _stamp(message, document, "create_time", "undo_time")
    return message


def merge_conflict(document: MergeConflict) -> merge_pb2.MergeConflict:
    """A merge that a guard stopped."""
    message = merge_pb2.MergeConflict(
        name=f"mergeConflicts/{document.uid}",
        customers=[Customer.described(uid) for uid in document.customers],
        guard=document.guard,
        identifier_kind=document.identifier_kind or "",
        message_id=document.message_id or "",
    )
    _stamp(message, document, "create_time")
    return message


def ingestion_batch(document: IngestionBatch) -> tracking_event_pb2.IngestionBatch:
    """An ingestion batch."""
    message = tracking_event_pb2.IngestionBatch(
        name=document.name,
        source=document.source,
        state=_BATCH_STATES[document.state],
        accepted_count=document.accepted_count,
        duplicate_count=document.duplicate_count or 0,
        unread_value_count=document.unread_value_count or 0,
        error=document.error or "",
    )
    _stamp(message, document, "create_time")
    if document.finish_time:
        message.apply_time.FromDatetime(document.finish_time)
    return message


def quarantined_event(document: QuarantinedEvent) -> tracking_event_pb2.QuarantinedEvent:
    """A quarantined event."""
    message = tracking_event_pb2.QuarantinedEvent(
        name=f"quarantinedEvents/{document.uid}",
        source=document.source,
        message_id=document.message_id or "",
        reason=document.reason,
        field=document.field or "",
        description=document.description,
        body=document.body or "",
    )
    _stamp(message, document, "create_time", "expire_time")
    return message


def timeline_entry(row: Row) -> timeline_entry_pb2.TimelineEntry:
    """A timeline entry, from its stored row."""
    message = timeline_entry_pb2.TimelineEntry(
        name=f"{Customer.described(row['customer'])}/timelineEntries/{row['uid']}",
        event=row["event"],
        source=row["source"],
        identifier_kind=row.get("identifier_kind"),
        message_id=row["message_id"],
        event_time=row["event_time"],
        create_time=row["create_time"],
    )
    if row.get("currency_code"):
        message.amount.CopyFrom(money.from_minor(row["amount_minor"], row["currency_code"]))
    if row.get("details"):
        message.details.CopyFrom(struct(row["details"]))
    return message


def summary(events: int, customers: int, amounts: Mapping[str, int]) -> identity_service_pb2.TimelineSummary:
    """What a summary counted; `amounts` are minor units by currency."""
    return identity_service_pb2.TimelineSummary(
        event_count=events,
        customer_count=customers,
        amounts=[money.from_minor(amount, currency) for currency, amount in sorted(amounts.items())],
    )


def struct(values: Mapping[str, Any]) -> Struct:
    """A dict of JSON values as Struct."""
    message = Struct()
    message.update(values)
    return message


def plain(message: Struct) -> dict[str, Any]:
    """A Struct as a dict of JSON values; whole numbers become integers, as JSON writes them."""
    return {key: _plain(value) for key, value in message.fields.items()}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return plain(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return None


def _stamp(message: Any, document: Any, *fields: str) -> None:
    for field in fields:
        value: datetime | None = getattr(document, field)
        if value:
            stamp: Timestamp = getattr(message, field)
            stamp.FromDatetime(value)
