"""Refunds among the purchases of a job: which orders were refunded, so that only their purchases are looked at twice.

Mostly there are none, which files tell of themselves: then nobody reads orders.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.jobs.columns import column, flags, numbers, places_of, texts
from scoring.jobs.executor import Executor
from scoring.jobs.files import Folder, opened
from scoring.jobs.tasks import WORK, InputFile, may_refund, read_columns, write_columns
from scoring.models.summary import Ints

_REFUNDED = f"{WORK}/refunded.arrow"


def note(executor: Executor, files: Sequence[InputFile], output: Folder) -> bool:
    """Writes down which orders were refunded; returns whether any was."""
    found = executor.run(_refunded, [file.url for file in files if file.refunds], lambda _: None)
    orders = sorted(set[str]().union(*found))
    write_columns(output, _REFUNDED, {"order": texts(orders)})
    return len(orders) > 0


def _refunded(url: str) -> set[str]:
    """The orders of a file's negative amounts."""
    with opened(url) as content:
        parquet = pq.ParquetFile(content, pre_buffer=False)
        groups = [n for n in range(parquet.num_row_groups) if may_refund(parquet.metadata.row_group(n))]
        found = set[str]()
        for batch in parquet.iter_batches(row_groups=groups, columns=["order_id", "amount_minor"], use_threads=False):
            amounts = batch.column("amount_minor")
            negative = np.flatnonzero((numbers(amounts) < 0) & flags(amounts.is_valid()))
            found.update(filter(None, batch.column("order_id").take(column(negative)).to_pylist()))
    return found


def refunded(output: Folder) -> pa.Array:
    """The orders that `note` wrote down."""
    return read_columns(output, _REFUNDED).column("order").combine_chunks()


def codes(orders: pa.DictionaryArray, refunded: pa.Array) -> Ints:
    """Which of the refunded orders each is, from 1 on; 0 for the others, and for none."""
    known = orders.dictionary
    if not len(known):
        return np.zeros(len(orders), dtype=np.int64)
    # What is looked in is hashed anew for each part of a file: the smaller one.
    if len(refunded) > len(known):
        at = places_of(refunded, known)
        there = np.flatnonzero(at >= 0)
        places = np.zeros(len(known), dtype=np.int64)
        places[at[there]] = there + 1
    else:
        places = places_of(known, refunded) + 1
    # Where there is none, the index is any number.
    found: Ints = places.take(numbers(orders.indices), mode="clip")
    if orders.null_count:
        found[~flags(orders.is_valid())] = 0
    return found
