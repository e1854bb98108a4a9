"""The tasks of a job of responses, each of one bucket of customers: the rows that are learned from, who is scored, and
the probabilities. Each writes its files, or finds them written already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scoring.domain.buckets import BUCKETS
from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.jobs import feature_tasks, propensity_scores
from scoring.jobs.columns import column, numbers
from scoring.jobs.dividing import told_at_the_end
from scoring.jobs.feature_tasks import Bucket
from scoring.jobs.files import Folder
from scoring.jobs.tasks import WORK, read_columns, write_batches
from scoring.models import response
from scoring.models.classifier import Table
from scoring.models.name_hashes import hashed
from scoring.models.past_customers import CHECKED, Tally
from scoring.models.propensity import Labelled
from scoring.models.response import COLUMNS, Customers

SCHEMA = propensity_scores.schema(RESPONSE_PROBABILITY, COLUMNS)
_FEATURES = [(each.name, pa.float64()) for each in COLUMNS]
_PAST = pa.schema([("at", pa.int64()), ("name", pa.uint64()), ("label", pa.float64()), *_FEATURES])
_CURRENT = pa.schema([("customer", pa.string()), ("name", pa.uint64()), *_FEATURES])


@dataclass(frozen=True)
class Part:
    """One bucket of the customers."""

    bucket: Bucket
    fingerprint: str
    digits: int
    as_of: int
    """Microseconds since 1970, as are `moments`."""
    moments: tuple[int, ...]
    """The instants that may be learned from."""

    @property
    def output(self) -> str:
        """The job's folder."""
        return self.bucket.plan.output

    def work(self, what: str) -> str:
        """A file of what passes between steps."""
        return f"{WORK}/{what}-{self.fingerprint[:16]}-{self.bucket.number}.arrow"

    @property
    def past(self) -> str:
        """The file of rows that may be learned from."""
        return self.work("past")

    @property
    def current(self) -> str:
        """The file of who is scored, ascending by name."""
        return self.work("current")


def summarise(part: Part) -> dict[str, int]:
    """Writes the rows that may be learned from, and who is scored; returns how many `scored` there are, when the
    `first` message was sent that is known (not there without any), and what was left out.

    Raises LooksAheadError.
    """
    output = Folder(part.output)
    if (told := told_at_the_end(part.output, part.past)) is None:
        names, events, left_out = feature_tasks.events_of(part.bucket)
        customers = Customers(hashed(names.to_pylist()), events, part.digits)
        codes = customers.reached(part.as_of)
        now = customers.table(part.as_of, codes)
        columns = [names.take(column(codes)), _unsigned(now.ids), *_values(now)]
        write_batches(output, part.current, _CURRENT, [(pa.RecordBatch.from_arrays(columns, schema=_CURRENT), {})])
        most = CHECKED // BUCKETS
        least = np.sort(customers.names)[most : most + 1].tolist()
        customers.below(least[0] if least else None).refuse_looking_ahead(part.moments)
        first = customers.first_message()
        told = {"scored": len(codes), **({} if first is None else {"first": first}), **left_out}
        # Last: where it is, the other one is, too.
        write_batches(output, part.past, _PAST, _past(customers, part.moments, told))
    return told


def _past(
    customers: Customers, moments: Sequence[int], told: dict[str, int]
) -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
    for rows in customers.labelled(moments):
        at = np.full(len(rows.labels), rows.at, dtype=np.int64)
        columns = [column(at), _unsigned(rows.table.ids), column(rows.labels), *_values(rows.table)]
        yield pa.RecordBatch.from_arrays(columns, schema=_PAST), {}
    none = pa.RecordBatch.from_pylist([], schema=_PAST)
    yield none, {key: str(value) for key, value in told.items()}


def tally(parts: Sequence[Part], moments: Sequence[int], most: int) -> tuple[Tally, int]:
    """How many rows customers make as of these instants, and how many customers make any."""
    customers = 0

    def counted() -> Iterator[Tally]:
        nonlocal customers
        for part in parts:
            found = read_columns(Folder(part.output), part.past, ("at", "name"))
            names, rows = np.unique(_names(found)[np.isin(_numbers(found, "at"), moments)], return_counts=True)
            customers += len(names)
            yield Tally.first(names, rows, most)

    return Tally.joined(counted(), most), customers


def learned(parts: Sequence[Part], moments: Sequence[int], bound: int | None) -> Labelled:
    """The rows as of these instants of who has a lower hash than `bound`, by instant as given and then by bucket."""
    found = pa.concat_tables([_some(part, moments, bound) for part in parts])
    at = _numbers(found, "at")
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *(np.flatnonzero(at == moment) for moment in moments)])
    table, dates = _table(found).take(rows), at[rows].astype("datetime64[us]")
    return Labelled(table, dates, _floats(found, "label")[rows], response.rival(table, dates))


def _some(part: Part, moments: Sequence[int], bound: int | None) -> pa.Table:
    found = read_columns(Folder(part.output), part.past)
    kept = np.isin(_numbers(found, "at"), moments)
    if bound is not None:
        kept &= _names(found) < np.uint64(bound)
    return found.take(column(np.flatnonzero(kept)))


def current(parts: Sequence[Part], step: int) -> Table:
    """Each `step`th of those who are scored, over all buckets."""
    found, before = [], 0
    for part in parts:
        # Not all of them at once: there are as many as customers.
        some = read_columns(Folder(part.output), part.current, ("name", *(each.name for each in COLUMNS)))
        found.append(some.take(column(np.arange(-before % step, len(some), step))))
        before += len(some)
    return _table(pa.concat_tables(found))


def score(part: Part) -> int:
    """Writes the probabilities of a bucket's customers, ascending, by the model in FIT; returns how many."""

    def reached() -> tuple[pa.Array, Table]:
        found = read_columns(Folder(part.output), part.current)
        return found.column("customer").combine_chunks(), _table(found)

    write = propensity_scores.write
    return write(Folder(part.output), part.fingerprint, part.bucket.number, SCHEMA, response.told, reached)


def _values(table: Table) -> list[pa.Array]:
    return [column(np.asarray(table.values[each.name], dtype=np.float64)) for each in COLUMNS]


def _unsigned(names: NDArray[np.uint64]) -> pa.Array:
    return column(np.asarray(names, dtype=np.uint64))


def _names(table: pa.Table) -> NDArray[np.uint64]:
    return _numbers(table, "name").view(np.uint64)


def _numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *map(numbers, table.column(name).chunks)])


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return _numbers(table, name).view(np.float64)


def _table(found: pa.Table) -> Table:
    values: dict[str, Any] = {each.name: _floats(found, each.name) for each in COLUMNS}
    return Table.of(COLUMNS, values, _names(found))
