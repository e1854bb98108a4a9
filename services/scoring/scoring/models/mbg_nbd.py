"""MBG/NBD: BG/NBD where one may drop out at the first purchase too (Batislam, Denizel, Filiztekin 2007, International
Journal of Research in Marketing 24:3; Wagner and Hoppe 2008, Marketing Science 27:6, with erratum).

Customers who never came back are therefore not alive for certain. All else is as in `bg_nbd`: given that one is alive
after x repeat purchases, the probability of dropping out follows beta(a, b + x + 1).
"""

from dataclasses import dataclass
from typing import ClassVar

from scoring.models import bg_nbd
from scoring.models.bg_nbd import BgNbd
from scoring.models.fitting import Histories
from scoring.models.summary import Ints


@dataclass(frozen=True)
class MbgNbd(BgNbd):
    """A fitted model. `covariance` is that of the logarithms of (r, alpha, a, b)."""

    NAME: ClassVar[str] = "mbg_nbd"
    FIRST: ClassVar[int] = 1


def fit(x: Ints, recency_days: Ints, age_days: Ints, counts: Ints | None = None) -> MbgNbd:
    """The model of greatest likelihood; see `bg_nbd.fit`. Raises ValueError without a customer who came back."""
    return bg_nbd.fit_kind(MbgNbd, Histories.of(x, recency_days, age_days, counts))
