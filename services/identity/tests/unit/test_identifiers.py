"""Values that prove nothing are no identifiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.identifiers import BLOCKED_VALUES, BlockList, Kind


@pytest.mark.parametrize(
    "value",
    ["null", "NULL", " None ", "undefined", "unknown", "anonymous", "test", "0", "-1", "N/A", "true", "False", "", "  ",
     "00000000-0000-0000-0000-000000000000", "0000", "+000000", "[object Object]"],
)  # fmt: skip
def test_placeholders_are_blocked_as_any_kind(value):
    assert all(BlockList().blocks(kind, value) for kind in Kind)


@pytest.mark.parametrize("value", ["test@test.com", "Test@Test.com", "noreply@shop.example", "No-Reply@x.io"])
def test_addresses_of_nobody_are_blocked(value):
    assert BlockList().blocks(Kind.EMAIL, value)


@given(st.uuids(version=4))
def test_real_ids_are_not(value):
    assert not BlockList().blocks(Kind.USER_ID, str(value))


def test_an_installation_adds_its_own():
    assert not BlockList().blocks(Kind.PHONE, "+15550100")
    assert BlockList(["+15550100"]).blocks(Kind.PHONE, "+15550100")
    assert BlockList(["Kiosk-1"]).blocks(Kind.ANONYMOUS_ID, "kiosk-1")


def test_the_list_is_lower_case():
    assert {value.casefold() for value in BLOCKED_VALUES} == BLOCKED_VALUES
