"""RFM from Parquet to Parquet: purchases summed up, scored, named and written; beside DuckDB and Polars.

The peers count purchases and break ties as they happen to; ours counts purchase days, as the models need them, and
gives equal values equal scores. RAPPORT_BENCH_CUSTOMERS sets the size of the generated shop, ten purchases a customer.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.benchmarks.children import Measured, fastest, measured
from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.benchmarks.purchases import Shop
from scoring.benchmarks.rfm_peers import with_duckdb, with_polars
from scoring.features.rates import DayRates
from scoring.jobs import dividing, layout, refunds, tasks
from scoring.jobs.columns import numbers
from scoring.jobs.executor import InProcess, cpus
from scoring.jobs.files import Folder
from scoring.jobs.scores import rfm_columns
from scoring.models.rfm import Distribution, Scales, Standing
from scoring.models.summary import PurchaseDays

MARK = 1.3
"""Times the fastest peer of the same run."""
MOST_MB = 450
_MEASURES = ("last_day", "days", "revenue")
_ROUNDS = 2
_RETAIL = ("online-retail", "online_retail.parquet")

_DIFFERENT_RUNS = "different results of 4 runs (row order, threads, partitions)"
_DIFFERENT_SCORES = "customers with other scores than summed up anew"


def peer_marks(data: str) -> tuple[Mark, ...]:
    """Of `lines`. Of CPU seconds: other work on the machine moves them least."""
    return (
        Mark(data=data, metric="CPU seconds", at_most=MARK, times_peer=True, source="fastest peer of the same run"),
        Mark(data=data, metric="peak MB", at_most=MOST_MB, source="Polars streaming 432 MB"),
    )


MARKS = (
    *peer_marks("generated * customers"),
    *peer_marks("Online Retail"),
    Mark(data="generated *", metric=_DIFFERENT_RUNS, equal=0, source="stated"),
    Mark(data="generated *", metric=_DIFFERENT_SCORES, equal=0, source="stated"),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Lines on generated purchases, then on Online Retail."""
    customers = int(os.environ.get("RAPPORT_BENCH_CUSTOMERS", "1000000"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = Shop(customers, 10 * customers).write_one(root / "purchases.parquet")
        yield from _compared(f"generated {customers} customers", path, root)
        small = Shop(max(customers // 20, 1_000), max(customers // 2, 10_000)).write_one(root / "small.parquet")
        yield _reproducible(small, root)
        yield from _incremental(customers)
        yield from _compared("Online Retail", _retail(data.file(*_RETAIL), root / "retail.parquet"), root, "GBP")


def _compared(name: str, path: Path, folder: Path, currency: str = "EUR") -> Iterator[Line]:
    found = fastest(
        *(
            measured(ours, path, folder / f"ours-{path.stem}-{number}", cpus(), 16, currency, one_thread=True)
            for number in range(_ROUNDS)
        )
    )
    peers = {
        name: fastest(*(measured(peer, path, folder / "peer.parquet") for _ in range(_ROUNDS)))
        for name, peer in (("DuckDB", with_duckdb), ("Polars streaming", with_polars))
    }
    yield from lines("rfm", name, found, peers)


def lines(task: str, name: str, found: Measured, peers: dict[str, Measured]) -> Iterator[Line]:
    """Time, CPU time and memory of ours, each beside the peer that needs least of it."""
    for metric, field in (("seconds", "seconds"), ("CPU seconds", "cpu_seconds"), ("peak MB", "peak_mb")):
        peer, best = min(((peer, getattr(seen, field)) for peer, seen in peers.items()), key=lambda pair: pair[1])
        value = getattr(found, field)
        limit = MOST_MB if field == "peak_mb" else MARK * best
        note = f"{value / best:.2f} times the peer; at most {limit:.3g}"
        yield Line(task=task, data=name, metric=metric, value=value, peer=peer, peer_value=best, note=note)


def _reproducible(path: Path, folder: Path) -> Line:
    """How many customers get other scores from other row orders, divisions and numbers of threads."""
    table = pq.read_table(path)
    shuffled = folder / "shuffled.parquet"
    pq.write_table(
        table.take(pa.array(np.random.default_rng(3).permutation(len(table)))), shuffled, row_group_size=9_999
    )
    ways = ((path, 1, 16), (path, 2, 16), (shuffled, 2, 16), (shuffled, 1, 5))
    tables = []
    for place, (file, threads, partitions) in enumerate(ways):
        measured(ours, file, folder / f"run-{place}", threads, partitions, one_thread=True)
        written = sorted((folder / f"run-{place}").glob("rfm-*.parquet"))
        tables.append(pa.concat_tables(pq.read_table(part) for part in written))
    return Line(
        task="rfm",
        data=f"generated {len(table)} purchases, {len(tables[0])} customers",
        metric=_DIFFERENT_RUNS,
        value=sum(not table.equals(tables[0]) for table in tables[1:]),
        reference=0,
    )


def _incremental(customers: int) -> Iterator[Line]:
    """A hundredth of the customers buys once more: kept up to date against summed up anew, in memory."""
    found = measured(kept_up_to_date, customers, one_thread=True).result
    yield Line(
        task="rfm",
        data=f"generated {customers} customers",
        metric="seconds of an update after purchases of 1 % of customers",
        value=found["update"],
        peer="summing up anew",
        peer_value=found["anew"],
    )
    yield Line(
        task="rfm",
        data=f"generated {customers} customers",
        metric=_DIFFERENT_SCORES,
        value=found["different"],
        reference=0,
    )


def ours(
    path: str, folder: str, threads: str, partitions: str = "16", currency: str = "EUR", cut_day: str = "0"
) -> int:
    """The job's own steps; returns the number of customers. Writes `rfm-<n>.parquet`."""
    executor = InProcess(int(threads))
    paths = sorted(Path(path).glob("*.parquet")) if Path(path).is_dir() else [Path(path)]
    files = executor.run(tasks.inspect, [f"file://{path}" for path in paths], lambda _: None)
    output = Folder(f"file://{folder}")
    division = dividing.Division(
        output=f"file://{folder}",
        fingerprint="benchmark",
        as_of_us=1 << 62,
        rates=DayRates(currency),
        bounds=layout.bounds(files, int(partitions)),
        aliases=False,
        excluded=False,
        refunds=refunds.note(executor, files, output),
    )
    groups = [dividing.Group(division, number, pieces) for number, pieces in enumerate(layout.grouped(files))]
    made = tuple(group.file for group in groups)
    parts = [
        tasks.Part(division.output, division.fingerprint, number, int(partitions), made, int(cut_day), 0)
        for number in range(int(partitions))
    ]
    executor.run(dividing.divide, groups, lambda _: None)
    executor.run(tasks.summarise, parts, lambda _: None)
    tables = [tasks.read_columns(output, part.file, _MEASURES) for part in parts]
    measures = [
        np.concatenate([numbers(chunk) for table in tables for chunk in table.column(name).chunks])
        for name in _MEASURES
    ]
    scales = Scales(*(Distribution.of(values).bounds for values in measures))
    return sum(executor.run(_write, [_Scored(part, scales) for part in parts], lambda _: None))


@dataclass(frozen=True)
class _Scored:
    """One partition, and what its customers are compared by."""

    part: tasks.Part
    scales: Scales


def _write(scored: _Scored) -> int:
    """A task: scores and names the customers of a partition; returns how many there are."""
    output = Folder(scored.part.output)
    table = tasks.read_columns(output, scored.part.file, ("customer", *_MEASURES))
    columns = rfm_columns(scored.scales, *(numbers(table.column(name).combine_chunks()) for name in _MEASURES))
    found = pa.table({"customer": table.column("customer"), **columns})

    def fill(file: BinaryIO) -> None:
        pq.write_table(found, file, compression="zstd", use_dictionary=list(columns))

    output.write(f"rfm-{scored.part.number:04d}.parquet", fill)
    return len(found)


def kept_up_to_date(customers: str) -> dict[str, float]:
    """Times both ways in memory, and counts the customers who differ."""
    shop = Shop(int(customers), 10 * int(customers))
    code, day, amount = (np.concatenate(column) for column in zip(*shop.blocks(), strict=True))
    day //= 86_400_000_000
    whole = PurchaseDays.of(code, day, amount)
    standing = Standing.of(whole)
    again = np.arange(0, int(customers), 100)
    last = int(day.max()) + 1
    old = np.isin(whole.customer, again)
    begun = time.perf_counter()
    changed = PurchaseDays.of(
        np.concatenate([whole.customer[old], again]),
        np.concatenate([whole.day[old], np.full(len(again), last)]),
        np.concatenate([whole.amount[old], np.full(len(again), 5_000)]),
        np.concatenate([whole.purchases[old], np.ones(len(again), dtype=np.int64)]),
    )
    updated = standing.updated(changed).scored()
    update = time.perf_counter() - begun
    code, day, amount = (
        np.concatenate(pair)
        for pair in ((code, again), (day, np.full(len(again), last)), (amount, np.full(len(again), 5_000)))
    )
    begun = time.perf_counter()
    anew = Standing.of(PurchaseDays.of(code, day, amount)).scored()
    seconds = time.perf_counter() - begun
    different = (updated.r != anew.r) | (updated.f != anew.f) | (updated.m != anew.m)
    return {"update": update, "anew": seconds, "different": int(different.sum())}


def _retail(source: Path, target: Path) -> Path:
    """Its lines with a customer and a price, no cancellations, as purchases."""
    table = pq.read_table(source).to_pandas()
    table = table[table["CustomerID"].notna() & ~table["InvoiceNo"].astype(str).str.startswith("C")]
    amount = np.rint(table["Quantity"].to_numpy() * table["UnitPrice"].to_numpy() * 100).astype(np.int64)
    times = table["InvoiceDate"].to_numpy().astype("datetime64[us]").astype(np.int64)
    columns = [
        pa.array([f"customers/{int(number):036d}" for number in table["CustomerID"]]),
        pa.array(table["InvoiceNo"].astype(str).to_list()),
        pa.array(times, pa.timestamp("us", tz="UTC")),
        pa.array(amount),
        pa.array(["GBP"] * len(table)),
    ]
    names = ["customer", "order_id", "event_time", "amount_minor", "currency"]
    pq.write_table(pa.table(columns, names=names), target)
    return target
