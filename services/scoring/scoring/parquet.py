"""Parquet files of purchases, customers and scores, made and read; `rewritten_parquet` makes them anew without some.

pyarrow is loaded on first use: most roles never need it.
"""

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO

Row = dict[str, Any]

PURCHASE_COLUMNS = ("customer", "order_id", "event_time", "amount_minor", "currency")


def purchases(rows: Iterable[Mapping[str, Any]], earlier: Iterable[BinaryIO] = ()) -> bytes:
    """A file of purchases: those of `earlier` files, then `rows`, which hold the values of PURCHASE_COLUMNS.

    Columns: customer (resource name), order_id, event_time (UTC, microseconds), amount_minor, currency.
    """
    import pyarrow as pa

    types = (pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.int64(), pa.string())
    return _with_earlier(pa.schema(zip(PURCHASE_COLUMNS, types, strict=True)), rows, earlier)


LINE_COLUMNS = ("customer", "purchase", "event_time", "product", "quantity", "price_minor", "currency")


def order_lines(rows: Iterable[Mapping[str, Any]], earlier: Iterable[BinaryIO] = ()) -> bytes:
    """A file of what was bought: the lines of `earlier` files, then `rows`, which hold the values of LINE_COLUMNS.

    Columns: customer (resource name), purchase (uid of its event), event_time (UTC, microseconds), product (its id),
    quantity, price_minor and currency (of one; null where no price is known).
    """
    import pyarrow as pa

    text = pa.string()
    types = (text, text, pa.timestamp("us", tz="UTC"), text, pa.float64(), pa.int64(), text)
    return _with_earlier(pa.schema(zip(LINE_COLUMNS, types, strict=True)), rows, earlier)


ACTIVITY_COLUMNS = ("customer", "order_id", "event_time", "amount_minor", "currency", "event", "id")


def activity(rows: Iterable[Mapping[str, Any]], earlier: Iterable[BinaryIO] = ()) -> bytes:
    """A file of what is no purchase: the events of `earlier` files, then `rows`, which hold the values of
    ACTIVITY_COLUMNS.

    Columns: customer (resource name), order_id (empty for none), event_time (UTC, microseconds), amount_minor and
    currency (of refunds; else null), event (its name) and id (`domain.happenings.id_of`; one may come repeatedly).
    """
    import pyarrow as pa

    types = (pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.int64(), pa.string(), pa.string(), pa.int64())
    return _with_earlier(pa.schema(zip(ACTIVITY_COLUMNS, types, strict=True)), rows, earlier)


SUBSCRIPTION_COLUMNS = ("customer", "event_time", "event", "id", "subscription")


def subscriptions(rows: Iterable[Mapping[str, Any]], earlier: Iterable[BinaryIO] = ()) -> bytes:
    """A file of what happened to contracts: the events of `earlier` files, then `rows`, which hold the values of
    SUBSCRIPTION_COLUMNS.

    Columns: customer (resource name), event_time (UTC, microseconds), event (its name), id and subscription
    (`domain.happenings.id_of`, `order_of`; an id may come repeatedly).
    """
    import pyarrow as pa

    types = (pa.string(), pa.timestamp("us", tz="UTC"), pa.string(), pa.int64(), pa.int64())
    return _with_earlier(pa.schema(zip(SUBSCRIPTION_COLUMNS, types, strict=True)), rows, earlier)


def _with_earlier(schema: Any, rows: Iterable[Mapping[str, Any]], earlier: Iterable[BinaryIO]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for file in earlier:
            for batch in pq.ParquetFile(file).iter_batches(columns=schema.names):
                writer.write_batch(batch.cast(schema))
        values = [{column: row[column] for column in schema.names} for row in rows]
        if values:
            writer.write_table(pa.Table.from_pylist(values, schema))
    return out.getvalue()


def strings(columns: Mapping[str, list[str]]) -> bytes:
    """A file of text columns, such as the aliases or the customers to leave out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), out)
    return out.getvalue()


LEAD_COLUMNS = ("lead", "customer", "create_time", "know_time", "converted", "points")


def leads(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A file of leads to learn from: LEAD_COLUMNS, and as one JSON text a row the `facts`."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    instant = pa.timestamp("us", tz="UTC")
    types = (pa.string(), pa.string(), instant, instant, pa.bool_(), pa.int64())
    schema = pa.schema([*zip(LEAD_COLUMNS, types, strict=True), ("facts", pa.string())])
    values = [
        {**{name: row[name] for name in LEAD_COLUMNS}, "facts": json.dumps(row["facts"], sort_keys=True)}
        for row in rows
    ]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(values, schema), out, compression="zstd")
    return out.getvalue()


def distinct(file: BinaryIO, column: str, *, until: Any = None) -> set[str]:
    """The different values of a text column; with `until`, of the rows whose `event_time` is not later."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: set[str] = set()
    for batch in pq.ParquetFile(file).iter_batches(columns=[column, "event_time"]):
        values = batch.column(0)
        if until is not None:
            values = values.filter(pc.less_equal(batch.column(1), pa.scalar(until, batch.column(1).type)))
        found.update(pc.unique(values).to_pylist())
    return found


def bought_by(file: BinaryIO, customers: Collection[str]) -> Iterator[tuple[str, int, int, str, str]]:
    """What these customers bought: customer, milliseconds since 1970, minor units, currency, order (empty for none).

    Rows without one of the others are left out, as in jobs.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pa.array(sorted(customers), pa.string())
    columns = ["customer", "event_time", "amount_minor", "currency", "order_id"]
    for batch in pq.ParquetFile(file).iter_batches(columns=columns, use_threads=False):
        kept = batch.filter(pc.is_in(batch.column("customer"), value_set=wanted))
        if len(kept):
            customer, time, amount, currency, order = (kept.column(name) for name in columns)
            times = pc.divide(time.cast(pa.int64()), 1_000)
            rows = pa.table([customer, times, amount, currency, order.fill_null("")], columns).drop_null()
            yield from zip(*(column.to_pylist() for column in rows.columns), strict=True)


def values(file: BinaryIO, columns: Iterable[str]) -> dict[str, list[Any]]:
    """Whole columns."""
    import pyarrow.parquet as pq

    found: dict[str, list[Any]] = pq.read_table(file, columns=list(columns)).to_pydict()
    return found


def row_of(file: BinaryIO, customer: str, columns: Collection[str]) -> Row | None:
    """Columns of the row of a customer (resource name), None without one; of a file that is ordered by customers only
    the group of rows that may have it is read.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = pq.read_table(file, columns=list(columns), use_threads=False, filters=pc.field("customer") == customer)
    return found.to_pylist()[0] if len(found) else None


def chunks(file: BinaryIO, size: int) -> Iterator[list[Row]]:
    """The rows of a file, at most `size` at a time; the same every time the file is read."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(batch_size=size):
        yield batch.to_pylist()


def oldest(file: BinaryIO) -> datetime:
    """The time of the oldest event of a file."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(file).iter_batches(columns=["event_time"])
    found: datetime = min(pc.min(batch.column(0)).as_py() for batch in batches if len(batch))
    return found
