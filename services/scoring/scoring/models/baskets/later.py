"""Whether rules hold in baskets they were not found in."""

from dataclasses import dataclass

import numpy as np

from scoring.models.baskets.encoding import Baskets
from scoring.models.baskets.rules import Rules
from scoring.models.fitting import Floats
from scoring.models.summary import Ints


@dataclass(frozen=True)
class Later:
    """What became of each rule; see `Rules` for the counts."""

    baskets: int
    both: Ints
    left_count: Ints
    right_count: Ints
    expected: Floats
    """Common baskets if the rule's confidence still held."""

    @property
    def holding(self) -> float:
        """Share of rules, of those whose left side was bought at all, with more common baskets than by chance."""
        seen = self.left_count > 0
        surplus = self.both * self.baskets - self.left_count * self.right_count
        return float((surplus[seen] > 0).mean()) if seen.any() else 0.0

    @property
    def kept(self) -> float:
        """Common baskets of all rules together, as a share of those expected: 1 when confidence carries over."""
        expected = float(np.add.reduce(self.expected))
        return float(self.both.sum()) / expected if expected else 0.0


def evaluate(rules: Rules, later: Baskets) -> Later:
    """Counts each rule again in baskets that had no part in finding it; items are matched by id."""
    code = np.searchsorted(rules.names, later.names)
    known = np.flatnonzero(np.isin(later.names, rules.names))
    holds = np.zeros((len(rules.names) + 1, -(-max(len(later), 1) // 8)), dtype=np.uint8)
    basket = np.repeat(np.arange(len(later)), later.lengths)
    cells = np.zeros(max(len(later), 1), dtype=np.bool_)
    order = np.argsort(later.items, kind="stable")
    bounds = np.searchsorted(later.items[order], np.arange(len(later.names) + 1))
    for item in known:
        cells[:] = False
        cells[basket[order[bounds[item] : bounds[item + 1]]]] = True
        holds[code[item]] = np.packbits(cells)
    holds[-1] = np.packbits(np.ones_like(cells))
    left = np.zeros(len(rules), dtype=np.int64)
    both = np.zeros(len(rules), dtype=np.int64)
    for number, (items, right) in enumerate(zip(rules.left, rules.right, strict=True)):
        # -1 stands for no item, and the last row holds every basket.
        of_left = np.bitwise_and.reduce(holds[items], axis=0)
        left[number] = np.bitwise_count(of_left).sum(dtype=np.int64)
        both[number] = np.bitwise_count(of_left & holds[right]).sum(dtype=np.int64)
    every = np.bitwise_count(holds).sum(axis=1, dtype=np.int64)
    return Later(len(later), both, left, every[rules.right], left * rules.confidence)
