import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from chassis import money
from chassis.errors import InvalidArgument


@pytest.mark.parametrize(
    ("units", "nanos", "currency", "minor"),
    [
        (12, 340_000_000, "EUR", 1234),
        (-1, -50_000_000, "USD", -105),
        (0, -10_000_000, "EUR", -1),
        (500, 0, "JPY", 500),
        (1, 234_000_000, "KWD", 1234),
        (0, 0, "CHF", 0),
    ],
)
def test_known_amounts(units, nanos, currency, minor):
    message = Money(units=units, nanos=nanos, currency_code=currency)
    assert money.to_minor(message) == minor
    assert money.from_minor(minor, currency) == message


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["EUR", "JPY", "KWD", "USD"]))
def test_round_trip(minor, currency):
    assert money.to_minor(money.from_minor(minor, currency)) == minor


@pytest.mark.parametrize(
    ("units", "nanos", "currency", "reason", "field"),
    [
        (1, 0, "EURO", "CURRENCY_UNKNOWN", "price.currency_code"),
        (1, 0, "eur", "CURRENCY_UNKNOWN", "price.currency_code"),
        (1, 0, "", "CURRENCY_UNKNOWN", "price.currency_code"),
        (1, 0, "XXX", "CURRENCY_UNKNOWN", "price.currency_code"),
        (1, 1, "EUR", "MONEY_TOO_PRECISE", "price.nanos"),
        (1, 500_000_000, "JPY", "MONEY_TOO_PRECISE", "price.nanos"),
        (1, -10_000_000, "EUR", "MONEY_MALFORMED", "price.nanos"),
        (0, 1_000_000_000, "EUR", "MONEY_MALFORMED", "price.nanos"),
        (2**62, 0, "EUR", "MONEY_OUT_OF_RANGE", "price.units"),
    ],
)
def test_refusals_name_the_field(units, nanos, currency, reason, field):
    with pytest.raises(InvalidArgument) as caught:
        money.to_minor(Money(units=units, nanos=nanos, currency_code=currency), "price")
    assert caught.value.reason == reason
    assert [path for path, _ in caught.value.violations] == [field]


def test_digits():
    assert [money.digits(code) for code in ("EUR", "JPY", "KWD", "ABC")] == [2, 0, 3, None]


def test_decimals_are_those_of_iso_4217_whatever_people_write_in_daily_life():
    # CLDR, whose digits change with its releases, gives none of these any.
    known = {"RSD": 2, "ALL": 2, "IQD": 3, "MGA": 2, "LBP": 2, "EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4, "UGX": 0}
    assert {code: money.digits(code) for code in known} == known
    assert money.to_minor(Money(currency_code="RSD", units=1299, nanos=990_000_000)) == 129_999
