from collections.abc import Iterable

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st
from rapport.access.v1 import tenant_pb2
from rapport.consent.v1 import purpose_pb2
from rapport.identity.v1 import customer_pb2

from chassis.errors import InvalidArgument
from docstore import masks

Customer = customer_pb2.Customer
Tenant = tenant_pb2.Tenant
Settings = tenant_pb2.TenantSettings


def apply(paths: Iterable[str], message: Message, current: Message) -> set[str]:
    return masks.apply(FieldMask(paths=list(paths)), message, current)


def refused(paths: Iterable[str], message: Message, current: Message) -> str:
    before = type(current)()
    before.CopyFrom(current)
    with pytest.raises(InvalidArgument) as caught:
        apply(paths, message, current)
    assert caught.value.reason == "INVALID_UPDATE_MASK"
    assert current == before
    return caught.value.violations[0][1]


def test_named_fields_are_set_and_cleared() -> None:
    current = Customer(name="customers/1", display_name="Ann", email="a@example.com", phone="+4912345")
    changed = apply(["email", "phone", "display_name"], Customer(email="b@example.com", display_name="Ann"), current)
    assert changed == {"email", "phone"}
    assert current == Customer(name="customers/1", display_name="Ann", email="b@example.com")


def test_without_a_mask_populated_fields_count() -> None:
    current = Customer(name="customers/1", display_name="Ann", email="a@example.com", etag='"1"')
    message = Customer(name="customers/other", etag='"9"', email="b@example.com", create_time=Timestamp(seconds=5))
    assert apply([], message, current) == {"email"}
    assert current == Customer(name="customers/1", display_name="Ann", email="b@example.com", etag='"1"')


def test_a_star_replaces_everything_writable() -> None:
    current = Customer(name="customers/1", uid="1", display_name="Ann", email="a@example.com")
    assert apply(["*"], Customer(display_name="Bea"), current) == {"display_name", "email"}
    assert current == Customer(name="customers/1", uid="1", display_name="Bea")


def test_parts_of_messages_keys_of_maps_and_structs() -> None:
    current = Tenant(settings=Settings(time_zone="UTC", currency_code="EUR"))
    message = Tenant(settings=Settings(time_zone="Europe/Berlin", sender=tenant_pb2.Sender(display_name="Shop")))
    assert apply(["settings.time_zone", "settings.sender.display_name"], message, current) == {
        "settings.time_zone",
        "settings.sender.display_name",
    }
    assert (current.settings.currency_code, current.settings.sender.display_name) == ("EUR", "Shop")
    info = ErrorInfo(metadata={"a": "1", "b": "2", "c": "3"})
    assert apply(["metadata.a", "metadata.b", "metadata.c"], ErrorInfo(metadata={"a": "9", "c": "3"}), info) == {
        "metadata.a",
        "metadata.b",
    }
    assert dict(info.metadata) == {"a": "9", "c": "3"}
    customer, patch = Customer(), Customer()
    customer.traits.update({"tier": "gold", "size": 4})
    patch.traits.update({"tier": "silver"})
    assert apply(["traits.tier", "traits.size", "traits.none"], patch, customer) == {"traits.tier", "traits.size"}
    assert dict(customer.traits) == {"tier": "silver"}


def test_lists_are_replaced_whole() -> None:
    current = Tenant(settings=Settings(language_codes=["en", "de"]))
    patch = Tenant(settings=Settings(language_codes=["fr"]))
    assert apply(["settings.language_codes"], patch, current) == {"settings.language_codes"}
    assert list(current.settings.language_codes) == ["fr"]


def test_immutable_fields() -> None:
    purpose = purpose_pb2.Purpose(display_name="News", notice=purpose_pb2.Notice(version=1))
    same = purpose_pb2.Purpose(display_name="Post", notice=purpose_pb2.Notice(version=1))
    assert apply([], same, purpose) == {"display_name"}
    assert apply(["*"], purpose_pb2.Purpose(display_name="Mail"), purpose) >= {"display_name"}
    assert purpose.notice.version == 1
    other = purpose_pb2.Purpose(notice=purpose_pb2.Notice(version=2))
    assert "cannot be changed" in refused(["notice"], other, purpose)
    assert "cannot be changed" in refused(["notice.version"], other, purpose)
    assert "cannot be changed" in refused([], other, purpose)


@pytest.mark.parametrize(
    ("paths", "message", "problem"),
    [
        (["colour"], Customer(), "colour is no field of Customer; writable are"),
        (["email.domain"], Customer(), "goes into email, which has no parts"),
        (["uid"], Customer(uid="2"), "uid is set by the service"),
        (["name"], Customer(name="customers/2"), "name is set by the service"),
        (["etag"], Customer(etag="x"), "etag is set by the service"),
        (["*", "email"], Customer(), "* stands alone"),
        ([""], Customer(), "is no field"),
        (["identifiers.value"], Customer(), "set by the service"),
    ],
)
def test_wrong_paths_are_named(paths: list[str], message: Customer, problem: str) -> None:
    assert problem in refused(paths, message, Customer(name="customers/1", uid="1"))


def test_a_required_field_cannot_be_cleared() -> None:
    current = Tenant(display_name="Shop", settings=Settings(time_zone="UTC"))
    assert "required" in refused(["display_name"], Tenant(), current)
    assert "required" in refused(["settings.time_zone"], Tenant(), current)


customers = st.builds(
    Customer,
    display_name=st.sampled_from(["", "Ann", "Bea"]),
    email=st.sampled_from(["", "a@example.com", "b@example.com"]),
    phone=st.sampled_from(["", "+491", "+492"]),
    region_code=st.sampled_from(["", "DE", "FR"]),
)
FIELDS = ["display_name", "email", "phone", "region_code"]


@given(customers, customers, st.sets(st.sampled_from(FIELDS), min_size=1))
def test_what_is_named_becomes_the_message_and_the_rest_stays(
    current: Customer, message: Customer, named: set[str]
) -> None:
    before = Customer()
    before.CopyFrom(current)
    changed = apply(named, message, current)
    for field in FIELDS:
        assert getattr(current, field) == getattr(message if field in named else before, field)
        assert (field in changed) == (getattr(current, field) != getattr(before, field))
    assert apply(named, message, current) == set()
