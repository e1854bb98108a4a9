"""Divides purchases among partitions of customers, with the instant, the amount and the order of each.

The first task of a job that makes features of purchases: files are read in groups, a customer's purchases joined, under
the names that stand for profiles, and dealt out to the partitions; `read` gives those of a partition.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoring.features import loading
from scoring.features.declared import PURCHASE
from scoring.features.loading import LEFT_OUT, PURCHASES, Span
from scoring.features.rates import DayRates
from scoring.features.table import Events
from scoring.jobs import dividing, layout, refunds
from scoring.jobs.columns import numbers
from scoring.jobs.files import Folder
from scoring.jobs.names import ordered
from scoring.jobs.tasks import WORK, divided, read_columns, write_batches
from scoring.models.churn import Customers
from scoring.models.name_hashes import hashed
from scoring.models.summary import Ints

_BEGINNING = -(1 << 62)
_SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("time", pa.list_(pa.int64())),
        ("amount", pa.list_(pa.int64())),
        ("order", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True)
class Division:
    """What divides purchases among the partitions; the same for all groups of files."""

    output: str
    fingerprint: str
    until_us: int
    """Everything bought before this instant counts."""
    rates: DayRates
    """To the currency that amounts are told in."""
    bounds: tuple[str, ...]
    """See `dividing.Division`."""
    aliases: bool
    excluded: bool
    refunds: bool
    """Whether there are any: else nobody asks for orders."""


@dataclass(frozen=True)
class Group:
    """Some of the purchases, divided by one task."""

    division: Division
    number: int
    pieces: layout.Pieces

    @property
    def file(self) -> str:
        """The file it makes, in rounds as `dividing.Group.file`. Beside the empty batch at its end stand the numbers of
        rows left out, and the first and last instant of the others where there are any.
        """
        return f"{WORK}/bought-{self.division.fingerprint[:16]}-{self.number}.arrow"


def divide(group: Group) -> dict[str, int]:
    """Reads purchases and sorts them into partitions; returns the numbers that stand at the end of the file."""
    work = group.division
    if (told := dividing.told_at_the_end(work.output, group.file)) is not None:
        return told
    output = Folder(work.output)
    counts = dict.fromkeys(LEFT_OUT, 0)
    refunded = refunds.refunded(output) if work.refunds else None

    def written() -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
        for batches in _rounds(group.pieces, work, counts):
            table = _by_customer(batches, refunded, output, work)
            times = numbers(table.column("time").flatten())
            if len(times):
                counts["first"] = min(int(times.min()), counts.get("first", int(times.min())))
                counts["last"] = max(int(times.max()), counts.get("last", int(times.max())))
            yield from ((part, {}) for part in dividing.parts(table, work.bounds))
        yield table.slice(0, 0), {name: str(count) for name, count in counts.items()}

    write_batches(output, group.file, _SCHEMA, written(), compression=None)
    return counts


def _rounds(pieces: layout.Pieces, work: Division, counts: dict[str, int]) -> Iterable[list[pa.RecordBatch]]:
    """What counts, so much at a time as bounds the memory of a task, at least once."""
    rounds, rows, found = 0, 0, list[pa.RecordBatch]()
    span = Span(_BEGINNING, work.until_us)
    for url, row_groups in groupby(pieces, key=lambda piece: piece[0]):
        wanted = [row_group for _, row_group in row_groups]
        for batch in loading.batches(url, PURCHASES, span, work.rates, counts, wanted, orders=work.refunds):
            found.append(batch)
            rows += len(batch)
            if rows >= dividing.ROUND_ROWS:
                yield found
                rounds, rows, found = rounds + 1, 0, []
    if rows or not rounds:
        yield found


def _by_customer(
    batches: list[pa.RecordBatch], refunded: pa.Array | None, output: Folder, work: Division
) -> pa.RecordBatch:
    values = [_joined([numbers(batch.column(name)) for batch in batches]) for name in ("time", "amount")]
    orders = np.zeros(len(values[0]), dtype=np.int64)
    if refunded is not None:
        orders = _joined([refunds.codes(batch.column("order"), refunded) for batch in batches])
    customers = [batch.column("customer") for batch in batches]
    table = dividing.by_customer(customers, (*values, orders), _SCHEMA, output, aliases=work.aliases)
    if work.excluded:
        excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
        table = table.filter(pc.invert(pc.is_in(table.column("customer"), excluded)))
    return table


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def read(output: str, groups: Sequence[str], number: int, partitions: int, digits: int) -> tuple[pa.Array, Customers]:
    """A partition's customers with their names, ascending. groups: the files of all. digits: of the currency."""
    table = divided(output, groups, number, partitions)
    customers, *lists = (values.combine_chunks() for values in table.columns)
    del table
    names, codes = ordered([customers])
    customer = np.repeat(codes, numbers(pc.list_value_length(lists[0])))
    time, amount, order = (numbers(values.flatten()) for values in lists)
    events = Events(customer, np.full(len(customer), PURCHASE, dtype=np.int8), time, amount, order)
    return names, Customers(hashed(names.to_pylist()), events, digits)
