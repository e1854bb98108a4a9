"""Models side by side on the same customers: paired bootstrap of squared errors, calibration by tenths.

Of purchases or of revenue, whichever the rows hold.

Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13: percentile intervals. Customers are drawn
with all they did, and with all their rows where they have several (Field and Welsh 2007, Journal of the Royal
Statistical Society B 69:3), so that what two models share cancels out. Beyond some thousand customers, equal-sized
random lots of them are drawn instead of single ones, which is as exact and takes a thousandth of the time.
"""

from dataclasses import dataclass, field

import numpy as np

from scoring.domain.gates import Interval
from scoring.models.fitting import Floats, total
from scoring.models.rounding import rounded
from scoring.models.summary import Ints

DRAWS = 1_000
TENTHS = 10
_LOTS = 2_000
_SEED = 20_040_507
_TAILS = (5.0, 95.0)


@dataclass(frozen=True)
class Rows:
    """Groups of customers: what each did until a day, and how many purchase days followed within a time."""

    x: Ints
    recency: Ints
    age: Ints
    later: Ints
    """Purchase days that followed."""
    counts: Ints
    weeks: float
    """How long after."""
    owner: Ints | None = field(default=None, kw_only=True)
    """Whose each row is (0, 1, ...) where customers have several, each counted once; None where each is others'."""

    @property
    def customers(self) -> int:
        """How many."""
        return int(self.counts.sum())

    @property
    def purchases(self) -> int:
        """That followed, of all; of `Spenders` their revenue."""
        return int(self.counts @ self.later)


@dataclass(frozen=True)
class Spenders(Rows):
    """The same with money, in minor units: `later` is the revenue of the purchases that followed."""

    spent: Ints
    """On the days after the first one."""
    before: Ints
    """On all days."""


@dataclass(frozen=True)
class Tenth:
    """A tenth of the customers by what was expected of them."""

    expected: float
    actual: float
    customers: int


def relative_loss(rows: Rows, expected: Floats, other: Floats) -> Interval:
    """Squared error of `expected` less that of `other`, as a share of the latter."""
    sums = _lots(rows, (expected - rows.later) ** 2, (other - rows.later) ** 2)
    return _interval(*(_ratio(loss, against) - 1 for loss, against in (_all(sums), _drawn(sums))))


def error_share(rows: Rows, expected: Floats) -> Interval:
    """Squared error as a share of that of expecting of everybody what they did on average: 1 tells nobody apart."""
    actual = rows.later.astype(np.float64)
    ones = np.ones(len(actual))
    sums = _lots(rows, (expected - actual) ** 2, actual, actual**2, ones)
    shares = []
    for loss, first, second, number in (_all(sums), _drawn(sums)):
        number = np.maximum(number, 1)
        shares.append(_ratio(loss / number, second / number - (first / number) ** 2))
    return _interval(*shares)


def tenths(rows: Rows, expected: Floats) -> tuple[Tenth, ...]:
    """Expected and real purchases, lowest expectation first; customers who did the same until the day stay together, so
    that tenths are only about equally large, and empty ones are left out.
    """
    decile = _decile(rows, expected)
    found = []
    for number in range(TENTHS):
        inside = decile == number
        customers = int(rows.counts[inside].sum())
        if customers:
            sums = (total(rows.counts[inside], column[inside]) for column in (expected, rows.later))
            mean, actual = (rounded(value / customers) for value in sums)
            found.append(Tenth(mean, actual, customers))
    return tuple(found)


def miscalibration(rows: Rows, expected: Floats) -> tuple[float, float]:
    """Mean distance of expected and real purchases by tenths, as a share of real ones, and what chance alone gives.

    Chance: the mean absolute value of a normal error of each tenth's mean, sqrt(2 / pi) standard errors; of several
    rows of a customer those of their sums.
    """
    decile = _decile(rows, expected)
    distance = chance = 0.0
    for number in range(TENTHS):
        inside = decile == number
        counts, actual = rows.counts[inside], rows.later[inside].astype(np.float64)
        customers = int(counts.sum())
        if customers:
            mean = total(counts, actual) / customers
            distance += abs(total(counts, expected[inside]) - customers * mean)
            strays = total(counts, (actual - mean) ** 2)
            if rows.owner is not None:
                strays = float((np.bincount(rows.owner[inside], weights=actual - mean) ** 2).sum())
            chance += float(np.sqrt(2 / np.pi * strays))
    bought = max(rows.purchases, 1)
    return rounded(distance / bought), rounded(chance / bought)


def _decile(rows: Rows, expected: Floats) -> Ints:
    keys = (rows.age, rows.recency, rows.x, np.round(expected, 9))
    order = np.lexsort(keys)
    counts = rows.counts[order]
    reached = np.cumsum(counts)
    twice = 2 * reached - counts
    if rows.owner is None and len(order):
        # Groups come by what followed: told apart by that, those who are alike would lie in tenths of none and of all.
        new = np.ones(len(order), dtype=bool)
        new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
        last = reached[np.append(np.flatnonzero(new)[1:] - 1, len(order) - 1)]
        twice = (last + np.append(0, last[:-1]))[np.cumsum(new) - 1]
    place = np.minimum(twice * TENTHS // (2 * max(rows.customers, 1)), TENTHS - 1)
    decile = np.empty(len(order), dtype=np.int64)
    decile[order] = place
    return decile


def _lots(rows: Rows, *columns: Floats) -> Floats:
    """Sums of each column over random lots of equally many customers; single customers when there are few."""
    rng = np.random.default_rng(_SEED)
    groups = np.repeat(np.arange(len(rows.counts)), rows.counts)
    owner = np.arange(len(groups)) if rows.owner is None else rows.owner
    customers = int(owner.max(initial=-1)) + 1
    lots = min(customers, _LOTS)
    lot = (rng.permutation(customers) % max(lots, 1))[owner]
    return np.stack([np.bincount(lot, column[groups], lots) for column in columns])


def _all(sums: Floats) -> Floats:
    added: Floats = np.add.reduce(sums, axis=1)
    return added


def _drawn(sums: Floats) -> Floats:
    """Sums over lots drawn with replacement, as many as there are; one column a draw."""
    rng = np.random.default_rng(_SEED + 1)
    lots = sums.shape[1]
    found = np.empty((len(sums), DRAWS))
    for draw in range(DRAWS):
        times = np.bincount(rng.integers(0, lots, lots), minlength=lots)
        found[:, draw] = np.add.reduce(sums * times, axis=1)
    return found


def _ratio(value: Floats, of: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(of > 0, value / np.where(of > 0, of, 1), np.where(value > 0, 1e6, 1.0))
    return ratio


def _interval(value: Floats, drawn: Floats) -> Interval:
    low, high = np.percentile(drawn, _TAILS)
    return Interval(rounded(float(value)), rounded(float(low)), rounded(float(high)))
