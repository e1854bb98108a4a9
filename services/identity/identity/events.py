"""The messages identity publishes, made from its documents."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rapport.identity.v1 import events_pb2

from identity.domain import profile

if TYPE_CHECKING:
    from identity.store.customers import Customer


def customer_state(canonical: "Customer", members: Iterable["Customer"]) -> events_pb2.CustomerState:
    """The state of a profile: what its members know, under the name of the one that stands for it."""
    values = profile.fold(canonical.uid, [member.own_data() for member in members])
    told = {key: values.get(key, "") for key in profile.FIELDS if key in _TOLD}
    state = events_pb2.CustomerState(customer=canonical.name, **told)
    traits = {key.removeprefix(profile.TRAIT_PREFIX): value for key, value in values.items() if profile.is_trait(key)}
    state.traits.update({name: value for name, value in traits.items() if _is_plain(value)})
    if canonical.delete_time:
        state.delete_time.FromDatetime(canonical.delete_time)
    return state


def alias_state(customer: "Customer") -> events_pb2.CustomerAlias:
    """Where a customer now belongs."""
    return events_pb2.CustomerAlias(
        customer=customer.name,
        canonical_customer=customer.described(customer.canonical),
        merge=f"merges/{customer.last_merge}" if customer.last_merge else "",
    )


def _is_plain(value: Any) -> bool:
    """Whether a trait is told: others ask for short values only, and an event goes to many."""
    if isinstance(value, list):
        return len(value) <= _LIST_MAX and all(_is_plain(item) and not isinstance(item, list) for item in value)
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _TEXT_MAX)


_TEXT_MAX = 200
_LIST_MAX = 50
_TOLD = frozenset(field.name for field in events_pb2.CustomerState.DESCRIPTOR.fields)
