"""Customers and the identifiers they are known by."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from google.protobuf.message import Message
from mongoengine import BooleanField, DynamicField, IntField, StringField
from rapport.identity.v1 import events_pb2

import docstore
from docstore.connection import Row
from identity.domain import profile
from identity.domain.graph import Node
from identity.domain.identifiers import Identifier, Kind
from identity.domain.profile import FIELDS, TRAIT_PREFIX, OwnData
from identity.domain.resolution import Claim
from identity.events import alias_state, customer_state

MEMBERS_MAX = 1000
"""More than any setting allows: the bound of queries over the members of one profile."""


class Customer(docstore.Aggregate):
    """One customer with what it knows by itself; `canonical` says whose profile it belongs to.

    Every change of a profile also writes its canonical customer: its version is the profile's, and concurrent changes
    of one profile conflict there.
    """

    resource: ClassVar[str] = "customers"

    canonical: Any = StringField(required=True)
    """Uid of the customer that stands for the profile; its own when not merged."""
    merged: Any = BooleanField(required=True, default=False)
    """Whether another customer stands for it."""
    ever_merged: Any = BooleanField(required=True, default=False)
    """Whether others have heard of an alias of it."""
    last_merge: Any = StringField()
    """Uid of the merge or unmerge that decided `canonical`."""
    profile_changes: Any = IntField(required=True, default=0)
    """Counts changes of the profile it stands for, so that each of them writes this document."""

    display_name: Any = StringField()
    given_name: Any = StringField()
    family_name: Any = StringField()
    email: Any = StringField()
    phone: Any = StringField()
    region_code: Any = StringField()
    language_code: Any = StringField()
    time_zone: Any = StringField()
    traits: Any = DynamicField()
    """Trait -> value; a dict of any names, which is why it is no DictField."""
    known_at: Any = DynamicField()
    """Field or `traits.<name>` -> when its value was true; kept for emptied ones too."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "customers",
        "indexes": [
            {"fields": ["tenant", "canonical"]},
            {"fields": ["tenant", "merged", "create_time", "id"]},
            {"fields": ["tenant", "merged", "canonical", "uid"]},
            {"fields": ["tenant", "merged", "region_code", "create_time", "id"]},
            {"fields": ["tenant", "merged", "language_code", "create_time", "id"]},
            {"fields": ["purge_time"], "sparse": True, "platform": True},
        ],
    }

    @classmethod
    def started(cls, uid: str, create_time: datetime | None = None) -> "Customer":
        """A new customer that stands for itself."""
        return cls.new(uid, canonical=uid, create_time=create_time)

    @property
    def node(self) -> Node:
        """Its place in the merge graph."""
        return Node(self.create_time, self.uid)

    def own_data(self) -> OwnData:
        """What it knows by itself."""
        traits: Mapping[str, Any] = self.traits or {}
        times: dict[str, datetime] = dict(self.known_at or {})
        values = {
            key: traits.get(key.removeprefix(TRAIT_PREFIX)) if key.startswith(TRAIT_PREFIX) else self[key]
            for key in times
        }
        return OwnData(self.uid, values, times)

    def learn(self, news: Mapping[str, Any], when: datetime) -> bool:
        """Take over what is news (keys as in `domain.profile`); True when that changed a value.

        Traits beyond the limits are left out.
        """
        when = docstore.whole_milliseconds(when)
        own = self.own_data()
        traits = dict(self.traits or {})
        learnt: dict[str, Any] = {}
        for key, value in sorted(profile.learn(own.values, own.times, news, when).items()):
            trait = key.removeprefix(TRAIT_PREFIX) if key.startswith(TRAIT_PREFIX) else None
            if trait is None:
                self[key] = value or None
            elif value is None:
                traits.pop(trait, None)
            elif profile.fits(traits, trait, value):
                traits[trait] = value
            else:
                continue
            learnt[key] = value
        if learnt:
            self.known_at = profile.without_forgotten({**own.times, **dict.fromkeys(learnt, when)}, traits)
            self.traits = traits
        return any((own.values.get(key) or None) != (value or None) for key, value in learnt.items())

    def state_events(self) -> list[Message]:
        """What republishing tells of it: the profile if it stands for one, and its alias if it ever had one."""
        told: list[Message] = []
        if not self.merged:
            told.append(events_pb2.CustomerUpdated(customer=customer_state(self, profile_members([self.uid]))))
        if self.ever_merged:
            message = events_pb2.CustomerMerged if self.merged else events_pb2.CustomerUnmerged
            told.append(message(alias=alias_state(self)))
        return told


