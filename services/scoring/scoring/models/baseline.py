"""Mean rates: what stands in where the data are too few to fit a model. Everybody is expected to do the same."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv  # type: ignore[import-untyped]

from scoring.models.fitting import Floats, significant, total
from scoring.models.outlook import Outlook, discount_factors
from scoring.models.summary import DAYS_PER_WEEK, Ints

_INTERVAL = 0.90
_WIDEST = 2.0
"""Largest standard error of a logarithm."""


@dataclass(frozen=True)
class MeanRate:
    """Purchases at one rate for all: repeat purchases by weeks observed, with Jeffreys' prior (half a purchase)."""

    repeats: int
    weeks: float
    """Weeks observed, summed over customers; at least one for each, so that first-day customers give no huge rate."""
    recent: int
    """Customers who bought within the horizon before `as_of`."""
    customers: int
    log_deviation: float = 0.0
    """Standard error of the rate's logarithm as customers differ; that of chance purchases at one rate is the least."""

    @classmethod
    def of(cls, x: Ints, recency_days: Ints, age_days: Ints, counts: Ints, horizon_weeks: int) -> "MeanRate":
        """From groups of customers and how many are in each; the standard error is that of a ratio."""
        customers = int(counts.sum())
        recent = int(counts @ (age_days - recency_days <= horizon_weeks * DAYS_PER_WEEK))
        weeks = max(int(counts @ age_days) / DAYS_PER_WEEK, float(max(customers, 1)))
        repeats = int(counts @ x)
        # Whoever buys often does so again and again: their purchases tell less of others than as many of many would.
        strays = total(counts, (x - (repeats + 0.5) / weeks * age_days / DAYS_PER_WEEK) ** 2)
        spread = np.sqrt(strays * customers / max(customers - 1, 1)) / (repeats + 0.5)
        return cls(repeats, weeks, recent, customers, significant(min(float(spread), _WIDEST)))

    @property
    def parameters(self) -> dict[str, float]:
        """Purchases a week and share of customers who bought lately."""
        return {"purchases_per_week": self.rate, "recent_share": (self.recent + 0.5) / (self.customers + 1)}

    @property
    def rate(self) -> float:
        """Repeat purchases of a customer in a week."""
        return (self.repeats + 0.5) / self.weeks

    def outlook(self, x: Ints, recency_days: Ints, age_days: Ints, horizon_weeks: int, annual: float) -> Outlook:
        """The same for everybody. P(alive) is the share of customers who bought within the horizon before `as_of`."""
        del recency_days, age_days
        alive = (self.recent + 0.5) / (self.customers + 1)
        tail = (1 - _INTERVAL) / 2
        low, high = betaincinv(self.recent + 0.5, self.customers - self.recent + 0.5, np.array([tail, 1 - tail]))
        discounted = self.rate * float(discount_factors(horizon_weeks, annual).sum())
        everybody = np.ones(len(x))
        deviation = everybody * max(self.log_deviation, float(1 / np.sqrt(self.repeats + 0.5)))
        return Outlook(
            alive=alive * everybody,
            alive_low=float(low) * everybody,
            alive_high=float(high) * everybody,
            purchases=self.rate * horizon_weeks * everybody,
            purchases_deviation=deviation,
            discounted=discounted * everybody,
            discounted_deviation=deviation,
            discounted_if_alive=discounted * everybody,
        )

    def usual_discounted(self, age_days: Ints, horizon_weeks: int, annual: float) -> Floats:
        """Expected of anybody of that age: the same again."""
        none = np.zeros(len(age_days), dtype=np.int64)
        return self.outlook(none, none, none, horizon_weeks, annual).discounted


@dataclass(frozen=True)
class MeanSpend:
    """One value of a purchase for all: revenue by purchase days, in minor units."""

    mean: float
    log_deviation: float
    customers: int

    @classmethod
    def of(cls, days: Ints, revenue: Ints, counts: Ints) -> "MeanSpend":
        """From groups of customers; its standard error is that of a ratio, 1 in the logarithm for a single customer."""
        customers, total_days, spent = int(counts.sum()), int(counts @ days), int(counts @ revenue)
        if spent <= 0:
            return cls(0.0, 0.0, customers)
        mean = spent / total_days
        if customers < 2:
            return cls(mean, 1.0, customers)
        squares = total(counts, (revenue - mean * days) ** 2) * customers / (customers - 1)
        return cls(mean, min(float(np.sqrt(squares)) / spent, 1.0), customers)

    @property
    def parameters(self) -> dict[str, float]:
        """Mean value of a purchase in minor units."""
        return {"mean_spend": self.mean}

    def expected_spend(self, x: Ints, spend: Ints) -> Floats:
        """The same for everybody."""
        del spend
        return np.full(len(x), self.mean)

    def expected_spend_deviation(self, x: Ints, spend: Ints) -> Floats:
        """Standard error of its logarithm."""
        del spend
        return np.full(len(x), self.log_deviation)


@dataclass(frozen=True)
class MeanChurn:
    """One probability of leaving at a renewal for all, with Jeffreys' prior (half a loss, half a renewal)."""

    losses: int
    decisions: int

    @property
    def parameters(self) -> dict[str, float]:
        """Share that leaves at a renewal."""
        return {"churn_rate": self.rate}

    @property
    def rate(self) -> float:
        """Share that leaves at a renewal."""
        return (self.losses + 0.5) / (self.decisions + 1)

    def retention(self, renewals: Ints) -> Floats:
        """The same at each renewal."""
        return np.full(len(renewals), 1 - self.rate)

    def survival(self, renewals: Ints, further: Ints | int) -> Floats:
        """Probability to come through `further` renewals."""
        return self.retention(renewals) ** further

    def survival_interval(self, renewals: Ints, further: Ints | int) -> tuple[Floats, Floats]:
        """Ends of its 90 percent interval."""
        everybody = np.ones(len(renewals))
        high, low = 1 - self._rates()
        return (low * everybody) ** further, (high * everybody) ** further

    def expected_renewals(self, renewals: Ints, periods: int, discount: float = 0.0) -> Floats:
        """Renewals expected within the next `periods`, discounted by period."""
        return np.full(len(renewals), _renewals(1 - self.rate, periods, discount))

    def expected_renewals_interval(self, renewals: Ints, periods: int, discount: float = 0.0) -> tuple[Floats, Floats]:
        """Ends of its 90 percent interval."""
        high, low = (_renewals(float(1 - rate), periods, discount) for rate in self._rates())
        return np.full(len(renewals), low), np.full(len(renewals), high)

    def _rates(self) -> Floats:
        """Ends of the rate's interval, the lower one first."""
        tail = (1 - _INTERVAL) / 2
        ends: Floats = betaincinv(self.losses + 0.5, self.decisions - self.losses + 0.5, np.array([tail, 1 - tail]))
        return ends


def _renewals(retention: float, periods: int, discount: float) -> float:
    return float(((retention / (1 + discount)) ** np.arange(1.0, periods + 1)).sum())
