"""Reads the events of subscriptions into arrays: whose they are after merges, without those who may not be profiled."""

from dataclasses import dataclass
from datetime import UTC

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.domain.subscriptions import CANCELLED, ENDED, RENEWED, STARTED
from scoring.jobs import memory, people
from scoring.jobs.columns import numbers, places_of, texts
from scoring.jobs.event_files import SECOND_US, distinct
from scoring.jobs.files import Folder, opened
from scoring.jobs.renewal_spec import RenewalJobSpec
from scoring.jobs.tasks import WORK, canonical_names, check_columns, read_columns
from scoring.models.contracts import END, RENEWAL, START, Events
from scoring.models.summary import Ints

COLUMNS = {
    "customer": pa.string(),
    "event_time": pa.timestamp("us", tz="UTC"),
    "event": pa.string(),
    "id": pa.int64(),
    "subscription": pa.int64(),
}
BYTES_PER_EVENT = 400
"""At the peak of reading, with ids of 46 characters."""
_KINDS = {STARTED: START, RENEWED: RENEWAL, CANCELLED: END, ENDED: END}
_NAMES, _CODES = texts(list(_KINDS)), np.array([*_KINDS.values(), -1])
_SCHEMA = pa.schema(list(COLUMNS.items()))


@dataclass(frozen=True)
class Subscriptions:
    """Events of subscriptions. names: of the customers, ascending, by their codes."""

    names: pa.Array
    events: Events


def read(spec: RenewalJobSpec, output: Folder) -> Subscriptions:
    """What was told of subscriptions before the spec's instant. Raises UnusableInputError, TooLargeError."""
    rows = 0
    for told in spec.files:
        with opened(told.url) as file:
            parquet = pq.ParquetFile(file)
            check_columns(told.url, parquet.schema_arrow, COLUMNS)
            rows += parquet.metadata.num_rows
    memory.widest_of(BYTES_PER_EVENT * rows, 1, spec.memory_mb, f"Reading {rows} events of subscriptions")
    people.resolve(output, spec.aliases, spec.exclude)
    excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
    end = pa.scalar(spec.as_of.astimezone(UTC), COLUMNS["event_time"])
    parts = []
    for told in spec.files:
        with opened(told.url) as file:
            table = pq.read_table(file, columns=list(COLUMNS), use_threads=False).cast(_SCHEMA)
        table = table.filter(pc.less(table.column("event_time"), end)).drop_null()
        names = canonical_names(table.column("customer").combine_chunks(), output)
        table = table.set_column(0, "customer", names)
        parts.append(table.filter(pc.invert(pc.is_in(names, excluded))))
    output.delete(WORK)
    return _arranged(pa.concat_tables([_SCHEMA.empty_table(), *parts]).combine_chunks())


def _arranged(table: pa.Table) -> Subscriptions:
    customers = table.column("customer").combine_chunks()
    names = distinct([customers])
    customer = places_of(customers, names)
    kind = _CODES[_numbers(pc.fill_null(pc.index_in(table.column("event"), _NAMES), len(_NAMES)))]
    time, identity, key = (_numbers(table.column(name)) for name in ("event_time", "id", "subscription"))
    # An event counts once, however often it was told; the first place of each of `unique` is that of its first time.
    order = np.lexsort((identity, kind, time, key, customer))
    order = order[kind[order] >= 0]
    order = order[np.sort(np.unique(identity[order], return_index=True)[1])]
    customer, kind, time, key = customer[order], kind[order], time[order] // SECOND_US, key[order]
    new = np.ones(len(order), dtype=np.int64)
    new[1:] = (customer[1:] != customer[:-1]) | (key[1:] != key[:-1])
    return Subscriptions(names, Events(np.cumsum(new) - 1, customer, kind, time, int(new.sum())))


def _numbers(column: pa.ChunkedArray | pa.Array) -> Ints:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    found: Ints = numbers(array).astype(np.int64) if len(array) else np.zeros(0, dtype=np.int64)
    return found
