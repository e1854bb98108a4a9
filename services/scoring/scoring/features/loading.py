"""Events of customers out of files, as columns: what `features.table` computes from.

Two kinds of files: purchases, with their refunds (`parquet.PURCHASE_COLUMNS`), and activity
(`parquet.ACTIVITY_COLUMNS`: the times of all other events). Only what can count is held: names and orders as codes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.features.conversion import converted
from scoring.features.declared import PURCHASE, REFUND, kind_of
from scoring.features.rates import DayRates
from scoring.features.table import Events, Flags, Ints
from scoring.jobs.columns import column, flags, numbers, texts
from scoring.jobs.files import opened

PURCHASES, ACTIVITY = "purchases", "activity"
_INSTANT = pa.timestamp("us", tz="UTC")
_BOTH = {
    "customer": pa.string(),
    "order_id": pa.string(),
    "event_time": _INSTANT,
    "amount_minor": pa.int64(),
    "currency": pa.string(),
}
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    PURCHASES: _BOTH,
    ACTIVITY: {**_BOTH, "event": pa.string(), "id": pa.int64()},
}
"""What is read of each kind of file."""
_TEXTS = ("customer", "order_id", "currency", "event")
_ROWS = 1 << 16
_CODED = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("customer", _CODED),
        ("kind", pa.int64()),
        ("time", pa.int64()),
        ("amount", pa.int64()),
        ("order", _CODED),
        ("id", pa.int64()),  # 0 for purchases, which are in files once
    ]
)
"""Events as they pass from one step of a job to the next."""
LEFT_OUT = ("unusable", "no_rate")


@dataclass(frozen=True)
class Span:
    """The time from which events are asked for, up to a time that is not in it; microseconds since 1970."""

    begin: int
    end: int


def read(files: Iterable[tuple[str, str]], span: Span, rates: DayRates, left_out: dict[str, int]) -> pa.Table:
    """The events of files, each an address and PURCHASES or ACTIVITY, in the columns of SCHEMA.

    left_out: rows are counted there that have no customer or time, or an amount without a rate to the main currency.
    """
    found = [batch for url, kind in files for batch in batches(url, kind, span, rates, left_out)]
    return pa.Table.from_batches(found, SCHEMA)


def batches(
    url: str,
    kind: str,
    span: Span,
    rates: DayRates,
    left_out: dict[str, int],
    row_groups: Sequence[int] | None = None,
    *,
    orders: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The events of one file as `read` has them, some at a time.

    row_groups: which of the file, all unless given. orders: whether they are read; without them no event has one.
    """
    wanted = [name for name in COLUMNS[kind] if orders or name != "order_id"]
    with opened(url) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False, read_dictionary=[name for name in _TEXTS if name in wanted])
        for batch in parquet.iter_batches(_ROWS, row_groups=row_groups, columns=wanted, use_threads=False):
            kept = _batch(batch, span, rates, left_out)
            if kept is not None:
                yield kept


def columns(table: pa.Table) -> tuple[pa.Array, Events]:
    """The customers' names, ascending by their bytes, and the events of a table as `read` makes them, each once."""
    if not len(table):
        none = np.zeros(0, dtype=np.int64)
        return texts([]), Events(none, none.astype(np.int8), none, none, none)
    table = _once(table.unify_dictionaries().combine_chunks())
    names, customer = _coded(table.column("customer"))
    _, order = _coded(table.column("order"))
    values = {name: numbers(_chunk(table.column(name))) for name in ("kind", "time", "amount")}
    # Code 0 stands for no order: the empty text, before all others.
    empty = _has_empty(table.column("order"))
    return names, Events(
        customer, values["kind"].astype(np.int8), values["time"], values["amount"], order if empty else order + 1
    )


def with_names(table: pa.Table, change: Callable[[pa.Array], pa.Array]) -> pa.Table:
    """With other names of customers; `change` is given each name but once a batch."""
    chunks = []
    for chunk in table.column("customer").chunks:
        changed = change(chunk.dictionary)
        again = changed.dictionary_encode()
        chunks.append(
            pa.DictionaryArray.from_arrays(again.indices.take(chunk.indices).cast(pa.int32()), again.dictionary)
        )
    return table.set_column(0, SCHEMA.field(0), pa.chunked_array(chunks, _CODED))


def of_customers(table: pa.Table, chosen: Callable[[pa.Array], Flags]) -> pa.Table:
    """The events of customers; `chosen` is given names and tells which."""
    kept = []
    for batch in table.to_batches():
        names = batch.column("customer")
        there = chosen(names.dictionary)[numbers(names.indices)]
        kept.append(batch if there.all() else batch.take(column(np.flatnonzero(there))))
    return pa.Table.from_batches(kept, SCHEMA)