class IdentifierRow(docstore.Record):
    """One identifier. Its uid is a hash of kind, source and value, which makes it unique in the tenant."""

    kind: Any = StringField(required=True)
    source: Any = StringField()
    value: Any = StringField(required=True)
    customer: Any = StringField(required=True)
    """Uid of the customer it was first seen on."""
    claim_time: Any = docstore.InstantField()
    claim_message: Any = StringField()
    """The evidence that ties an anonymous id to that customer."""
    create_time: Any = docstore.InstantField(required=True)

    meta: ClassVar[dict[str, Any]] = {
        "collection": "identifiers",
        "indexes": [{"fields": ["tenant", "customer", "kind", "create_time"]}],
    }

    @staticmethod
    def uid_of(identifier: Identifier) -> str:
        """The row's uid."""
        text = "\x1f".join((identifier.kind.value, identifier.source, identifier.value))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @classmethod
    def row(
        cls, identifier: Identifier, customer: str, create_time: datetime, claim: Claim | None = None
    ) -> dict[str, Any]:
        """The stored form, without hydration: ingestion writes thousands."""
        row: dict[str, Any] = {
            "uid": cls.uid_of(identifier),
            "kind": identifier.kind.value,
            "source": identifier.source,
            "value": identifier.value,
            "customer": customer,
            "create_time": docstore.whole_milliseconds(create_time),
        }
        if claim:
            row |= {"claim_time": claim.event_time, "claim_message": claim.message_id}
        return row


class TenantProfile(docstore.Record):
    """What access tells about the tenant, as far as identity needs it. One row a tenant, uid `settings`."""

    region_code: Any = StringField()
    currency_code: Any = StringField()

    meta: ClassVar[dict[str, Any]] = {"collection": "tenant_profiles"}

    UID: ClassVar[str] = "settings"


def identified(identifier: Identifier) -> str | None:
    """Uid of the customer an identifier was first seen on."""
    row = IdentifierRow.rows().find_one({"uid": IdentifierRow.uid_of(identifier)}, {"customer": 1})
    return row["customer"] if row else None


def canonical_of(uid: str) -> Customer:
    """The customer that stands for the profile of `uid`, deleted or not. Raises NotFound."""
    customer = Customer.get(uid, deleted=True)
    return Customer.get(customer.canonical, deleted=True) if customer.merged else customer


def profile_members(canonicals: Iterable[str]) -> list[Customer]:
    """All members of the profiles that these customers stand for."""
    wanted = list(dict.fromkeys(canonicals))
    return Customer.find({"canonical": {"$in": wanted}}, limit=len(wanted) * MEMBERS_MAX, deleted=True)


def profile_of(uid: str) -> tuple[Customer, list[Customer]]:
    """The customer that stands for the profile of `uid`, deleted or not, and all its members. Raises NotFound.

    One query when `uid` stands for itself, three when it was merged.
    """
    members = profile_members([uid])
    stands = next((member for member in members if member.uid == uid), None)
    return (stands, members) if stands else profile_of(Customer.get(uid, deleted=True).canonical)


def of_members(uids: Iterable[str]) -> Row:
    """The filter for rows of the members of one profile."""
    wanted = sorted(uids)
    return {"customer": wanted[0] if len(wanted) == 1 else {"$in": wanted}}


def members_by_canonical(canonicals: Iterable[str]) -> dict[str, list[Customer]]:
    """The same, grouped by the customer that stands for them."""
    grouped: dict[str, list[Customer]] = defaultdict(list)
    for member in profile_members(canonicals):
        grouped[member.canonical].append(member)
    return grouped


def identifiers_of(customers: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """The identifier rows first seen on these customers, by customer."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in IdentifierRow.rows().find({"customer": {"$in": list(customers)}}):
        found[row["customer"]].append(row)
    return found


def folded(canonical: Customer, members: Iterable[Customer]) -> dict[str, Any]:
    """The values of a profile, traits under `traits.<name>`."""
    return profile.fold(canonical.uid, [member.own_data() for member in members])


def kind_of(row: Mapping[str, Any]) -> Kind:
    """The kind of an identifier row."""
    return Kind(row["kind"])


assert all(field in Customer._fields for field in FIELDS), "the domain and the document name the same fields"
