"""Amounts in the main currency: the rate of the day, for a week, through the euro; the same in bulk."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from scoring import parquet
from scoring.features import loading
from scoring.features.loading import ACTIVITY, Span
from scoring.features.rates import DayRates, RatesUnusableError

TABLE = """Date, USD, JPY, KWD, \n2026-03-06, 1.25, 160.5, 0.4, \n2026-03-05, 1.5, N/A, 0.4,\n"""


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("main", "currency", "when", "amount", "expected"),
    [
        ("EUR", "EUR", "1999-01-01", 77, 77),
        ("EUR", "USD", "2026-03-06T23:59:59", 1000, 800),
        ("EUR", "USD", "2026-03-05", 1000, 667),
        ("EUR", "USD", "2026-03-13T10:00:00", 1000, 800),  # a week later still
        ("EUR", "USD", "2026-03-14", 1000, None),
        ("EUR", "USD", "2026-03-04", 1000, None),
        ("EUR", "JPY", "2026-03-06", 1605, 1000),  # no decimals there, two here
        ("EUR", "JPY", "2026-03-05", 1605, None),
        ("USD", "EUR", "2026-03-06", 1000, 1250),
        ("USD", "KWD", "2026-03-06", 1000, 312),  # 3.125 dollars, half to even
        ("EUR", "CHF", "2026-03-06", 1000, None),
        ("EUR", "USD", "2026-03-06", -500, -400),
        ("KWD", "JPY", "2026-03-06", 9 * 10**18, None),  # more than anything can be summed up with
        ("KWD", "JPY", "2026-03-06", -9 * 10**18, None),
    ],
)
def test_amounts_go_by_the_rate_of_their_day(
    main: str, currency: str, when: str, amount: int, expected: int | None, tmp_path: Path
) -> None:
    rates = DayRates.read(main, TABLE.splitlines())
    assert rates.convert(amount, currency, at(when)) == expected
    row = {
        "customer": "customers/1",
        "order_id": "",
        "event_time": datetime.fromisoformat(when).replace(tzinfo=UTC),
        "amount_minor": amount,
        "currency": currency,
        "event": "Order Refunded",
        "id": 5,
    }
    path = tmp_path / "file.parquet"
    path.write_bytes(parquet.activity([row]))
    left_out = {"unusable": 0, "no_rate": 0}
    table = loading.read([(str(path), ACTIVITY)], Span(0, 2**62), rates, left_out)
    assert table.column("amount").to_pylist() == ([] if expected is None else [expected])
    assert left_out == {"unusable": 0, "no_rate": int(expected is None)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("day,USD\n2026-01-01,1.1\n", "no column Date"),
        ("Date,USD\n1.1.2026,1.1\n", "line 2: Date is no date"),
        ("Date,USD\n2026-01-01,0\n", "line 2: the rate of USD is no number over 0"),
        ("Date,USD\n2026-01-01,about one\n", "line 2: the rate of USD"),
    ],
)
def test_a_table_that_cannot_be_used_says_where_and_why(text: str, message: str) -> None:
    with pytest.raises(RatesUnusableError, match=message):
        DayRates.read("EUR", text.splitlines())


def test_no_rate_is_so_absurd_that_nothing_can_be_converted_any_more() -> None:
    rates = DayRates.read("JPY", ["Date,USD,JPY", "2026-03-06,1e-300,1e300"])
    assert [rates.convert(amount, "USD", at("2026-03-06")) for amount in (1, 0, -1)] == [None] * 3


def test_without_a_table_only_the_main_currency_counts() -> None:
    rates = DayRates("EUR")
    assert (rates.convert(5, "EUR", 0), rates.convert(5, "USD", 0)) == (5, None)
