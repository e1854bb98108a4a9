"""Whether items go together by more than chance: Fisher's exact test, and how many false finds there are (FDR)."""

import numpy as np
from scipy.special import gammaln  # type: ignore[import-untyped]

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_DONE = 1e-17
_Z = 1.959963984540054
"""Normal quantile of 97.5 %: intervals are of 95 %."""


def fisher(both: Ints, left: Ints, right: Ints, total: Ints) -> Floats:
    """P(at least `both` baskets hold both sides by chance), given how many hold each and how many there are.

    One-sided; the tail of the hypergeometric distribution, summed from `both` on by the ratio of one term to the next,
    relative error under 1e-8. All arguments have one element a rule. Underflows to 0 below about 1e-308.
    """
    p = np.ones(len(both))
    least = np.maximum(left + right - total, 0)
    # So many, or more, are there for certain where both sides hardly fit beside each other: nothing to sum.
    open_ = np.flatnonzero(both > least)
    k, n, m, of, low = both[open_], left[open_], right[open_], total[open_], least[open_]
    # The tail that does not hold the mode is short: below the mean, one minus the lower tail.
    upper = k.astype(np.float64) * of >= n.astype(np.float64) * m
    first = np.where(upper, k, k - 1)
    sums = _tail(first, np.where(upper, 1, -1), n, m, of, low, np.minimum(n, m))
    sums *= np.exp(np.minimum(_log_term(first, n, m, of), 0.0))
    p[open_] = np.clip(np.where(upper, sums, 1 - sums), 0.0, 1.0)
    return p


def _log_term(k: Ints, left: Ints, right: Ints, total: Ints) -> Floats:
    def log_binomial(n: Ints, m: Ints) -> Floats:
        value: Floats = gammaln(n + 1.0) - gammaln(m + 1.0) - gammaln(n - m + 1.0)
        return value

    term: Floats = log_binomial(right, k) + log_binomial(total - right, left - k) - log_binomial(total, left)
    return term


def _tail(first: Ints, step: Ints, left: Ints, right: Ints, total: Ints, least: Ints, most: Ints) -> Floats:
    """The sum of terms from `first` on, upwards or downwards by `step`, relative to the first one."""
    sums, term, k = np.ones(len(first)), np.ones(len(first)), first.astype(np.float64)
    n, m, rest = (column.astype(np.float64) for column in (left, right, total - left - right))
    going = np.flatnonzero(np.where(step > 0, first < most, first > least))
    while len(going):
        j, a, b, c = k[going], n[going], m[going], rest[going]
        rising = (a - j) * (b - j) / ((j + 1) * (c + j + 1))
        falling = j * (c + j) / ((a - j + 1) * (b - j + 1))
        term[going] *= np.where(step[going] > 0, rising, falling)
        sums[going] += term[going]
        k[going] += step[going]
        ended = np.where(step[going] > 0, k[going] >= most[going], k[going] <= least[going])
        going = going[~ended & (term[going] > _DONE * sums[going])]
    return sums


def false_discovery(p: Floats, tested: int) -> Floats:
    """Benjamini and Hochberg (1995, JRSS B 57:1): the least rate of false finds at which each test counts as a find.

    tested: how many tests were made; those whose p is not given count as never found. Ties have equal values. The rate
    holds for independent or positively dependent tests.
    """
    if tested < len(p):
        raise ValueError(f"tested: {tested} tests, but there are {len(p)} p-values")
    order = np.argsort(p, kind="stable")
    steps = p[order] * (tested / np.arange(1, len(p) + 1))
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return q


def leverage(both: Ints, left: Ints, right: Ints, total: int) -> tuple[Floats, Floats, Floats]:
    """Share of baskets beyond those expected by chance, P(both) - P(left) P(right), and its interval of 95 %.

    The large-sample variance of the multinomial estimate (Weir 1979, Biometrics 35:1).
    """
    p, q = left / total, right / total
    value = both / total - p * q
    variance = (p * (1 - p) * q * (1 - q) + value * (1 - 2 * p) * (1 - 2 * q) - value**2) / total
    half = _Z * np.sqrt(np.maximum(variance, 0.0))
    return value, value - half, value + half


def share(part: Ints, whole: Ints) -> tuple[Floats, Floats]:
    """Interval of 95 % of a share by Wilson (1927): where the true one may lie, given `part` of `whole`."""
    n = np.maximum(whole, 1).astype(np.float64)
    estimate, z2 = part / n, _Z**2
    centre = (estimate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * np.sqrt(estimate * (1 - estimate) / n + z2 / (4 * n**2))
    # The ends of nothing and of all are exact, whatever the rounding.
    return np.where(part == 0, 0.0, centre - half), np.where(part == n, 1.0, centre + half)
