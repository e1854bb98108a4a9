"""Rules on Groceries (Hahsler et al. 2006) and Online Retail (UCI), beside mlxtend in the same run."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np

from scoring.benchmarks.datasets import DataFolder, from_each
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models.baskets import Baskets, Rules, derive, evaluate, frequent, least_count
from scoring.models.summary import Ints

T = TypeVar("T")
TASK = "baskets"
COUNTS = (("0.006", "0.25", 463), ("0.001", "0.5", 5668), ("0.001", "0.8", 410))
"""Support, confidence, and how many rules of at least two items there are (arules)."""
HOLDOUT_DAYS = 90

MARKS = (
    *(
        Mark(data="groceries", metric=f"rules at {support}/{confidence}", equal=count, source="arules (Hahsler 2006)")
        for support, confidence, count in COUNTS
    ),
    Mark(
        data="groceries",
        metric="significant rules after shuffling each item at 0.001/0",
        equal=0,
        source="whatever is found then is false",
    ),
    Mark(data="online-retail", metric="seconds at 0.01/0.5", at_most=1.0, source="stated; mlxtend hmine takes 2.0"),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Both data sets; what is missing is raised after the lines of the other one."""
    yield from from_each(data, _groceries, _online_retail)


def _groceries(data: DataFolder) -> Iterator[Line]:
    # Blanks inside names are part of them.
    text = data.file("groceries", "groceries.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines()]
    names, item = np.unique([name for row in rows for name in row], return_inverse=True)
    baskets = Baskets.of(np.repeat(np.arange(len(rows)), [len(row) for row in rows]), item, names)
    for support, confidence, reference in COUNTS:
        ours, peer = _timed(lambda: _rules(baskets, support, confidence)), _peer(baskets, support, confidence)  # noqa: B023
        at = f"{support}/{confidence}"
        yield Line(
            task=TASK,
            data="groceries",
            metric=f"rules at {at}",
            value=len(ours.result),
            reference=reference,
            peer="mlxtend fpgrowth",
            peer_value=len(peer.result),
            note=_difference(ours.result, peer.result),
        )
        yield _seconds("groceries", at, ours, peer, "mlxtend fpgrowth", None)
        yield from _filtered("groceries", at, ours.result)
    yield _by_chance(baskets)


def _by_chance(baskets: Baskets) -> Line:
    """Every item put into as many baskets as it was in, but into any: whatever is found now is false."""
    rng = np.random.default_rng(1)
    basket = [rng.choice(len(baskets), count, replace=False) for count in baskets.counts.tolist()]
    item = np.repeat(np.arange(len(baskets.names)), baskets.counts)
    rules = _rules(Baskets.of(np.concatenate(basket), item, baskets.names, len(baskets)), "0.001", "0")
    return Line(
        task=TASK,
        data="groceries",
        metric="significant rules after shuffling each item at 0.001/0",
        value=len(rules.significant()),
        reference=0,
        note=f"of {len(rules):,} rules, {int((rules.lift > 1.5).sum()):,} with lift over 1.5",
    )


def _online_retail(data: DataFolder) -> Iterator[Line]:
    import pyarrow.parquet as pq

    columns = ["InvoiceNo", "StockCode", "InvoiceDate", "CustomerID"]
    table = pq.read_table(data.file("online-retail", "online_retail.parquet"), columns=columns).to_pandas()
    table = table[table["CustomerID"].notna() & ~table["InvoiceNo"].str.startswith("C")]
    invoice, _ = table["InvoiceNo"].factorize()
    item, names = table["StockCode"].factorize()
    days = (table["InvoiceDate"].max() - table["InvoiceDate"]).dt.days.to_numpy()
    codes = np.array(names, dtype=np.str_)
    encoded = _timed(lambda: Baskets.of(invoice, item, codes))
    baskets, at = encoded.result, "0.01/0.5"
    ours, peer = _timed(lambda: _rules(baskets, "0.01", "0.5")), _peer(baskets, "0.01", "0.5", "hmine")
    yield Line(
        task=TASK,
        data="online-retail",
        metric=f"rules at {at}",
        value=len(ours.result),
        peer="mlxtend hmine",
        peer_value=len(peer.result),
        note=f"{len(baskets):,} baskets, {len(codes):,} items; {_difference(ours.result, peer.result)}",
    )
    yield _seconds("online-retail", at, ours, peer, "mlxtend hmine", 1.0)
    yield Line(
        task=TASK,
        data="online-retail",
        metric="seconds to encode",
        value=encoded.seconds,
        note=f"{len(invoice):,} rows in any order to baskets; the seconds of rules come on top, the peer's as well",
    )
    yield from _filtered("online-retail", at, ours.result)
    yield from _holding(invoice, item, codes, days >= HOLDOUT_DAYS)


def _holding(invoice: Ints, item: Ints, codes: np.ndarray, early: np.ndarray) -> Iterator[Line]:
    """Rules of the early baskets, counted again in the baskets of the last days: does the filter tell which hold?"""
    before = Baskets.of(invoice[early], item[early], codes)
    after = Baskets.of(invoice[~early], item[~early], codes)
    # Low support and any confidence, so that there is something to filter.
    found = derive(frequent(before, 10, longest=2), before.names, Fraction(0))
    kept = found.q_value <= 0.05
    for name, rules in (("significant rules", found.where(kept)), ("rules not significant", found.where(~kept))):
        later = evaluate(rules, after)
        yield Line(
            task=TASK,
            data="online-retail",
            metric=f"share of {name} that hold in the last {HOLDOUT_DAYS} days",
            value=later.holding,
            note=f"{len(rules):,} pairs in 10 baskets and more; common baskets there as a share of those expected "
            f"{later.kept:.3f}",
        )


@dataclass(frozen=True)
class _Run(Generic[T]):
    result: T
    seconds: float


def _timed(work: Callable[[], T], times: int = 3) -> _Run[T]:
    """The fastest of some runs: what others do on the machine only adds."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return _Run(result, min(seconds))


def _rules(baskets: Baskets, support: str, confidence: str) -> Rules:
    itemsets = frequent(baskets, least_count(Fraction(support), len(baskets)))
    return derive(itemsets, baskets.names, Fraction(confidence))


_Sides = tuple[frozenset[str], str]


def _peer(baskets: Baskets, support: str, confidence: str, method: str = "fpgrowth") -> _Run[set[_Sides]]:
    """Rules of mlxtend with one item on the right, from the same baskets as the table it wants; one run."""
    import pandas as pd
    from mlxtend import frequent_patterns

    cells = np.zeros((len(baskets), len(baskets.names)), dtype=np.bool_)
    cells[np.repeat(np.arange(len(baskets)), baskets.lengths), baskets.items] = True
    table = pd.DataFrame(cells, columns=baskets.names.tolist())

    def work() -> set[_Sides]:
        itemsets = getattr(frequent_patterns, method)(table, min_support=float(support), use_colnames=True)
        found = frequent_patterns.association_rules(itemsets, metric="confidence", min_threshold=float(confidence))
        single = found["consequents"].map(len) == 1
        sides = zip(found.loc[single, "antecedents"], found.loc[single, "consequents"], strict=True)
        return {(frozenset(left), next(iter(right))) for left, right in sides}

    return _timed(work, times=1)


def _difference(rules: Rules, peer: set[_Sides]) -> str:
    """Which rules the peer has not, with the counts that decide."""
    names, lost = rules.names, []
    for rule in range(len(rules)):
        left = frozenset(str(names[code]) for code in rules.left[rule] if code >= 0)
        if (left, str(names[rules.right[rule]])) not in peer:
            lost.append(f"{rules.both[rule]} of {rules.left_count[rule]}")
    extra = len(peer) - (len(rules) - len(lost))
    if not lost and not extra:
        return "the same rules"
    return (
        f"the peer loses {len(lost)} rules that just reach the confidence, by dividing rounded shares "
        f"({', '.join(sorted(set(lost)))}), and has {extra} others"
    )


def _seconds(
    data: str, at: str, ours: _Run[Rules], peer: _Run[set[_Sides]], name: str, reference: float | None
) -> Line:
    return Line(
        task=TASK,
        data=data,
        metric=f"seconds at {at}",
        value=ours.seconds,
        reference=reference,
        peer=name,
        peer_value=peer.seconds,
        note="itemsets, rules and both significance tests; the peer without tests",
    )


def _filtered(data: str, at: str, rules: Rules) -> Iterator[Line]:
    yield Line(
        task=TASK,
        data=data,
        metric=f"significant rules at {at}",
        value=len(rules.significant()),
        note=f"false discovery rate 5 % over {rules.tested:,} rules tested; {len(rules.productive())} of them need "
        "every item on the left",
    )
