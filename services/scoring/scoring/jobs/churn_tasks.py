"""The tasks of a job of churn, each of one partition of the customers: who makes how many rows, the rows that are
learned from, and the risks. Each writes one file, or finds it written already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scoring.jobs import buyers, propensity_scores
from scoring.jobs.columns import column, numbers
from scoring.jobs.dividing import told_at_the_end
from scoring.jobs.files import Folder
from scoring.jobs.tasks import WORK, read_columns, write_batches
from scoring.models import churn
from scoring.models.churn import Customers
from scoring.models.classifier import Table
from scoring.models.past_customers import Tally
from scoring.models.propensity import Labelled

SCHEMA = propensity_scores.schema(churn.RISK, churn.COLUMNS)
_LEARNED = pa.schema(
    [
        ("at", pa.int64()),
        ("name", pa.uint64()),
        ("label", pa.float64()),
        ("rival", pa.float64()),
        ("waited", pa.float64()),
        *((each.name, pa.float64()) for each in churn.COLUMNS),
    ]
)
_TALLY = pa.schema([("name", pa.uint64()), ("rows", pa.int64())])


@dataclass(frozen=True)
class Part:
    """One partition of the customers, and the files its purchases are in."""

    output: str
    fingerprint: str
    number: int
    partitions: int
    groups: tuple[str, ...]
    digits: int
    as_of: int
    """Microseconds since 1970, as are `moments`."""
    moments: tuple[int, ...]
    """The instants that are learned from."""
    rows_most: int
    """So many customers, each as of an instant, are learned from at most."""

    def work(self, what: str) -> str:
        """A file of what passes between steps."""
        return f"{WORK}/{what}-{self.fingerprint[:16]}-{self.number}.arrow"

    def customers(self) -> tuple[pa.Array, Customers]:
        """The customers of the partition with their names, ascending."""
        return buyers.read(self.output, self.groups, self.number, self.partitions, self.digits)


@dataclass(frozen=True)
class Counted:
    """How many customers a partition has, and how many of them are active as of the job's instant."""

    customers: int
    active: int


def count(part: Part) -> Counted:
    """Writes who makes how many rows as of the instants that are learned from."""
    file = part.work("tally")
    if (told := told_at_the_end(part.output, file)) is None:
        _, customers = part.customers()
        found = churn.tally(customers, part.moments, part.rows_most)
        told = {"customers": len(customers), "active": len(customers.active(part.as_of))}
        _write(part, file, _TALLY, [_unsigned(found.names), column(found.rows)], told)
    return Counted(**told)


def tally(parts: Sequence[Part]) -> Tally:
    """Of all customers."""

    def counted() -> Iterator[Tally]:
        for part in parts:
            table = read_columns(Folder(part.output), part.work("tally"))
            yield Tally(_names(table, "name"), _numbers(table, "rows"), part.rows_most)

    return Tally.joined(counted(), parts[0].rows_most)


@dataclass(frozen=True)
class LearnPart:
    """One partition to make rows of.

    bound, checked: customers with lower hashes are learned from, and shown not to look ahead; None for all. Of those
    who are active now each `step`th is taken, over all partitions; before: how many come before this one.
    """

    part: Part
    horizon: timedelta
    bound: int | None
    checked: int | None
    before: int
    step: int


def learn(piece: LearnPart) -> int:
    """Writes the rows that are learned from, and those of now; returns how many customers the former are of.

    Raises LooksAheadError.
    """
    part = piece.part
    file = part.work("learned")
    if (told := told_at_the_end(part.output, file)) is None:
        _, customers = part.customers()
        learned_from = customers.below(piece.bound)
        learned_from.below(piece.checked).refuse_looking_ahead(part.moments)
        data = churn.labelled(learned_from, part.moments, piece.horizon)
        codes = customers.active(part.as_of)
        codes = codes[(piece.before + np.arange(len(codes))) % piece.step == 0]
        now, none = customers.table(part.as_of, codes), np.full(len(codes), np.nan)
        columns = [
            column(np.append(data.dates.astype(np.int64), np.full(len(codes), part.as_of))),
            _unsigned(np.append(data.table.ids, now.ids)),
            column(np.append(data.labels, none)),
            column(np.append(data.rival, none)),
            column(np.append(np.asarray(data.waited), none)),
            *(column(np.append(*(_values(rows, each.name) for rows in (data.table, now)))) for each in churn.COLUMNS),
        ]
        told = {"customers": len(learned_from)}
        _write(part, file, _LEARNED, columns, told)
    return told["customers"]


def learned(parts: Sequence[Part]) -> tuple[Labelled, Table]:
    """The rows of all partitions that are learned from, by instant as given and then by customer; and those of now."""
    found = pa.concat_tables([read_columns(Folder(part.output), part.work("learned")) for part in parts])
    at = _numbers(found, "at")
    places = [np.flatnonzero(at == moment) for moment in parts[0].moments]
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *places])
    table = _table(found)
    data = Labelled(
        table.take(rows),
        at[rows].astype("datetime64[us]"),
        _floats(found, "label")[rows],
        _floats(found, "rival")[rows],
        _floats(found, "waited")[rows],
    )
    return data, table.take(np.flatnonzero(at == parts[0].as_of))


def score(part: Part) -> int:
    """Writes the risks of a partition's active customers, ascending, by the model in FIT; returns how many."""

    def active() -> tuple[pa.Array, Table]:
        names, customers = part.customers()
        codes = customers.active(part.as_of)
        return names.take(column(codes)), customers.table(part.as_of, codes)

    return propensity_scores.write(Folder(part.output), part.fingerprint, part.number, SCHEMA, churn.told, active)


def _write(part: Part, name: str, schema: pa.Schema, columns: list[pa.Array], told: dict[str, int]) -> None:
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    write_batches(Folder(part.output), name, schema, [(batch, {key: str(value) for key, value in told.items()})])


def _unsigned(names: NDArray[np.uint64]) -> pa.Array:
    return column(np.asarray(names, dtype=np.uint64))


def _names(table: pa.Table, name: str) -> NDArray[np.uint64]:
    return _numbers(table, name).view(np.uint64)


def _numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *map(numbers, table.column(name).chunks)])


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return _numbers(table, name).view(np.float64)


def _values(table: Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table.values[name], dtype=np.float64)


def _table(found: pa.Table) -> Table:
    values = {each.name: _floats(found, each.name) for each in churn.COLUMNS}
    return Table.of(churn.COLUMNS, values, _names(found, "name"))
