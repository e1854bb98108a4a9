"""Creating, reading, changing and deleting customers."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.identity.v1 import customer_pb2, identity_service_pb2

import docstore
from chassis import clock, ids, validation
from chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from chassis.validation import Invalid
from docstore import filters, masks, paging
from docstore.filters import FilterField
from identity import messages
from identity.domain import profile
from identity.domain.identifiers import BlockList, Identifier, Kind
from identity.domain.profile import FIELDS, TRAIT_PREFIX
from identity.intake import struct_problem
from identity.settings import IdentitySettings
from identity.store import Customer, IdentifierRow
from identity.store.customers import canonical_of, identified, profile_members
from identity.store.erasures import erased_since
from identity.traits import TEXT_MAX, email_identifier
from identity.usecases import profiles
from identity.usecases.tenant import region_of_tenant

_FILTER = {
    "region_code": FilterField("string"),
    "language_code": FilterField("string"),
    "create_time": FilterField("timestamp"),
    "update_time": FilterField("timestamp"),
}


@docstore.command(None)
def create_customer(request: identity_service_pb2.CreateCustomerRequest, settings: IdentitySettings) -> Customer:
    """Create a customer.

    Raises InvalidArgument INVALID_CUSTOMER, AlreadyExists IDENTIFIER_TAKEN and FailedPrecondition ERASED_PERSON.
    """
    now = clock.now()
    values = _checked(request.customer, (*FIELDS, "traits"), settings)
    if request.HasField("evidence_time"):
        known_by = (("email", email_identifier), ("phone", _phone_identifier))
        for identifier in (make(values[field]) for field, make in known_by if values.get(field)):
            _refuse_evidence_of_erased(identifier, request.evidence_time)
    customer = Customer.started(ids.uuid7())
    customer.learn({key: value for key, value in values.items() if value not in ("", None)}, now)
    _identify(customer, [customer.uid], values, now)
    profiles.write({customer.uid: customer}, updated=())
    return customer


def get_customer(uid: str) -> Customer:
    """The customer that stands for the profile of `uid`, deleted or not. Raises NotFound."""
    return canonical_of(uid)


def list_customers(request: identity_service_pb2.ListCustomersRequest) -> tuple[list[Customer], str]:
    """Those who stand for a profile, the oldest first. Filters speak of their own values."""
    return paging.page(
        Customer,
        filter={"merged": False, **filters.parse(request.filter, _FILTER)},
        order=[("create_time", 1)],
        request=request,
        bind={"filter": request.filter, "show_deleted": request.show_deleted},
        deleted=request.show_deleted,
    )


def lookup_customer(request: identity_service_pb2.LookupCustomerRequest, settings: IdentitySettings) -> Customer:
    """The profile known by an identifier.

    Raises InvalidArgument INVALID_IDENTIFIER, NotFound and FailedPrecondition ERASED_PERSON.
    """
    kind, value, source = Kind(customer_pb2.Identifier.Kind.Name(request.kind)), request.value, request.source
    if kind.of_source and not source:
        raise _invalid("INVALID_IDENTIFIER", [("source", f"{kind.value} is known within one source; name it.")])
    try:
        identifier = _identifier(kind, value, source, region_of_tenant(settings))
    except Invalid as error:
        raise _invalid("INVALID_IDENTIFIER", [("value", f"The value {error}.")]) from None
    if request.HasField("evidence_time"):
        _refuse_evidence_of_erased(identifier, request.evidence_time)
    uid = identified(identifier)
    if uid is None:
        raise NotFound("NOT_FOUND", f"No customer is known by this {kind.value}.", metadata={"kind": kind.value})
    return canonical_of(uid)


@docstore.command(None)
def update_customer(message: customer_pb2.Customer, mask: FieldMask, settings: IdentitySettings) -> Customer:
    """Change the profile a name belongs to. Changed values are the standing customer's own, so they survive a fold.

    Raises NotFound, FailedPrecondition CUSTOMER_DELETED, Aborted ETAG_MISMATCH and what `create_customer` raises.
    """
    uid = message.name.rpartition("/")[2]
    profiles.refuse_erased(uid)
    customer = canonical_of(uid)
    profiles.refuse_deleted(customer)
    members = {member.uid: member for member in profile_members([customer.uid])}
    customer = members[customer.uid]
    current = messages.writable(customer, members.values())
    before = dict(messages.plain(current.traits))
    changed = {path.partition(".")[0] for path in masks.apply(mask, message, current)}
    values = _checked(current, changed, settings)
    values |= {f"{TRAIT_PREFIX}{name}": None for name in before if "traits" in changed and name not in current.traits}
    if values:
        now = clock.now()
        _identify(customer, list(members), values, now, replaced=customer)
        customer.learn(values, _late_enough(customer, values, now))
    profiles.write(members, updated=[customer.uid] if values else (), expected_etag=message.etag or None)
    return customer


@docstore.command(None)
def delete_customer(uid: str, etag: str) -> Customer:
    """Delete the whole profile `uid` belongs to, for 30 days. Raises NotFound and Aborted ETAG_MISMATCH."""
    profiles.refuse_erased(uid)
    customer = canonical_of(uid)
    if customer.delete_time:
        raise NotFound("NOT_FOUND", f"{customer.name} is deleted already.", metadata={"resource": customer.name})
    members = profiles.load([customer.uid])
    now = docstore.whole_milliseconds(clock.now())
    for member in members.values():
        member.delete_time, member.purge_time = now, now + Customer.purge_after
    profiles.write(members, updated=[customer.uid], expected_etag=etag or None)
    return members[customer.uid]


@docstore.command(None)
def undelete_customer(uid: str, etag: str) -> Customer:
    """Bring a deleted profile back. Raises AlreadyExists NOT_DELETED, NotFound and Aborted ETAG_MISMATCH."""
    profiles.refuse_erased(uid)
    customer = canonical_of(uid)
    if not customer.delete_time:
        raise AlreadyExists("NOT_DELETED", f"{customer.name} is not deleted.", metadata={"resource": customer.name})
    members = profiles.load([customer.uid])
    for member in members.values():
        member.delete_time, member.purge_time = None, None
    profiles.write(members, updated=[customer.uid], expected_etag=etag or None)
    return members[customer.uid]


def _checked(message: customer_pb2.Customer, paths: Iterable[str], settings: IdentitySettings) -> dict[str, Any]:
    """The values of these fields, normalised; "" for those the message leaves empty. Traits as `traits.<name>`."""
    values: dict[str, Any] = {}
    violations: list[tuple[str, str]] = []
    for field in paths:
        if field == "traits":
            problem = _traits_problem(message)
            if problem:
                violations.append(("customer.traits", problem))
            else:
                traits = messages.plain(message.traits)
                values |= {f"{TRAIT_PREFIX}{name}": value for name, value in traits.items() if value is not None}
            continue
        try:
            given = getattr(message, field)
            values[field] = _field(field, given, message.region_code, settings) if given else ""
        except Invalid as error:
            violations.append((f"customer.{field}", f"{field} {error}."))
    if violations:
        raise _invalid("INVALID_CUSTOMER", violations)
    return values


def _field(field: str, given: str, region_code: str, settings: IdentitySettings) -> str:
    if field == "email":
        address = validation.email(given)
        _refuse_blocked(Kind.EMAIL, address, settings.block_list())
        return address
    if field == "phone":
        region = validation.region_named(region_code) if region_code else region_of_tenant(settings)
        number = validation.phone(given, region or "")
        _refuse_blocked(Kind.PHONE, number, settings.block_list())
        return number
    if field == "region_code":
        return validation.region(given)
    if field == "language_code":
        return validation.language(given)
    if field == "time_zone":
        return validation.time_zone(given)
    name = " ".join(given.split())
    if len(name) > TEXT_MAX or "\0" in name:
        raise Invalid(f"is longer than {TEXT_MAX} characters or holds a NUL character; shorten it")
    return name


def _refuse_blocked(kind: Kind, value: str, block_list: BlockList) -> None:
    if block_list.blocks(kind, value):
        raise Invalid("is a value many people give and no one's own; leave it empty or give the person's")


def _traits_problem(message: customer_pb2.Customer) -> str | None:
    traits = messages.plain(message.traits)
    if len(traits) > profile.MAX_TRAITS:
        return f"At most {profile.MAX_TRAITS} traits; remove some."
    problem = struct_problem(message.traits)
    if problem:
        return problem
    if profile.json_size(traits) > profile.MAX_TRAITS_BYTES:
        return f"At most {profile.MAX_TRAITS_BYTES // 1024} KiB of JSON; remove some."
    return None


def _identify(
    customer: Customer,
    members: list[str],
    values: Mapping[str, Any],
    now: datetime,
    *,
    replaced: Customer | None = None,
) -> None:
    """Make the customer known by its e-mail and phone; those it had before, of `replaced`, are let go.

    Raises AlreadyExists IDENTIFIER_TAKEN, naming the customer that is known by one.
    """
    for field, make in (("email", email_identifier), ("phone", _phone_identifier)):
        if field not in values:
            continue
        wanted = make(values[field]) if values[field] else None
        former = make(replaced[field]) if replaced and replaced[field] else None
        if wanted == former:
            continue
        if wanted:
            _take(wanted, field, customer, members, now)
        if former:
            IdentifierRow.rows().delete_one({"uid": IdentifierRow.uid_of(former), "customer": customer.uid})


def _take(identifier: Identifier, field: str, customer: Customer, members: list[str], now: datetime) -> None:
    owner = identified(identifier)
    if owner is None:
        IdentifierRow.rows().insert_one(IdentifierRow.row(identifier, customer.uid, now))
    elif owner not in members:
        known = canonical_of(owner)
        state = "deleted; undelete it" if known.delete_time else "there; change that one, or merge the two"
        raise AlreadyExists(
            "IDENTIFIER_TAKEN",
            f"Another customer is known by this {field}: {known.name} is {state}.",
            metadata={"resource": known.name, "identifier_kind": identifier.kind.value, "field": f"customer.{field}"},
        )


def _phone_identifier(number: str) -> Identifier:
    return Identifier(Kind.PHONE, "", number)


def _identifier(kind: Kind, value: str, source: str, region: str) -> Identifier:
    if kind is Kind.EMAIL:
        return email_identifier(validation.email(value))
    if kind is Kind.PHONE:
        return _phone_identifier(validation.phone(value, region))
    return Identifier(kind, source, value.strip())


def _refuse_evidence_of_erased(identifier: Identifier, evidence_time: Timestamp) -> None:
    """Raises FailedPrecondition ERASED_PERSON when the identifier was erased since the evidence for it came in."""
    if erased_since(identifier, evidence_time.ToDatetime(UTC)):
        raise FailedPrecondition(
            "ERASED_PERSON",
            "Whoever was known by this identifier then was erased since; drop what tells of them (GDPR article 17).",
        )


def _late_enough(customer: Customer, values: Iterable[str], now: datetime) -> datetime:
    """When an edit counts as said: now, and after what sources said, whose clocks may run ahead."""
    known: list[datetime] = [told for key in values if (told := (customer.known_at or {}).get(key))]
    return max([now, *(told + timedelta(milliseconds=1) for told in known)])


def _invalid(reason: str, violations: list[tuple[str, str]]) -> InvalidArgument:
    said = " ".join(f"{field}: {description}" for field, description in violations)
    return InvalidArgument(reason, said, violations=violations)
