"""k-means groups of customers: closeness and time beside scikit-learn, and how stable groups and names are.

RAPPORT_BENCH_CUSTOMERS sets the size of the generated table.
"""

import os
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score

from scoring.benchmarks.children import measured
from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models import clustering
from scoring.models.clustering import CUSTOMER_FEATURES, Clusters, Feature, Scaling
from scoring.models.fitting import Floats
from scoring.models.summary import PurchaseDays, Summary

_K = 8
_COLUMNS = 8
_BOOTSTRAPS = 10
_RETAIL = ("online-retail", "online_retail.parquet")

MARKS = tuple(
    Mark(data=data, metric="inertia", peer=peer, at_most=1.001, times_peer=True, source="several starts, same run")
    for data, peer in (
        ("generated *", "scikit-learn KMeans, 5 starts"),
        ("Online Retail, *", "scikit-learn KMeans, 50 starts"),
    )
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Lines on a generated table of 8 columns, then on Online Retail."""
    customers = int(os.environ.get("RAPPORT_BENCH_CUSTOMERS", "1000000"))
    yield from _generated(customers)
    yield from _retail(data)


def _generated(customers: int) -> Iterator[Line]:
    name = f"generated {customers} x {_COLUMNS}, k = {_K}"
    found = measured(ours, customers, one_thread=True)
    peers = {
        "scikit-learn KMeans, 1 start": measured(lloyd, customers, 1, one_thread=True),
        "scikit-learn KMeans, 5 starts": measured(lloyd, customers, 5, one_thread=True),
        "scikit-learn MiniBatchKMeans, 5 starts": measured(mini_batches, customers, 5, one_thread=True),
    }
    for peer, seen in peers.items():
        yield Line(
            task="clustering",
            data=name,
            metric="inertia",
            value=found.result["inertia"],
            peer=peer,
            peer_value=seen.result["inertia"],
            note=f"{found.result['inertia'] / seen.result['inertia'] - 1:+.3%}",
        )
        yield Line(
            task="clustering",
            data=name,
            metric="seconds to fit",
            value=found.result["seconds"],
            peer=peer,
            peer_value=seen.result["seconds"],
            note=f"{found.result['seconds'] / seen.result['seconds']:.2f} times the peer, one thread each",
        )


def table(customers: int) -> Floats:
    """Groups of unequal size that overlap, and a few giants; the same for the same number."""
    rng = np.random.default_rng(11)
    centres = rng.normal(0, 2.2, (_K + 3, _COLUMNS))
    kind = rng.choice(len(centres), customers, p=rng.dirichlet(np.full(len(centres), 3.0)))
    values: Floats = centres[kind] + rng.normal(0, 1, (customers, _COLUMNS))
    values[rng.random(customers) < 1e-4] *= 20
    return values


def _features() -> list[Feature]:
    return [Feature(f"feature {number}", f"low {number}", f"high {number}") for number in range(_COLUMNS)]


def ours(customers: str) -> dict[str, float]:
    """Inertia in scaled units, and seconds without making the table."""
    values = table(int(customers))
    began = time.perf_counter()
    model = clustering.fit(values, _features(), k=_K)
    return {"seconds": time.perf_counter() - began, "inertia": clustering.evaluate(model, values).inertia}


def lloyd(customers: str, starts: str) -> dict[str, float]:
    """On the table scaled as ours."""
    values = table(int(customers))
    began = time.perf_counter()
    found = KMeans(_K, n_init=int(starts), random_state=1).fit(Scaling.of(values).scaled(values))
    return {"seconds": time.perf_counter() - began, "inertia": float(found.inertia_)}


def mini_batches(customers: str, starts: str) -> dict[str, float]:
    """On the table scaled as ours."""
    values = table(int(customers))
    began = time.perf_counter()
    found = MiniBatchKMeans(_K, n_init=int(starts), batch_size=4_096, random_state=1).fit(
        Scaling.of(values).scaled(values)
    )
    return {"seconds": time.perf_counter() - began, "inertia": float(found.inertia_)}


def _retail(data: DataFolder) -> Iterator[Line]:
    months = _by_month(data)
    values = months[-1]
    model = clustering.fit(values, CUSTOMER_FEATURES)
    k = len(model.centroids)
    name = f"Online Retail, {len(values)} customers, k = {k}"
    seen = clustering.evaluate(model, values)
    peer = KMeans(k, n_init=50, random_state=3).fit(model.scaling.scaled(values))
    yield Line(
        task="clustering",
        data=name,
        metric="inertia",
        value=seen.inertia,
        peer="scikit-learn KMeans, 50 starts",
        peer_value=float(peer.inertia_),
    )
    shares = ", ".join(f"{called}: {share:.0%}" for called, share in zip(model.names, seen.shares, strict=True))
    yield Line(task="clustering", data=name, metric="silhouette (simplified)", value=seen.silhouette, note=shares)
    for count in (k, 5):
        yield from _stability(f"Online Retail, {len(values)} customers, k = {count}", months, count)


def _stability(name: str, months: list[Floats], k: int) -> Iterator[Line]:
    """Retrains on resampled customers and on the following month; agreement of groups and of names."""
    values = months[-1]
    model = clustering.fit(values, CUSTOMER_FEATURES, k=k)
    mine = model.assign(values).cluster
    rng = np.random.default_rng(5)
    agreements, kept = [], []
    for number in range(_BOOTSTRAPS):
        drawn = values[rng.integers(0, len(values), len(values))]
        other = clustering.fit(drawn, CUSTOMER_FEATURES, k=k, previous=model, seed=number + 2)
        agreements.append(adjusted_rand_score(mine, other.assign(values).cluster))
        kept.append(_kept(model, other))
    yield Line(
        task="clustering",
        data=name,
        metric="adjusted Rand index over bootstraps, mean",
        value=float(np.mean(agreements)),
        note=f"least of {_BOOTSTRAPS}: {min(agreements):.3f}",
    )
    yield Line(task="clustering", data=name, metric="names kept over bootstraps", value=float(np.mean(kept)))
    last = clustering.fit(months[0], CUSTOMER_FEATURES, k=k)
    same, agreed = [], []
    for before, month in pairwise(months):
        model = clustering.fit(month, CUSTOMER_FEATURES, k=k, previous=last)
        same.append(_kept(last, model))
        # The customers known a month ago come first, in the same order.
        agreed.append(adjusted_rand_score(last.assign(before).cluster, model.assign(month[: len(before)]).cluster))
        last = model
    yield Line(
        task="clustering",
        data=name,
        metric="names kept over monthly retrains",
        value=float(np.mean(same)),
        note=f"least of {len(same)}: {min(same):.2f}",
    )
    yield Line(
        task="clustering",
        data=name,
        metric="adjusted Rand index over monthly retrains, mean",
        value=float(np.mean(agreed)),
        note=f"least: {min(agreed):.3f}; customers themselves move between months",
    )


def _kept(before: Clusters, after: Clusters) -> float:
    """Share of the clusters that have their id and name from before."""
    pairs = set(zip(before.ids, before.names, strict=True))
    return len(pairs & set(zip(after.ids, after.names, strict=True))) / len(pairs)


def _by_month(data: DataFolder) -> list[Floats]:
    """Features as of the ends of the last six months; customers in the order in which they first bought."""
    rows = pq.read_table(data.file(*_RETAIL)).to_pandas()
    rows = rows[rows["CustomerID"].notna() & ~rows["InvoiceNo"].astype(str).str.startswith("C")]
    day = rows["InvoiceDate"].to_numpy().astype("datetime64[D]").astype(np.int64)
    amount = np.rint(rows["Quantity"].to_numpy() * rows["UnitPrice"].to_numpy() * 100).astype(np.int64)
    _, first, code = np.unique(rows["CustomerID"].to_numpy(), return_index=True, return_inverse=True)
    # By first purchase: rows are in the order of time.
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    code = rank[code]
    months = []
    for back in range(5, -1, -1):
        as_of = int(day.max()) - 30 * back
        known = day <= as_of
        seen = Summary.of(PurchaseDays.of(code[known], day[known], amount[known]), as_of)
        months.append(
            clustering.customer_features(as_of - seen.last_day, seen.days, seen.revenue, as_of - seen.first_day)
        )
    return months
