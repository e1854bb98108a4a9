"""What usage is usual: level of the customer, times rhythm of the week, times how the group stands in the period.

Counts spread around it by a negative binomial distribution, whose dispersion is the customer's own, shrunk to that of
the group; for small counts it is nearly a Poisson distribution. Medians and MADs of small counts are mostly zero, so
robustness comes from winsorising instead: counts further than `_FAR` deviations from the median level are moved to
there before level and dispersion are told (Huber 1981). What the whole group does (holidays, outages, growth) is no
customer's anomaly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaln  # type: ignore[import-untyped]

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

WINDOWS = (1, 2, 4)
"""Sums over this many of the last periods are judged: one tells sudden stops, four tell slow leaks."""
MOST_CYCLES = 26
"""Older cycles (weeks) than this are forgotten."""
_FAR = 4.0
_RHYTHM = 20.0
"""Counts with which the group's rhythm speaks beside the customer's own."""
_DISPERSION = 10.0
"""Periods with which the group's dispersion does."""
_GROUP = 30.0
"""Counts with which "as usual" speaks beside what the group did in a period."""
_LEAST = 1e-9


@dataclass(frozen=True)
class Usage:
    """Counts of what customers did, shape (customers, periods), the period judged last."""

    counts: Ints
    first: Ints
    """The period each customer began in; it and those before are not looked at."""
    group: Ints
    """Code of the customer's group, such as plan or size."""
    cycle: int = 1
    """Periods after which usage repeats: 7 for days, 1 for weeks."""

    def until(self, end: int) -> "Usage":
        """The same as it was known before period `end`."""
        return Usage(self.counts[:, :end], self.first, self.group, self.cycle)


@dataclass(frozen=True)
class Judged:
    """One element a customer, for one window that ends with the last period."""

    used: Floats
    expected: Floats
    dispersion: Floats
    """phi: the variance is expected + phi * expected^2, the uncertainty of the level included."""
    as_group: Floats
    """How the group stands in the window, 1 as usual; without the customer."""

    def evidence(self, change: float) -> Floats:
        """Logarithm of how much likelier the usage is if the customer now uses `change` times the usual.

        The likelihood ratio tells such a change with the greatest power at a given rate of false alarms (Neyman and
        Pearson 1933).
        """
        shape = 1 / self.dispersion
        ratio = np.log((shape + self.expected) / (shape + change * self.expected))
        log_ratio: Floats = self.used * np.log(change) + (shape + self.used) * ratio
        return log_ratio

    def log_likelihood(self) -> Floats:
        """Of the usage, as expected."""
        shape, x = 1 / self.dispersion, self.used
        value: Floats = gammaln(shape + x) - gammaln(shape) - gammaln(x + 1) + x * np.log(self.expected)
        return value - x * np.log(shape + self.expected) - shape * np.log1p(self.expected / shape)

    def tail(self) -> Floats:
        """P(as little as this or less), or P(as much as this or more) where that is smaller."""
        low = _cumulative(self.used, self.expected, self.dispersion)
        high = np.where(self.used > 0, 1 - _cumulative(self.used - 1, self.expected, self.dispersion), 1.0)
        return np.minimum(low, high)

    def quantile(self, share: float) -> Ints:
        """The least count with this cumulative probability."""
        low = np.full(len(self.used), -1, dtype=np.int64)
        spread = np.sqrt(self.expected + self.dispersion * self.expected**2)
        high = np.ceil(self.expected + 60 * spread + 60).astype(np.int64)
        while (high - low > 1).any():
            middle = (low + high) // 2
            enough = _cumulative(middle.astype(np.float64), self.expected, self.dispersion) >= share
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        found: Ints = high
        return found


@dataclass(frozen=True)
class Groups:
    """What is known of the groups for one window: all that judging one customer takes of the others."""

    stood: Floats
    """How each group stood in each past period, to the power that customers follow."""
    seen: Floats
    """What they used in each period of the window; no customer counts too much."""
    usual: Floats
    """What was to be expected of them there."""
    dispersion: Floats
    """phi of each group."""