def _batch(batch: pa.RecordBatch, span: Span, rates: DayRates, left_out: dict[str, int]) -> pa.RecordBatch | None:
    time = numbers(batch.column("event_time"))
    usable = _valid(batch.column("customer")) & _valid(batch.column("event_time"))
    left_out["unusable"] += int((~usable).sum())
    kept = usable & (time >= span.begin) & (time < span.end)
    if not kept.any():
        return None
    if not kept.all():
        batch = batch.take(column(np.flatnonzero(kept)))
    time = numbers(batch.column("event_time"))
    kind = _kinds(batch)
    amount, known = _amounts(batch, kind, time, rates)
    left_out["no_rate"] += int((~known).sum())
    # A refund that its rate makes nothing of is none, and must not pass for a purchase.
    counts = known & ((kind != PURCHASE) | (amount != 0) | (numbers(batch.column("amount_minor")) >= 0))
    orders = batch.column("order_id") if "order_id" in batch.schema.names else _no_texts(len(batch))
    ids = numbers(batch.column("id")) if "id" in batch.schema.names else np.zeros(len(batch), dtype=np.int64)
    made = pa.RecordBatch.from_arrays(
        [
            _as_coded(batch.column("customer")),
            column(kind),
            column(time.astype(np.int64)),
            column(amount),
            _without_null(orders),
            column(ids.astype(np.int64)),
        ],
        schema=SCHEMA,
    )
    return made if counts.all() else made.take(column(np.flatnonzero(counts)))


def _valid(values: pa.Array) -> Flags:
    return flags(values.is_valid()) if values.null_count else np.ones(len(values), dtype=bool)


def _kinds(batch: pa.RecordBatch) -> Ints:
    """What each event is."""
    if "event" not in batch.schema.names:
        return np.full(len(batch), PURCHASE, dtype=np.int64)
    names = batch.column("event")
    known = names.dictionary.to_pylist()
    codes = np.array(
        [[kind_of(name or "", has_amount=paid) for name in known] for paid in (False, True)], dtype=np.int64
    )
    kinds: Ints = codes[_valid(batch.column("amount_minor")).astype(np.int64), numbers(names.indices)]
    return kinds


def _amounts(batch: pa.RecordBatch, kind: Ints, time: Ints, rates: DayRates) -> tuple[Ints, Flags]:
    """Amounts in the main currency, and which events have one or need none."""
    currencies = batch.column("currency")
    money = (kind == PURCHASE) | (kind == REFUND)
    asked = _valid(batch.column("amount_minor")) & _valid(currencies) & money
    found, known = converted(rates, currencies, numbers(batch.column("amount_minor")), time, asked)
    return found, known | ~money


def _as_coded(values: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(values.indices.cast(pa.int32()), values.dictionary.cast(pa.string()))


def _without_null(values: pa.Array) -> pa.Array:
    """The same with the empty text for null. Arrow's own `fill_null` decodes all of them."""
    if not values.null_count:
        return _as_coded(values)
    known = values.dictionary.cast(pa.string())
    empty = known.index("").as_py()
    if empty < 0:
        known, empty = pa.concat_arrays([known, texts([""])]), len(known)
    codes = np.where(_valid(values), numbers(values.indices), empty).astype(np.int32)
    return pa.DictionaryArray.from_arrays(column(codes), known)


def _no_texts(number: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(column(np.zeros(number, dtype=np.int32)), texts([""]))


def _chunk(values: pa.ChunkedArray) -> pa.Array:
    return values.chunk(0)


def _once(table: pa.Table) -> pa.Table:
    """Without the repeats of events that have an id; whatever the order of rows, the same one of them stays."""
    identity = numbers(_chunk(table.column("id")))
    ordered = np.sort(identity)
    if not ((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)).any():
        return table
    order = np.lexsort([numbers(_chunk(table.column(name))) for name in ("amount", "time", "id")])
    ordered = identity[order]
    kept = np.ones(len(order), dtype=bool)
    kept[order[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)]] = False
    return table.take(column(np.flatnonzero(kept))).combine_chunks()


def _coded(values: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """The distinct texts that are there, ascending by their bytes, and the place of each row's."""
    array = _chunk(values)
    codes = numbers(array.indices)
    there = np.zeros(len(array.dictionary), dtype=bool)
    there[codes] = True
    names = array.dictionary.take(column(np.flatnonzero(there)))
    order = numbers(pc.sort_indices(names)).astype(np.int64)
    rank = np.zeros(len(there), dtype=np.int64)
    rank[np.flatnonzero(there)[order]] = np.arange(len(order))
    return names.take(column(order)), rank[codes]


def _has_empty(values: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.equal(_chunk(values), "")).as_py())
