"""Amounts of other currencies in the tenant's main one, by the rate of the event's day. Light: no numpy.

The table is a CSV file as the European Central Bank publishes it (`eurofxref-hist.csv`): a column `Date`, and one for
each currency with how many of its units one euro was that day. Between two others, rates go by way of the euro.
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date

from chassis import money

BASE = "EUR"
STALE_DAYS = 7
"""A day without a rate, such as a Sunday, has that of the last day before with one, at most so many days ago."""
LARGEST = 2**53
"""In minor units: no amount of anything is converted to more, whichever its sign, and floats are exact up to it."""
DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)


class RatesUnusableError(ValueError):
    """The table of rates cannot be used; the message says where and why."""


class DayRates:
    """Rates to one main currency. Without any table only amounts of the main currency can be told."""

    def __init__(self, main: str, units: Mapping[str, Mapping[int, float]] | None = None) -> None:
        """units: of each currency (EUR for one) how many of its units one euro was, by days since 1970."""
        self.main = main
        self._units = dict(units or {})
        self._factors: dict[str, tuple[list[int], list[float]]] = {}

    @classmethod
    def read(cls, main: str, file: Iterable[str]) -> "DayRates":
        """From the lines of a table. Raises RatesUnusableError."""
        reader = csv.DictReader(file, skipinitialspace=True)
        units: dict[str, dict[int, float]] = {}
        if "Date" not in (reader.fieldnames or ()):
            raise RatesUnusableError("the table of rates has no column Date")
        for row in reader:
            try:
                day = (date.fromisoformat(row["Date"].strip()) - _EPOCH).days
            except ValueError:
                raise RatesUnusableError(f"line {reader.line_num}: Date is no date such as 2026-03-01") from None
            units.setdefault(BASE, {})[day] = 1.0
            for currency, text in row.items():
                # Its lines end with a comma, and days without a rate say so.
                if currency and currency != "Date" and text and text.strip() not in ("", "N/A"):
                    units.setdefault(currency.strip(), {})[day] = _number(text, reader.line_num, currency)
        return cls(main, units)

    def to(self, main: str) -> "DayRates":
        """The same table to another main currency."""
        return DayRates(main, self._units)

    def factors(self, currency: str) -> tuple[list[int], list[float]]:
        """Days with a rate, ascending, and what an amount in the currency's minor units is multiplied by for the
        main one's.
        """
        found = self._factors.get(currency)
        if found is None:
            theirs, ours = self._units.get(currency, {}), self._units.get(self.main, {})
            digits = money.digits(currency), money.digits(self.main)
            days = sorted(theirs.keys() & ours.keys()) if None not in digits else []
            scale = 10.0 ** ((digits[1] or 0) - (digits[0] or 0))
            found = self._factors[currency] = days, [ours[day] / theirs[day] * scale for day in days]
        return found

    def convert(self, amount: int, currency: str, time: int) -> int | None:
        """An amount in minor units at a time (microseconds since 1970) in those of the main currency, rounded half to
        even; None when there is no rate, or more than LARGEST comes of it.
        """
        if currency == self.main:
            return amount
        days, factors = self.factors(currency)
        day = time // DAY_US
        place = bisect_right(days, day) - 1
        if place < 0 or days[place] < day - STALE_DAYS:
            return None
        found = amount * factors[place]
        return round(found) if abs(found) <= LARGEST else None


def _number(text: str, line: int, currency: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise RatesUnusableError(f"line {line}: the rate of {currency} is no number over 0")
    return found
