"""The named groups of recency, frequency and monetary value, where customers form no clusters of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.models.fitting import Floats
from scoring.models.rfm import SEGMENT_NAMES, Bounds, Scales, Scored
from scoring.models.summary import Ints

_MEASURES = ("recency", "frequency", "monetary")


@dataclass(frozen=True)
class RfmGroups:
    """Groups of customers by `models.rfm`, made of the first three of the CUSTOMER_FEATURES (no logarithms)."""

    scales: Scales

    @classmethod
    def of(cls, values: Floats) -> "RfmGroups":
        """With bounds that are the quintiles of these customers."""
        return cls(Scales(*(Bounds.of(*np.unique(each, return_counts=True)) for each in _measures(values))))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all groups."""
        return SEGMENT_NAMES

    def assign(self, values: Floats) -> Scored:
        """The classes and the group of each row."""
        return self.scales.scored(*_measures(values))

    def reasons(self, values: Floats, scored: Scored) -> list[tuple[str, ...]]:
        """Why each row is in its group, in words."""
        ago, days, _ = _measures(values)
        return [
            (
                f"bought last {-since} {'day' if since == -1 else 'days'} ago: class {r} of 5",
                f"bought on {often} {'day' if often == 1 else 'days'} of the last 365: class {f} of 5",
                f"what that brought: class {m} of 5",
            )
            for since, often, r, f, m in zip(
                *(each.tolist() for each in (ago, days, scored.r, scored.f, scored.m)), strict=True
            )
        ]

    def as_json(self) -> dict[str, Any]:
        """The bounds as JSON holds them."""
        return {name: list(getattr(self.scales, name).upper) for name in _MEASURES}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RfmGroups":
        """What `as_json` made."""
        return cls(Scales(*(Bounds(tuple(stored[name])) for name in _MEASURES)))


def _measures(values: Floats) -> tuple[Ints, Ints, Ints]:
    """Days since the last purchase, negated: whole ones; days with a purchase; revenue in minor units."""
    whole = np.nan_to_num(np.maximum(values[:, :3], 0.0)).astype(np.int64)
    return -whole[:, 0], whole[:, 1], whole[:, 2]
