"""A generated shop of any size: the same purchases for the same numbers, whatever the machine.

Customers come at any day of two years, buy at rates of their own (gamma), and leave after a while of their own
(exponential); what they spend on a purchase varies around a mean of their own. Exactly as many purchases as asked for
are dealt out by those chances, at least one to each customer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scoring.models.summary import Ints

SPAN_DAYS = 730
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
"""All purchases are in the two years before."""
BLOCK = 20_000
"""Customers generated at a time, with a seed of their own."""
ROW_GROUP = 1 << 17

_DAY_US = 86_400_000_000
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_DASHES = (8, 12, 16, 20)


@dataclass(frozen=True)
class Shop:
    """How large it is. Equal numbers give equal purchases."""

    customers: int
    purchases: int
    seed: int = 7

    def blocks(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Codes of customers, times (microseconds UTC) and amounts (minor units), for `BLOCK` customers at a time."""
        for begin in range(0, self.customers, BLOCK):
            end = min(begin + BLOCK, self.customers)
            purchases = self.purchases * end // self.customers - self.purchases * begin // self.customers
            code, time, amount = _block(end - begin, purchases, np.random.default_rng((self.seed, begin)))
            yield code + begin, time, amount

    def write_partitions(self, folder: Path) -> list[Path]:
        """One file a block, as the service keeps customers in buckets; never more than one block in memory."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, (code, time, amount) in enumerate(self.blocks()):
            paths.append(folder / f"purchases-{number:05d}.parquet")
            with pq.ParquetWriter(paths[-1], _SCHEMA, compression="zstd") as writer:
                writer.write_table(_table(code, time, amount, int(code.min())), row_group_size=ROW_GROUP)
        return paths

    def write_one(self, path: Path) -> Path:
        """One file in the order of time: each row group has purchases of nearly any customer."""
        code, time, amount = (np.concatenate(column) for column in zip(*self.blocks(), strict=True))
        order = np.argsort(time, kind="stable")
        with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
            for begin in range(0, len(order), 8 * ROW_GROUP):
                rows = order[begin : begin + 8 * ROW_GROUP]
                writer.write_table(_table(code[rows], time[rows], amount[rows], 0), row_group_size=8 * ROW_GROUP)
        return path


_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("order_id", pa.string()),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
    ]
)


def names(begin: int, end: int) -> pa.Array:
    """Resource names of customers: as long and as random as those of the service."""
    numbers = np.arange(begin, end, dtype=np.uint64)
    words = np.stack([_mixed(2 * numbers), _mixed(2 * numbers + np.uint64(1))], axis=1)
    text = _HEX[(words[:, :, None] >> np.arange(60, -4, -4, dtype=np.uint64)) & np.uint64(15)].reshape(-1, 32)
    text = np.insert(text, _DASHES, ord("-"), axis=1)
    prefix = np.frombuffer(b"customers/", dtype=np.uint8)
    whole = np.hstack([np.broadcast_to(prefix, (len(text), len(prefix))), text])
    offsets = np.arange(len(whole) + 1, dtype=np.int32) * whole.shape[1]
    return pa.StringArray.from_buffers(len(whole), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(whole)))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: every number's own 64 random-looking bits."""
    z = numbers * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _block(customers: int, purchases: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    begun = rng.uniform(0, SPAN_DAYS, customers)
    stayed = np.minimum(rng.exponential(240, customers), SPAN_DAYS - begun)
    chance = rng.gamma(0.8, 1, customers) * stayed
    counts = 1 + rng.multinomial(max(purchases - customers, 0), chance / chance.sum())
    code = np.repeat(np.arange(customers), counts)
    first = np.zeros(len(code), dtype=bool)
    first[np.cumsum(counts) - counts] = True
    days = begun[code] + np.where(first, 0.0, rng.random(len(code)) * stayed[code])
    usual = 15_000 / rng.gamma(4, 1, customers).clip(0.3)
    amount = np.rint(usual[code] * rng.gamma(6, 1 / 6, len(code))).astype(np.int64) + 1
    end = int(AS_OF.timestamp()) * 1_000_000
    time = end - SPAN_DAYS * _DAY_US + (days * _DAY_US).astype(np.int64)
    order = np.argsort(time, kind="stable")
    return code[order], time[order], amount[order]


def _table(code: Ints, time: Ints, amount: Ints, begin: int) -> pa.Table:
    count = len(code)
    euro = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["EUR"]))
    columns = [
        names(begin, int(code.max()) + 1).take(pa.array(code - begin)),
        pa.nulls(count, pa.string()),
        pa.array(time, pa.timestamp("us", tz="UTC")),
        pa.array(amount),
        euro.cast(pa.string()),
    ]
    return pa.table(columns, schema=_SCHEMA)
