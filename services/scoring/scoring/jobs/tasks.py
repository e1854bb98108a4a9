"""The tasks of a job: each reads files, computes on whole columns, and writes one file, or finds it written already.

A file's fingerprint covers all it was made from, so that a task repeated after a crash does nothing twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.features import refunds
from scoring.jobs.columns import column, numbers
from scoring.jobs.files import Folder, opened, sha256
from scoring.jobs.names import ordered
from scoring.models.summary import Ints, PurchaseDays, Summary

WORK = "work"
"""Folder within a job's output for what passes from one step to the next; gone when the job is done."""
_SAMPLE, _SAMPLE_ROWS = 512, 1 << 13
PURCHASE_COLUMNS = {
    "customer": pa.string(),
    "event_time": pa.timestamp("us", tz="UTC"),
    "amount_minor": pa.int64(),
    "currency": pa.string(),
}
pa.set_cpu_count(1)
# It gives memory back; the default one keeps some 100 MB more.
pa.set_memory_pool(pa.system_memory_pool())


class UnusableInputError(Exception):
    """An input file cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class InputFile:
    """One file of purchases, as found."""

    url: str
    sha256: str
    row_groups: tuple[int, ...]
    """Rows of each."""
    sample: tuple[str, ...]
    """Some of its customers, evenly spread over those of its first rows."""
    refunds: bool
    """Whether it may hold any."""

    @property
    def rows(self) -> int:
        """All its rows."""
        return sum(self.row_groups)


def inspect(url: str) -> InputFile:
    """Hashes a file, checks its columns and counts its rows. Raises UnusableInputError."""
    try:
        with opened(url) as file:
            digest = sha256(file)
            file.seek(0)
            parquet = pq.ParquetFile(file, pre_buffer=False)
            check_columns(url, parquet.schema_arrow, {**PURCHASE_COLUMNS, "order_id": pa.string()})
            sample: list[str] = []
            for batch in parquet.iter_batches(_SAMPLE_ROWS, columns=["customer"], use_threads=False):
                names = pc.unique(batch.column(0).drop_null())
                names = names.take(pc.sort_indices(names))
                places = np.linspace(0, len(names) - 1, min(len(names), _SAMPLE)).astype(np.int64)
                sample = names.take(column(places)).to_pylist()
                break
            metadata = parquet.metadata
            groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
            sizes = tuple(group.num_rows for group in groups)
            return InputFile(url, digest, sizes, tuple(sample), any(map(may_refund, groups)))
    except (OSError, pa.ArrowInvalid) as error:
        raise UnusableInputError(f"{url} cannot be read: {type(error).__name__}") from error


def may_refund(row_group: pq.RowGroupMetaData) -> bool:
    """Whether negative amounts may be in a row group of purchases, by what the file tells of it."""
    for place in range(row_group.num_columns):
        found = row_group.column(place)
        if found.path_in_schema == "amount_minor" and found.is_stats_set and found.statistics.has_min_max:
            return bool(found.statistics.min < 0)
    return True


def check_columns(url: str, schema: pa.Schema, wanted: Mapping[str, pa.DataType]) -> None:
    """Raises UnusableInputError unless the columns are there, of these types."""
    for name, kind in wanted.items():
        index = schema.get_field_index(name)
        if index < 0:
            raise UnusableInputError(f"{url} has no column {name}")
        if schema.field(index).type != kind:
            raise UnusableInputError(f"{url}: column {name} is {schema.field(index).type}, not {kind}")


@dataclass(frozen=True)
class Part:
    """One partition of the customers, and the files its purchases are in."""

    output: str
    fingerprint: str
    number: int
    partitions: int
    groups: tuple[str, ...]
    cut_day: int
    inner_cut_day: int

    @property
    def file(self) -> str:
        """The file of its summary."""
        return f"{WORK}/summary-{self.fingerprint[:16]}-{self.number}.arrow"


SUMMARY_COLUMNS = (
    "first_day",
    "last_day",
    "days",
    "purchases",
    "revenue",
    "repeat_revenue",
    "early_days",
    "early_last_day",
    "inner_days",
    "inner_last_day",
)


@dataclass(frozen=True)
class Summed:
    """What became of a partition. refunds: of orders, by customers who are not left out. idle: those that reduce
    nothing, as the customer has no purchase of the order.
    """

    customers: int
    refunds: int
    idle: int


def summarise(part: Part) -> Summed:
    """Joins a partition's days of all groups and sums them up, one row a customer, ascending."""
    output = Folder(part.output)
    if part.file.removeprefix(f"{WORK}/") in Folder(f"{part.output}/{WORK}").names():
        with output.open(part.file) as file:
            batch, told = pa.ipc.open_file(file).get_batch_with_custom_metadata(0)
            return Summed(batch.num_rows, *(int(told[name]) for name in ("refunds", "idle")))
    names, ledger = ledger_of(part)
    summary = Summary.of(ledger.days(), part.cut_day, part.inner_cut_day)
    columns = [names, *(column(getattr(summary, name)) for name in SUMMARY_COLUMNS)]
    schema = pa.schema([("customer", pa.string()), *((name, pa.int64()) for name in SUMMARY_COLUMNS)])
    told = {"refunds": str(ledger.refunds), "idle": str(ledger.idle)}
    write_batches(output, part.file, schema, [(pa.RecordBatch.from_arrays(columns, schema=schema), told)])
    return Summed(len(summary), ledger.refunds, ledger.idle)


