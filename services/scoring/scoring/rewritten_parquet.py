"""Parquet files of events and scores made anew: without what is too old, or without some people.

pyarrow is loaded on first use, as in `parquet`.
"""

import io
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Kept:
    """What is kept of a file of events. oldest: None when nothing is. currencies: as `Rest` has them."""

    content: bytes
    rows: int
    oldest: datetime | None
    currencies: dict[str, dict[str, int]]


def since(file: BinaryIO, instant: datetime) -> Kept:
    """A file of events without those before an instant."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    out = io.BytesIO()
    rows, first_of_all = 0, None
    currencies: dict[str, dict[str, int]] = {}
    with pq.ParquetWriter(out, opened.schema_arrow, compression="zstd") as writer:
        for batch in opened.iter_batches():
            times = batch.column("event_time")
            kept = batch.filter(pc.greater_equal(times, pa.scalar(instant, times.type)))
            if len(kept):
                writer.write_batch(kept)
                first = pc.min(kept.column("event_time")).as_py()
                rows += len(kept)
                first_of_all = first if first_of_all is None else min(first_of_all, first)
                _add_sums(currencies, kept)
    return Kept(out.getvalue(), rows, first_of_all, currencies)


@dataclass(frozen=True)
class Rest:
    """What is left of a file of purchases or lines. currencies: of purchases, code -> {rows, amount_minor}."""

    content: bytes
    rows: int
    removed: int
    currencies: dict[str, dict[str, int]]


def names_any(file: BinaryIO, customers: Collection[str]) -> bool:
    """Whether any column of texts, or lists of these, holds the name of one of these customers, as a whole."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pa.array(sorted(customers), pa.string())
    opened = pq.ParquetFile(file)
    texts = [field.name for field in opened.schema_arrow if pa.string() in (field.type, _of_list(field.type))]
    return any(
        pc.any(pc.is_in(column.flatten() if _of_list(column.type) else column, value_set=wanted)).as_py()
        for batch in opened.iter_batches(columns=texts)
        for column in batch.columns
    )


def _of_list(kind: Any) -> Any:
    """The type of what is in lists; None for all that are none."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_list(kind) else None


def without(file: BinaryIO, customers: Collection[str]) -> Rest | None:
    """A file of purchases or lines without those of some customers; None when it has none of them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not names_any(file, customers):
        return None
    wanted = pa.array(sorted(customers), pa.string())
    opened = pq.ParquetFile(file)
    out = io.BytesIO()
    rows = removed = 0
    currencies: dict[str, dict[str, int]] = {}
    with pq.ParquetWriter(out, opened.schema_arrow, compression="zstd") as writer:
        for batch in opened.iter_batches():
            kept = batch.filter(pc.invert(pc.is_in(batch.column("customer"), value_set=wanted)))
            writer.write_batch(kept)
            rows, removed = rows + len(kept), removed + len(batch) - len(kept)
            _add_sums(currencies, kept)
    return Rest(out.getvalue(), rows, removed, currencies)


def _add_sums(currencies: dict[str, dict[str, int]], batch: Any) -> None:
    """Adds what purchases are in a part of a file, if they have amounts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "amount_minor" not in batch.schema.names:
        return
    amounts = batch.column("amount_minor")
    bought = pc.greater_equal(amounts, 0).cast(pa.int64())
    sums = pa.table([batch.column("currency"), amounts, bought], ["currency", "amount", "bought"])
    wanted = [("amount", "count"), ("amount", "sum"), ("bought", "sum")]
    for found in sums.group_by("currency").aggregate(wanted).to_pylist():
        if not found["amount_count"]:
            continue
        total = currencies.setdefault(found["currency"], {"rows": 0, "amount_minor": 0})
        total["rows"] += found["bought_sum"]
        total["amount_minor"] += found["amount_sum"]


def others(file: BinaryIO, customers: Collection[str]) -> bytes | None:
    """A file of scores without those of some customers; None when it has none of them."""
    import pyarrow.compute as pc

    return _changed(file, customers, lambda batch, there: batch.filter(pc.invert(there)))


def nameless(file: BinaryIO, customers: Collection[str]) -> bytes | None:
    """A file of scores in which the rows of some customers have an empty name and nulls; None when it has none of them.

    Every row stays where it is: chunks of the file are counted.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def emptied(batch: Any, there: Any) -> Any:
        place = batch.schema.get_field_index("customer")
        names = pc.if_else(there, "", batch.column(place))
        rows = pc.if_else(there, pa.scalar(None, pa.int64()), pa.array(range(len(batch)), pa.int64()))
        return batch.take(rows).set_column(place, batch.schema.field(place), names)

    return _changed(file, customers, emptied)


def _changed(file: BinaryIO, customers: Collection[str], change: Callable[[Any, Any], Any]) -> bytes | None:
    """A file with `change(batch, which of its rows are of the customers)`, part by part; None when it has no such row.

    Most files have none: they are not read but for the names.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pa.array(sorted(customers), pa.string())
    opened = pq.ParquetFile(file)
    names = opened.iter_batches(columns=["customer"])
    if not any(pc.any(pc.is_in(batch.column("customer"), value_set=wanted)).as_py() for batch in names):
        return None
    out = io.BytesIO()
    with pq.ParquetWriter(out, opened.schema_arrow, compression="zstd") as writer:
        for batch in opened.iter_batches():
            changed = change(batch, pc.is_in(batch.column("customer"), value_set=wanted))
            if len(changed):
                writer.write_batch(changed)
    return out.getvalue()