def judged(usage: Usage, follow: float = 1.0, windows: tuple[int, ...] = WINDOWS) -> dict[int, Judged]:
    """For each window what was used at its end, against what was to be expected from before it.

    follow: the power of the group's standing that customers follow: 1 as the group, 0 not at all.
    """
    return {window: _judged(usage, window, follow)[0] for window in windows}


def groups_of(usage: Usage, follow: float = 1.0) -> dict[int, Groups]:
    """What is known of the groups, for each of `WINDOWS`, so that customers can be judged a few at a time.

    Raises ValueError for a cycle: rhythms are not in it.
    """
    if usage.cycle != 1:
        raise ValueError("cycle must be 1: the groups' rhythms are not kept")
    return {window: _judged(usage, window, follow)[1] for window in WINDOWS}


def judged_against(
    groups: Mapping[int, Groups], usage: Usage, inside: NDArray[np.bool_], follow: float = 1.0
) -> dict[int, Judged]:
    """As `judged`, against groups as they are known; with the customers of `groups_of` it tells the same of each.

    The groups of `usage` are places in `groups`. inside: whether a customer is among those that `groups` were told of.
    """
    return {window: _judged(usage, window, follow, groups[window], inside)[0] for window in WINDOWS}


def _judged(
    usage: Usage,
    window: int,
    follow: float,
    known: Groups | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> tuple[Judged, Groups]:
    end = usage.counts.shape[1]
    begin = max(0, end - window - MOST_CYCLES * usage.cycle)
    at = np.arange(begin, end)
    past = slice(0, max(len(at) - window, 0))
    last = slice(past.stop, len(at))
    # Whoever is known has used something in their first period: it says nothing of what is usual.
    there = (at > usage.first[:, None]).astype(np.float64)
    counts = usage.counts[:, begin:] * there
    group = np.unique(usage.group, return_inverse=True)[1] if known is None else usage.group
    exposure = _rhythms(counts[:, past], at[past] % usage.cycle, group, usage.cycle)[:, at % usage.cycle] * there
    # How the group stood in each period, from levels; then levels again, free of that.
    stood = _stood(counts, exposure, past, group, follow) if known is None else known.stood
    of_group = stood[group]
    level = _levels(counts[:, past], exposure[:, past] * of_group)
    periods = there[:, past].sum(axis=1)
    fitted = level[:, None] * exposure[:, past] * of_group
    near = _winsorised(counts[:, past], fitted, there[:, past])
    excess, weight, strength = _excess(near, fitted, periods)
    if known is None:
        seen, usual = _standing(counts[:, last], level[:, None] * exposure[:, last], group)
        known = Groups(stood, seen, usual, _dispersion_of_groups(excess, weight, group))
    shrunk = (periods * excess + strength * known.dispersion[group]) / (periods + strength)
    dispersion = np.maximum(shrunk, 1e-4)
    # Relative variance of the level: that of its Poisson part and of its dispersed part.
    unsure = 1 / np.maximum(near.sum(axis=1), 0.5) + dispersion / np.maximum(periods, 1)
    alone = level[:, None] * exposure[:, last]
    mine = np.ones((len(level), 1)) if inside is None else inside[:, None].astype(np.float64)
    own = np.minimum(counts[:, last], _FAR * alone + _FAR)
    others = (known.seen[group] - own * mine + _GROUP) / (known.usual[group] - alone * mine + _GROUP)
    of_period = alone * others**follow
    expected = np.maximum(of_period.sum(axis=1), _LEAST)
    spread = dispersion * (of_period**2).sum(axis=1) / expected**2 + unsure
    as_group = (alone * others).sum(axis=1) / np.maximum(alone.sum(axis=1), _LEAST)
    return Judged(counts[:, last].sum(axis=1), expected, spread, as_group), known


def _stood(counts: Floats, exposure: Floats, past: slice, group: Ints, follow: float) -> Floats:
    """How each group stood in each past period, as far as customers follow it: 1 as usual."""
    level = _levels(counts[:, past], exposure[:, past])
    seen, usual = _standing(counts, level[:, None] * exposure, group)
    stood: Floats = (((seen + _GROUP) / (usual + _GROUP)) ** follow)[:, past]
    return stood


def _rhythms(counts: Floats, phase: Ints, group: Ints, cycle: int) -> Floats:
    """Usage in each phase of the cycle, 1 on average, shape (customers, cycle): own, shrunk to the group's."""
    if cycle == 1:
        return np.ones((len(counts), 1))
    by_phase = np.stack([counts[:, phase == each].sum(axis=1) for each in range(cycle)], axis=1)
    of_group = np.zeros((int(group.max(initial=0)) + 1, cycle))
    np.add.at(of_group, group, by_phase)
    of_group = (of_group + 1) / (of_group + 1).sum(axis=1, keepdims=True)
    mixed = by_phase + _RHYTHM * of_group[group]
    rhythm: Floats = cycle * mixed / mixed.sum(axis=1, keepdims=True)
    return rhythm


def _levels(counts: Floats, exposure: Floats) -> Floats:
    """Usage per period of a customer at a usual time; far counts are moved near before the mean is taken."""
    total = np.maximum(exposure.sum(axis=1), _LEAST)
    mean = counts.sum(axis=1) / total
    rates = np.where(exposure > 0, counts / np.maximum(exposure, _LEAST), np.nan)
    rates[np.isnan(rates).all(axis=1)] = 0.0
    middle = np.nanmedian(rates, axis=1) if rates.shape[1] else np.zeros(len(counts))
    # The median of small counts is coarse: the mean, which one large count cannot move far there, stands in.
    centre = np.where(middle >= 5, middle, mean)
    near = _winsorised(counts, centre[:, None] * exposure, (exposure > 0).astype(np.float64))
    level: Floats = near.sum(axis=1) / total
    return level


def _winsorised(counts: Floats, expected: Floats, there: Floats) -> Floats:
    """Counts no further than `_FAR` deviations from the expected ones, by the MAD but at least as Poisson counts."""
    off = np.where(there > 0, np.abs(counts - expected), np.nan)
    off[np.isnan(off).all(axis=1)] = 0.0
    mad = 1.4826 * np.nanmedian(off, axis=1, keepdims=True) if off.shape[1] else np.zeros((len(off), 1))
    far = _FAR * np.maximum(mad, np.sqrt(expected + 0.25))
    near: Floats = np.clip(counts, expected - far, expected + far) * there
    return near


def _standing(counts: Floats, expected: Floats, group: Ints) -> tuple[Floats, Floats]:
    """Sums that tell how each group stands in each period: seen and usual; no customer counts too much."""
    shape = (int(group.max(initial=0)) + 1, counts.shape[1])
    seen, usual = np.zeros(shape), np.zeros(shape)
    np.add.at(seen, group, np.minimum(counts, _FAR * expected + _FAR))
    np.add.at(usual, group, expected)
    return seen, usual


def _excess(counts: Floats, expected: Floats, periods: Floats) -> tuple[Floats, Floats, Floats]:
    """phi of each customer by moments, how much it says of the group's, and in how many periods the latter counts."""
    squares = (expected**2).sum(axis=1)
    excess = ((counts - expected) ** 2 - expected).sum(axis=1) / np.maximum(squares, _LEAST)
    excess = np.clip(np.where(squares > _LEAST, excess, 0.0), 0.0, 5.0)
    mean = expected.sum(axis=1) / np.maximum(periods, 1)
    # Customers with few counts say little of it.
    telling = (mean / (1 + mean)) ** 2
    return excess, periods * telling, _DISPERSION / np.maximum(telling, 1e-3)


def _dispersion_of_groups(excess: Floats, weight: Floats, group: Ints) -> Floats:
    groups = int(group.max(initial=0)) + 1
    found: Floats = (np.bincount(group, weight * excess, groups) + 0.1) / (np.bincount(group, weight, groups) + 1.0)
    return found


def _cumulative(count: Floats, expected: Floats, dispersion: Floats) -> Floats:
    """P(X <= count) of a negative binomial distribution, by the incomplete beta function."""
    shape = 1 / dispersion
    probability: Floats = np.where(
        count >= 0, betainc(shape, np.maximum(count, 0) + 1, 1 / (1 + dispersion * expected)), 0.0
    )
    return probability
