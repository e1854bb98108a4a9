"""The first task of a job: purchases read, joined by customer, and divided among the partitions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.features.conversion import converted
from scoring.features.rates import DayRates
from scoring.jobs import refunds
from scoring.jobs.columns import column, flags, numbers, texts
from scoring.jobs.files import Folder, opened
from scoring.jobs.names import ordered
from scoring.jobs.tasks import PURCHASE_COLUMNS, WORK, canonical_names, read_columns, write_batches
from scoring.models.summary import Ints

READ_ROWS = 1 << 16
READ_BYTES = 1 << 20
"""Of a column at a time."""
ROUND_ROWS = 1 << 18
"""Purchases joined by customer at a time."""
_MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class Division:
    """What divides purchases among the partitions; the same for all groups of files."""

    output: str
    fingerprint: str
    as_of_us: int
    rates: DayRates
    """To the currency that purchases are summed up in."""
    bounds: tuple[str, ...]
    """First customer of each partition but the first: partitions are ranges of customer ids."""
    aliases: bool
    excluded: bool
    refunds: bool
    """Whether there are any of orders: else nobody asks for these."""

    @property
    def schema(self) -> pa.Schema:
        """Of the files: purchases of each customer, and refunds of orders, whose amounts are below 0."""
        return pa.schema([*_DAYS_SCHEMA, ("order", pa.list_(pa.int32()))]) if self.refunds else _DAYS_SCHEMA


@dataclass(frozen=True)
class Group:
    """Some of the purchases, divided by one task."""

    division: Division
    number: int
    pieces: tuple[tuple[str, int], ...]
    """Addresses of files, and which of their row groups."""

    @property
    def file(self) -> str:
        """The file it makes: in rounds, one record batch a partition; in each one row a customer, ascending.

        An empty batch at its end tells how many rows were left out, and converted.
        """
        return f"{WORK}/days-{self.division.fingerprint[:16]}-{self.number}.arrow"


_DAYS_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("day", pa.list_(pa.int32())),
        ("amount_minor", pa.list_(pa.int64())),
    ]
)
LEFT_OUT = ("unusable", "later", "no_rate", "refund", "excluded")
CONVERTED = "converted"
COUNTED = (*LEFT_OUT, CONVERTED)
"""Why rows do not count; and of those that do how many are in other currencies than the main one."""


def divide(group: Group) -> dict[str, int]:
    """Reads purchases, joins those of a customer, and sorts them into partitions; returns how many were COUNTED."""
    work = group.division
    output = Folder(work.output)
    if (told := told_at_the_end(work.output, group.file)) is not None:
        return told
    counts = dict.fromkeys(COUNTED, 0)

    def written() -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
        for purchases in _rounds(group.pieces, work, counts):
            table = _by_customer(purchases, output, work)
            counts[CONVERTED] += _of_included(purchases.converted, output, work)
            if work.excluded:
                table = _without_excluded(table, output, counts)
            yield from ((part, {}) for part in parts(table, work.bounds))
        yield table.slice(0, 0), {name: str(count) for name, count in counts.items()}

    # Names hardly shrink, and compressing them takes longer than writing them.
    write_batches(output, group.file, work.schema, written(), compression=None)
    return counts


class Purchases(NamedTuple):
    """In parts, with the refunds of orders. amounts: in the main currency. orders: codes of those that are refunded, 0
    for others; nothing where there are no refunds. converted: customers once for each purchase in another currency.
    """

    customers: list[pa.Array]
    days: list[Ints]
    amounts: list[Ints]
    orders: list[Ints]
    converted: list[pa.Array]


def _rounds(pieces: tuple[tuple[str, int], ...], work: Division, counts: dict[str, int]) -> Iterable[Purchases]:
    """The purchases that count, so many at a time as bounds the memory of a task, at least once."""
    rounds, rows, found = 0, 0, Purchases([], [], [], [], [])
    refunded = refunds.refunded(Folder(work.output)) if work.refunds else None
    for batch in _batches(pieces, orders=work.refunds):
        if refunded is not None:
            codes = column(refunds.codes(batch.column("order_id"), refunded).astype(np.int32))
            batch = batch.set_column(batch.schema.get_field_index("order_id"), "order_id", codes)
        kept, abroad = _usable(batch, work.rates, work.as_of_us, counts)
        found.customers.append(kept.column("customer"))
        found.days.append(numbers(kept.column("event_time")) // _MICROSECONDS_PER_DAY)
        found.amounts.append(numbers(kept.column("amount_minor")))
        if refunded is not None:
            found.orders.append(numbers(kept.column("order_id")))
        if len(abroad):
            found.converted.append(kept.column("customer").take(column(abroad)).cast(pa.string()))
        rows += len(kept)
        if rows >= ROUND_ROWS:
            yield found
            rounds, rows, found = rounds + 1, 0, Purchases([], [], [], [], [])
    if rows or not rounds:
        yield found


def _batches(pieces: tuple[tuple[str, int], ...], *, orders: bool) -> Iterable[pa.RecordBatch]:
    asked = ["order_id"] if orders else []
    for url, row_groups in groupby(pieces, key=lambda piece: piece[0]):
        with opened(url) as file:
            metadata = pq.read_metadata(file)
            wanted = [row_group for _, row_group in row_groups]
            few = all(_repeats_customers(metadata.row_group(row_group)) for row_group in wanted)
            dictionaries = ["currency", *asked, *(["customer"] if few else [])]
            yield from pq.ParquetFile(
                file, metadata=metadata, read_dictionary=dictionaries, pre_buffer=False, buffer_size=READ_BYTES
            ).iter_batches(
                ROUND_ROWS if few else READ_ROWS,
                row_groups=wanted,
                columns=[*PURCHASE_COLUMNS, *asked],
                use_threads=False,
            )


def _repeats_customers(row_group: pq.RowGroupMetaData) -> bool:
    """Whether the file holds the names as a dictionary, by their size: then they need not be read for each row."""
    columns = (row_group.column(place) for place in range(row_group.num_columns))
    for found in columns:
        if found.path_in_schema == "customer" and found.is_stats_set and found.statistics.has_min_max:
            written_out = found.num_values * len(found.statistics.min)
            return bool(2 * found.total_uncompressed_size < written_out)
    return False


def _usable(
    batch: pa.RecordBatch, rates: DayRates, as_of_us: int, counts: dict[str, int]
) -> tuple[pa.RecordBatch, Ints]:
    """Rows that count, with amounts in the main currency, and the places of purchases that were in another one.

    The others are counted by the first reason that holds. A refund counts that has an order.
    """
    complete = np.ones(len(batch), dtype=bool)
    for values in batch.columns:
        if values.null_count:
            complete &= flags(values.is_valid())
    times, paid = numbers(batch.column("event_time")), numbers(batch.column("amount_minor"))
    currencies = batch.column("currency")
    ours = flags(pc.equal(currencies.dictionary, texts([rates.main])[0]))
    home = rated = complete
    if not ours.all():
        # Where there is none, the index is any number.
        home = ours.take(numbers(currencies.indices), mode="clip")
        amounts, rated = converted(rates, currencies, paid, times, complete)
        place = batch.schema.get_field_index("amount_minor")
        batch = batch.set_column(place, "amount_minor", column(amounts))
    bought = paid >= 0
    of_order = bought
    if "order_id" in batch.schema.names and not bought.all():
        # A refund that its rate makes nothing of reduces nothing, and must not pass for a purchase.
        of_order = bought | ((numbers(batch.column("order_id")) > 0) & (numbers(batch.column("amount_minor")) < 0))
    left = np.ones(len(batch), dtype=bool)
    for name, good in (
        ("unusable", complete),
        ("later", times <= as_of_us),
        ("no_rate", rated),
        ("refund", of_order),
    ):
        if not good.all():
            counts[name] += int((left & ~good).sum())
            left &= good
    kept = batch if left.all() else batch.take(column(np.flatnonzero(left)))
    return kept, np.flatnonzero(~home[left] & bought[left])


def _of_included(customers: list[pa.Array], output: Folder, work: Division) -> int:
    """How many of these names stand for customers who are not excluded."""
    if not customers:
        return 0
    names = pa.chunked_array(customers).combine_chunks()
    if not work.excluded:
        return len(names)
    if work.aliases:
        names = canonical_names(names, output)
    excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
    return int((~flags(pc.is_in(names, excluded))).sum())


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _by_customer(purchases: Purchases, output: Folder, work: Division) -> pa.RecordBatch:
    values = [purchases.days, purchases.amounts, *([purchases.orders] if work.refunds else [])]
    return by_customer(purchases.customers, [*map(_joined, values)], work.schema, output, aliases=work.aliases)


def by_customer(
    customers: list[pa.Array], values: Sequence[Ints], schema: pa.Schema, output: Folder, *, aliases: bool
) -> pa.RecordBatch:
    """One row a customer, ascending by name: the name and a list of each kind of values, of the type in `schema`."""
    names, codes = ordered(customers)
    if aliases:
        names, merged = ordered([canonical_names(names, output)])
        codes = merged[codes]
    order = _sorted_places(codes)
    offsets = np.zeros(len(names) + 1, dtype=np.int32)
    np.cumsum(np.bincount(codes, minlength=len(names)), out=offsets[1:])
    lists = [
        pa.ListArray.from_arrays(column(offsets), column(each[order].astype(str(field.type.value_type))))
        for each, field in zip(values, list(schema)[1:], strict=True)
    ]
    return pa.RecordBatch.from_arrays([names, *lists], schema=schema)


def _sorted_places(codes: Ints) -> Ints:
    """Where the rows are in the order of their codes: sorting both as one number is several times as fast."""
    bits = len(codes).bit_length()
    places = codes << bits
    places |= np.arange(len(codes))
    places.sort()
    places &= (1 << bits) - 1
    return places


def _without_excluded(table: pa.RecordBatch, output: Folder, counts: dict[str, int]) -> pa.RecordBatch:
    excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
    hit = pc.is_in(table.column("customer"), excluded)
    counts["excluded"] += len(table.filter(hit).column("day").flatten())
    return table.filter(pc.invert(hit))


def parts(table: pa.RecordBatch, bounds: tuple[str, ...]) -> Iterable[pa.RecordBatch]:
    """The rows of each partition; rows ascend by the name in their first column."""
    names = table.column(0)
    places = [0, *(_first_not_below(names, bound) for bound in bounds), len(names)]
    for begin, end in pairwise(places):
        yield table.slice(begin, end - begin)


def _first_not_below(names: pa.Array, bound: str) -> int:
    low, high = 0, len(names)
    key = bound.encode()
    while low < high:
        middle = (low + high) // 2
        # Arrow sorts by bytes of UTF-8.
        if names[middle].as_py().encode() < key:
            low = middle + 1
        else:
            high = middle
    return low


def told_at_the_end(output: str, name: str) -> dict[str, int] | None:
    """The numbers beside the last batch of a finished file of a job's work; None where there is no such file yet."""
    if name.removeprefix(f"{WORK}/") not in Folder(f"{output}/{WORK}").names():
        return None
    with Folder(output).open(name) as file:
        reader = pa.ipc.open_file(file)
        told = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1).custom_metadata
    return {key.decode(): int(value) for key, value in told.items()}