@dataclass(frozen=True)
class Ledger:
    """What customers bought and gave back: parallel arrays, in any order. Each customer has bought something.

    day: since 1970, UTC. amount: minor units, below 0 for refunds. order: a number that stands for it, 0 for those that
    nobody refunded; None where there are no refunds. refunds, idle: see `Summed`.
    """

    customer: Ints
    day: Ints
    amount: Ints
    order: Ints | None = None
    refunds: int = 0
    idle: int = 0

    def days(self, until: int | None = None) -> PurchaseDays:
        """The days on which they bought, and what is left of it after the refunds of all time, or `until` a day.

        The same days in any case: what is refunded in full stays a purchase.
        """
        if self.order is None:
            return PurchaseDays.of(self.customer, self.day, self.amount)
        refund, amount = self.amount < 0, self.amount.copy()
        # Mostly few orders are refunded: what is copied below is what can matter.
        some = np.flatnonzero(self.order != 0 if until is None else (self.order != 0) & ~(refund & (self.day > until)))
        amount[some] = refunds.left(
            self.customer[some], refund[some], self.day[some], np.abs(amount[some]), self.order[some]
        )
        return PurchaseDays.of(self.customer[~refund], self.day[~refund], amount[~refund])


def ledger_of(part: Part) -> tuple[pa.Array, Ledger]:
    """A partition's customers, ascending, and what is in all groups by their places among these."""
    table = divided(part.output, part.groups, part.number, part.partitions)
    customers, days, amounts, *orders = (values.combine_chunks() for values in table.columns)
    del table
    names, codes = ordered([customers])
    customer = np.repeat(codes, numbers(pc.list_value_length(days)))
    day, amount = numbers(days.flatten()), numbers(amounts.flatten())
    if not orders:
        return names, Ledger(customer, day, amount)
    return _with_refunds(names, customer, day, amount, numbers(orders[0].flatten()).astype(np.int64))


def _with_refunds(names: pa.Array, customer: Ints, day: Ints, amount: Ints, order: Ints) -> tuple[pa.Array, Ledger]:
    refund = amount < 0
    pairs = customer * (int(order.max(initial=0)) + 1) + order
    idle = int((~np.isin(pairs[refund], pairs[~refund & (order != 0)])).sum())
    # Who gave something back and bought nothing that counts is no customer.
    there = np.bincount(customer[~refund], minlength=len(names)) > 0
    if not there.all():
        kept = there[customer]
        names = names.take(column(np.flatnonzero(there)))
        customer, day, amount, order = (np.cumsum(there) - 1)[customer[kept]], day[kept], amount[kept], order[kept]
    return names, Ledger(customer, day, amount, order, int(refund.sum()), idle)


def divided(output: str, groups: Sequence[str], number: int, partitions: int) -> pa.Table:
    """What the files of all groups hold of a partition, as they were divided."""
    batches = []
    for name in groups:
        with Folder(output).open(name) as file:
            reader = pa.ipc.open_file(file)
            batches += [reader.get_batch(place) for place in range(number, reader.num_record_batches - 1, partitions)]
    return pa.Table.from_batches(batches)


def read_columns(output: Folder, name: str, columns: tuple[str, ...] | None = None) -> pa.Table:
    """A file of the work folder, or some of its columns."""
    with output.open(name) as file:
        reader = pa.ipc.open_file(file)
        if columns is None:
            return reader.read_all()
        wanted = sorted(reader.schema.get_field_index(name) for name in columns)
        file.seek(0)
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        return pa.ipc.open_file(file, options=options).read_all().select(list(columns))


def canonical_names(names: pa.Array, output: Folder) -> pa.Array:
    """The name that stands for each profile, by the aliases that `people.resolve` wrote down."""
    aliases = read_columns(output, f"{WORK}/aliases.arrow")
    place = pc.index_in(names, aliases.column("customer").combine_chunks())
    return pc.coalesce(aliases.column("canonical").combine_chunks().take(place), names)


def write_columns(output: Folder, name: str, columns: dict[str, Any]) -> None:
    """Writes a file of the work folder."""
    table = pa.table(columns)
    write_batches(output, name, table.schema, [(batch, {}) for batch in table.combine_chunks().to_batches()])


def write_batches(
    output: Folder,
    name: str,
    schema: pa.Schema,
    batches: Iterable[tuple[pa.RecordBatch, dict[str, str]]],
    compression: str | None = "lz4",
) -> None:
    """Writes a file of the work folder: batches, each with a few words beside it."""

    def fill(file: Any) -> None:
        options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
        with pa.ipc.new_file(file, schema, options=options) as writer:
            for batch, metadata in batches:
                writer.write_batch(batch, custom_metadata=metadata or None)

    output.write(name, fill, durable=False)
