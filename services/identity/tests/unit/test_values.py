"""Values people and sources give."""

import pytest

from chassis import validation
from chassis.validation import Invalid
from identity.domain.identifiers import BlockList, Identifier, Kind
from identity.traits import understand


@pytest.mark.parametrize(
    ("check", "given", "found"),
    [
        (validation.email, " Ada@EXAMPLE.com ", "Ada@example.com"),
        (validation.region, "de", "DE"),
        (validation.language, "de_AT", "de-AT"),
        (validation.language, "ZH-hant-tw", "zh-Hant-TW"),
        (validation.language, "en", "en"),
        (validation.time_zone, "Europe/Berlin", "Europe/Berlin"),
        (validation.region_named, "Germany", "DE"),
        (validation.region_named, "usa", "US"),
        (validation.region_named, "Atlantis", None),
    ],
)
def test_good_values_are_normalised(check, given, found):
    assert check(given) == found


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (validation.email, "grace"),
        (validation.email, "a@b@c.de"),
        (validation.region, "EU"),
        (validation.region, "GERMANY"),
        (validation.language, "klingon"),
        (validation.language, ""),
        (validation.time_zone, "CEST/Nowhere"),
    ],
)
def test_bad_values_are_refused_without_quoting_them(check, given):
    with pytest.raises(Invalid) as caught:
        check(given)
    assert not given or given not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "region", "found"),
    [
        ("030 901820", "DE", "+4930901820"),
        ("+49 (0)30 901820", "US", "+4930901820"),
        ("0044 20 7946 0958", "DE", "+442079460958"),
        ("(415) 555-2671", "US", "+14155552671"),
    ],
)
def test_phones_are_read_in_their_region(given, region, found):
    assert validation.phone(given, region) == found


@pytest.mark.parametrize(("given", "region"), [("12", "DE"), ("030 901820", ""), ("call me", "US"), ("555-0100", "US")])
def test_what_is_no_phone_number_is_refused(given, region):
    with pytest.raises(Invalid):
        validation.phone(given, region)


def test_traits_are_sorted_out():
    found = understand(
        {
            "email": "Ada@Example.com",
            "phone": 14155552671,
            "first_name": "Ada",
            "language": "en-GB",
            "locale": "de",
            "address": {"country": "US"},
            "timezone": "nowhere",
            "plan": None,
        },
        "DE",
        BlockList(),
    )
    assert found.values == {
        "email": "Ada@example.com",
        "phone": "+14155552671",
        "given_name": "Ada",
        "language_code": "en-GB",
        "region_code": "US",
        "traits.locale": "de",
        "traits.address": {"country": "US"},
        "traits.timezone": "nowhere",
        "traits.plan": None,
    }
    assert found.identifiers == [
        Identifier(Kind.EMAIL, "", "ada@example.com"),
        Identifier(Kind.PHONE, "", "+14155552671"),
    ]
    assert found.unread == ["timezone"]


@pytest.mark.parametrize(
    "traits", [{"email": ["a"]}, {"email": True}, {"phone": {}}, {"name": ""}, {"address": "x"}, {}]
)
def test_odd_traits_never_raise(traits):
    found = understand(traits, "US", BlockList())
    assert found.identifiers == []
    assert set(found.values) == {f"traits.{name}" for name in traits}
