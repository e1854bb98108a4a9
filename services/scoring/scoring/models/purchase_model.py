"""What BG/NBD, MBG/NBD and Pareto/NBD have in common.

Customers are given by repeat purchases x, the time of the last one t_x and the time observed T, both since the first
purchase. Given that one is alive at T, the purchases to come depend on x and T alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from scoring.models.fitting import Floats, deviation
from scoring.models.summary import Ints

_STEP = 1e-4


class PurchaseModel(ABC):
    """A fitted model; times are in weeks."""

    NAME: ClassVar[str]
    covariance: Floats
    """Of the logarithms of the parameters."""
    log_likelihood: float
    """The density of purchase times, measured in weeks, of the `customers`."""
    customers: int
    """It was fitted to."""
    converged: bool
    at_bound: bool
    """A parameter ran to the search's bound."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, float]:
        """By the papers' names."""

    @abstractmethod
    def log_odds_of_death(self, x: Ints, recency: Floats, age: Floats) -> tuple[Floats, Floats]:
        """Per customer, -infinity where death is impossible; and its derivatives by the logarithms of the parameters.

        The latter's shape is (parameters, customers).
        """

    @abstractmethod
    def purchases_if_alive(self, x: Ints | Floats, age: Floats, weeks: float) -> Floats:
        """Purchases expected in the `weeks` after T, given that the customer is alive at T."""

    @abstractmethod
    def expected_purchases_of_new(self, weeks: Floats) -> Floats:
        """Purchases expected of anybody in the `weeks` after their first one."""

    def p_alive(self, x: Ints, recency: Floats, age: Floats) -> tuple[Floats, Floats]:
        """P(alive) and the standard error of its log odds, both per customer."""
        log_odds, gradient = self.log_odds_of_death(x, recency, age)
        return share_alive(log_odds), deviation(gradient, self.covariance)

    def expected_purchases(self, x: Ints, recency: Floats, age: Floats, weeks: float) -> Floats:
        """Purchases expected in the `weeks` after T, given what the customer did until T."""
        return self.purchases_if_alive(x, age, weeks) * self.p_alive(x, recency, age)[0]

    @cached_property
    def neighbours(self) -> Sequence[tuple["PurchaseModel", "PurchaseModel", float]]:
        """For each parameter the models a small step above and below, and the distance in its logarithm."""
        distance = float(np.log1p(_STEP) - np.log1p(-_STEP))
        return [(self.moved(name, 1 + _STEP), self.moved(name, 1 - _STEP), distance) for name in self.parameters]

    def moved(self, name: str, factor: float) -> "PurchaseModel":
        """The same model with one parameter multiplied."""
        model: Any = self
        changed: PurchaseModel = replace(model, **{name: self.parameters[name] * factor})
        return changed


def share_alive(log_odds_of_death: Floats) -> Floats:
    """P(alive)."""
    alive: Floats = 1 / (1 + np.exp(np.minimum(log_odds_of_death, 700)))
    return alive
