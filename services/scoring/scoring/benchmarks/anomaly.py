"""Usage drops and fraud: false alarms against the stated rate, and how many planted drops are found how soon.

Simulated customers (Poisson counts with a rate of their own that varies and drifts, a season for all, one year of
weeks), and weekly orders of Online Retail: of its customers, countries and products. The naive peer alarms when a week
is so many standard deviations under the mean of the customer's past as a normal distribution exceeds at that rate;
it is judged at its nominal rate, and again at the threshold that gives it the same false alarms.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import norm  # type: ignore[import-untyped]

from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models import anomaly, fraud
from scoring.models.anomaly.baseline import Usage
from scoring.models.fitting import Floats
from scoring.models.fraud import Payment, features_of

_RATE = 0.005
_CURRENCY = "EUR"
_SERIES = (("customers", "CustomerID"), ("countries", "Country"), ("products", "StockCode"))
_RETAIL = "Online Retail, weekly orders"
_KEPT = 0.2
"""A planted drop leaves this share of the usage."""
_WEEKS = 4
_LEAST_DROPS = 10
"""Fewer planted drops tell nothing of how many are found."""

MARKS = (
    *(
        Mark(data=data, metric=f"false alarms of {side}s a customer-week", at_most=_RATE, source="stated to the tenant")
        # Products leave the range, and not only by chance: their alarms are not all false.
        for data in (
            "simulated, *",
            *(f"Online Retail, weekly orders of {kind}" for kind in ("customers", "countries")),
        )
        for side in ("drop", "surge")
    ),
    Mark(
        data="simulated payments",
        metric="fraud: false alarms a payment",
        at_most=fraud.RATE,
        source="stated to the tenant",
    ),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Lines of the simulation and of the three kinds of series."""
    yield from _fraud()
    yield from _judge("simulated, 3,000 customers", _simulated(3_000, 60), 50)
    for kind, column in _SERIES:
        usage = _orders(data, column)
        yield from _judge(f"{_RETAIL} of {kind}", usage, usage.counts.shape[1] - 10)


def _fraud() -> Iterator[Line]:
    """Payments of 2,000 honest accounts, learnt from one stream and judged on another; then stolen accounts."""

    def line(metric: str, value: float, reference: float | None = None, note: str | None = None) -> Line:
        called = f"fraud: {metric}"
        return Line(
            task="anomaly", data="simulated payments", metric=called, value=value, reference=reference, note=note
        )

    seen, new = (_features(_payments(seed)) for seed in (1, 2))
    model = fraud.train(seen, _CURRENCY)
    alarms = sum(fraud.score(model, features, _CURRENCY).alarm for features in new) / len(new)
    note = f"{len(new)} payments; broken rules alone {model.rule_rate:.5f}"
    yield line("false alarms a payment", alarms, fraud.RATE, note)
    known = _by_account(_payments(3))
    # Thieves pay every two minutes with the account's own card, half as much again as is usual, to one address.
    delays = []
    for stolen in range(200):
        thefts = [
            Payment(10 * 86_400_000 + 120_000 * step, f"f{step}", 6_000, _CURRENCY, f"{stolen}-0", "drop")
            for step in range(20)
        ]
        told = features_of([*known[str(stolen)], *thefts])[-len(thefts) :]
        for step, features in enumerate(told):
            if fraud.score(model, features, _CURRENCY).alarm:
                delays.append(step + 1)
                break
    yield line("stolen accounts found within 20 payments", len(delays) / 200)
    yield line("payments until the alarm, median", float(np.median(delays or [20])))


def _features(payments: list[tuple[str, Payment]]) -> list[fraud.Features]:
    return [features for account in _by_account(payments).values() for features in features_of(account)]


def _by_account(payments: list[tuple[str, Payment]]) -> dict[str, list[Payment]]:
    """The payments of each account, in their order."""
    found: dict[str, list[Payment]] = defaultdict(list)
    for account, payment in payments:
        found[account].append(payment)
    return found


def _payments(seed: int) -> list[tuple[str, Payment]]:
    """Ten days of some payments a day, at any time, a tenth with another card or to another address."""
    rng = np.random.default_rng(seed)
    accounts, count = 2_000, 40_000
    often = rng.gamma(1.0, 1.0, accounts)
    account = rng.choice(accounts, count, p=often / often.sum())
    at = np.sort(rng.uniform(0, 10 * 86_400, count))
    amount = rng.lognormal(8.2, 0.8, count).astype(np.int64)
    card, address = rng.random((2, count)) < 0.1
    columns = zip(account.tolist(), at.tolist(), amount.tolist(), card.tolist(), address.tolist(), strict=True)
    return [
        (
            str(who),
            Payment(int(when * 1_000), str(number), spent, _CURRENCY, f"{who}-{int(other)}", f"{who}-{int(away)}"),
        )
        for number, (who, when, spent, other, away) in enumerate(columns)
    ]


def _judge(called: str, usage: Usage, start: int) -> Iterator[Line]:
    """Trains before period `start` and judges those after; then plants drops in a fifth of the series."""

    def line(metric: str, value: float, **more: float | str | None) -> Line:
        return Line(task="anomaly", data=called, metric=metric, value=value, **more)  # type: ignore[arg-type]

    end = usage.counts.shape[1]
    # Each week the thresholds are learnt from the weeks before it.
    detectors = [anomaly.train(usage.until(until), rate=_RATE) for until in range(start, end)]
    found = [anomaly.detect(each, usage.until(until)) for until, each in enumerate(detectors, start + 1)]
    detector = detectors[end - _WEEKS - start]
    judged = np.stack([each.judged for each in found])
    weeks = int(judged.sum())
    note = f"{weeks} customer-weeks; {detector.messages[0]}" if detector.messages else f"{weeks} customer-weeks"
    naive = np.stack([_z(usage.until(until)) for until in range(start + 1, end + 1)])
    nominal = float(norm.ppf(_RATE))
    alarms = float(np.stack([each.drop for each in found])[judged].mean())
    yield line(
        "false alarms of drops a customer-week",
        alarms,
        reference=_RATE,
        peer="z-score",
        peer_value=float((naive[judged] < nominal).mean()),
        note=note,
    )
    surges = float(np.stack([each.surge for each in found])[judged].mean())
    yield line(
        "false alarms of surges a customer-week",
        surges,
        reference=_RATE,
        peer="z-score",
        peer_value=float((naive[judged] > -nominal).mean()),
        note=note,
    )
    same = float(np.sort(naive[judged])[int(alarms * weeks)])
    rng = np.random.default_rng(11)
    dropped = rng.random(len(usage.counts)) < 0.2
    counts = usage.counts.copy()
    onset = end - _WEEKS
    counts[:, onset:] = np.where(dropped[:, None], rng.binomial(counts[:, onset:], _KEPT), counts[:, onset:])
    planted = Usage(counts, usage.first, usage.group, usage.cycle)
    before = anomaly.detect(detector, usage.until(onset))
    # Who already was in alarm, or could not be seen to stop, shows nothing of the drop.
    shown = dropped & before.drop_tellable & ~before.drop
    yield line("share of series of which a stop could be seen within the week", float(before.drop_tellable.mean()))
    hit = np.zeros((_WEEKS, len(counts)), dtype=bool)
    peer = np.zeros_like(hit)
    for week in range(_WEEKS):
        seen = planted.until(onset + week + 1)
        hit[week] = anomaly.detect(detector, seen).drop
        peer[week] = _z(seen) < same
    if shown.sum() < _LEAST_DROPS:
        return
    for week in (1, 2, _WEEKS):
        yield line(
            f"planted drops of {100 * (1 - _KEPT):.0f} % found within {week} weeks",
            float(hit[:week, shown].any(axis=0).mean()),
            peer="z-score at as many false alarms",
            peer_value=float(peer[:week, shown].any(axis=0).mean()),
            note=f"{int(shown.sum())} drops",
        )


def _z(usage: Usage) -> Floats:
    """The last week against mean and deviation of the customer's weeks before, at most 26."""
    past = usage.counts[:, max(0, usage.counts.shape[1] - 27) : -1].astype(np.float64)
    past[np.arange(usage.counts.shape[1] - past.shape[1] - 1, usage.counts.shape[1] - 1) < usage.first[:, None]] = (
        np.nan
    )
    known = np.maximum((~np.isnan(past)).sum(axis=1), 1)
    mean = np.nansum(past, axis=1) / known
    spread = np.sqrt(np.nansum((past - mean[:, None]) ** 2, axis=1) / np.maximum(known - 1, 1))
    last = usage.counts[:, -1]
    return np.where(spread > 0, (last - mean) / np.maximum(spread, 1e-9), np.where(last < mean, -np.inf, 0.0))


def _simulated(customers: int, weeks: int) -> Usage:
    rng = np.random.default_rng(7)
    level = np.exp(rng.uniform(np.log(0.3), np.log(80), customers))
    drift = np.exp(np.cumsum(rng.normal(0, 0.03, (customers, weeks)), axis=1))
    season = 1 + 0.3 * np.sin(2 * np.pi * np.arange(weeks) / 52)
    dispersion = rng.uniform(0.02, 0.5, customers)[:, None]
    rate = rng.gamma(1 / dispersion, dispersion, (customers, weeks))
    first = np.where(rng.random(customers) < 0.2, rng.integers(0, weeks, customers), 0)
    return Usage(rng.poisson(level[:, None] * drift * season * rate), first, rng.integers(0, 3, customers))


def _orders(data: DataFolder, column: str) -> Usage:
    """Invoices of each whole week that name the customer, country or product; the shop closed from 24 December on."""
    table = pq.read_table(
        data.file("online-retail", "online_retail.parquet"),
        columns=sorted({"InvoiceNo", "InvoiceDate", "CustomerID", column}),
    )
    invoice: NDArray[np.str_] = table["InvoiceNo"].to_numpy(zero_copy_only=False).astype(str)
    known = ~np.isnan(table["CustomerID"].to_numpy(zero_copy_only=False))
    kept = np.flatnonzero(known & ~np.char.startswith(invoice, "C"))
    name = table[column].to_numpy(zero_copy_only=False)[kept]
    day = table["InvoiceDate"].to_numpy(zero_copy_only=False)[kept].astype("datetime64[D]").astype(np.int64)
    # From Monday 2011-01-10, when the shop was back from its holidays, to the last whole week.
    since = day - int(np.datetime64("2011-01-10").astype(np.int64))
    week = since // 7
    whole = np.flatnonzero((since >= 0) & (week < int(since.max()) // 7))
    code, number = (np.unique(part[whole], return_inverse=True)[1] for part in (name.astype(str), invoice[kept]))
    rows = np.unique(np.stack([code, week[whole], number]), axis=1)
    counts = np.zeros((int(code.max()) + 1, int(week[whole].max()) + 1), dtype=np.int64)
    np.add.at(counts, (rows[0], rows[1]), 1)
    return Usage(counts, (counts > 0).argmax(axis=1), np.zeros(len(counts), dtype=np.int64))
