"""Counts what customers used in each week before an instant: whose it is after merges, without those who may not be
profiled, each event once, by its own time. One bucket of customers is read at a time.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scoring.domain.happenings import KEPT_DAYS
from scoring.domain.purchases import ORDER_COMPLETED, ORDER_REFUNDED
from scoring.domain.usage_gates import NO_USE, OF_ORDERS
from scoring.jobs import memory, people
from scoring.jobs.columns import column, flags, numbers, places_of, texts
from scoring.jobs.event_files import SECOND_US, digest_of, distinct, row_groups
from scoring.jobs.files import Folder, opened
from scoring.jobs.instants import microseconds
from scoring.jobs.spec import EventFile
from scoring.jobs.tasks import WORK, canonical_names, read_columns
from scoring.jobs.usage_spec import UsageJobSpec
from scoring.models.summary import Ints

WEEKS = KEPT_DAYS // 7
"""So many whole ones are kept of activity."""
_WEEK_US = 7 * 86_400 * SECOND_US
_BOTH = {"customer": pa.string(), "event_time": pa.timestamp("us", tz="UTC")}
_COLUMNS = {
    "activity": {**_BOTH, "event": pa.string(), "id": pa.int64()},
    "purchases": {**_BOTH, "amount_minor": pa.int64()},
}
"""What is read of a file, by its kind."""
_NO_USE = texts(sorted(NO_USE))
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class WeeklyCounts:
    """Customers who used something, ascending by name. counts: shape (customers, WEEKS), the last week last."""

    names: pa.Array
    counts: NDArray[np.int32]


@dataclass(frozen=True)
class _Part:
    """Events that count. customer: places in names."""

    names: pa.Array
    customer: Ints
    week: Ints
    id: Ints
    """0 for purchases, which are in files once."""

    def where(self, kept: NDArray[np.bool_]) -> "_Part":
        return _Part(self.names, self.customer[kept], self.week[kept], self.id[kept])

    def narrowed(self) -> "_Part":
        """Without the names of who has no event in it."""
        used, customer = np.unique(self.customer, return_inverse=True)
        return _Part(self.names.take(column(used)), customer.astype(np.int64), self.week, self.id)


def digest(spec: UsageJobSpec) -> list[str]:
    """Hashes of all that is read."""
    return digest_of(*(file.url for file in _wanted(spec)), spec.aliases, spec.exclude)


def read(spec: UsageJobSpec, output: Folder) -> WeeklyCounts:
    """What customers used in the weeks that end at the spec's instant. Raises UnusableInputError, TooLargeError."""
    end = microseconds(spec.as_of)
    begin = end - WEEKS * _WEEK_US
    buckets: dict[int, list[tuple[EventFile, dict[int, int]]]] = defaultdict(list)
    for file in _wanted(spec):
        buckets[file.bucket].append((file, row_groups(file, _COLUMNS[file.kind], begin, end)))
    most = max((sum(sum(groups.values()) for _, groups in files) for files in buckets.values()), default=0)
    memory.check_usage(0, most, spec.memory_mb)
    people.resolve(output, spec.aliases, spec.exclude)
    excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
    several = pc.unique(read_columns(output, f"{WORK}/aliases.arrow").column("canonical").combine_chunks())
    found: list[WeeklyCounts] = []
    aside: list[_Part] = []
    for _, files in sorted(buckets.items()):
        parts = []
        for file, groups in files:
            part = _read(file, list(groups), begin, end, spec.events)
            names = canonical_names(part.names, output)
            part = _Part(names, part.customer, part.week, part.id)
            part = part.where(~flags(pc.is_in(names, excluded))[part.customer])
            # What members of one profile did is in files of several buckets.
            apart = flags(pc.is_in(names, several))[part.customer]
            aside.append(part.where(apart).narrowed())
            parts.append(part.where(~apart))
        found.append(_counted(parts))
        # They wait for the end, and may be most of all: who is known by several names is a profile of members.
        waiting = sum(len(part.week) for part in aside)
        memory.check_usage(sum(len(each.names) for each in found), max(most, waiting), spec.memory_mb)
    output.delete(WORK)
    return _together([*found, _counted(aside)])


def _wanted(spec: UsageJobSpec) -> list[EventFile]:
    """The files that may hold what counts."""
    of_orders = not set(spec.events).isdisjoint(OF_ORDERS)
    return [file for file in spec.files if file.kind == "activity" or of_orders]


def _read(told: EventFile, groups: list[int], begin: int, end: int, events: Sequence[str]) -> _Part:
    """What counts in a file, by the names that are in it."""
    with opened(told.url) as file:
        wanted = _COLUMNS[told.kind]
        coded = [name for name in ("customer", "event") if name in wanted]
        parquet = pq.ParquetFile(file, read_dictionary=coded, pre_buffer=False)
        table = parquet.read_row_groups(groups, columns=list(wanted), use_threads=False)
    if not len(table):
        return _Part(texts([]), _NONE, _NONE, _NONE)
    table = table.unify_dictionaries().combine_chunks()
    customers = table.column("customer").chunk(0)
    time = numbers(table.column("event_time").chunk(0))
    kept = (time >= begin) & (time < end) & flags(customers.is_valid())
    if told.kind == "activity":
        kept &= _used(table.column("event").chunk(0), events)
        ids = numbers(table.column("id").chunk(0))
    else:
        refunded = flags(pc.fill_null(pc.less(table.column("amount_minor").chunk(0), 0), False))
        kept &= np.where(refunded, ORDER_REFUNDED in events, ORDER_COMPLETED in events)
        ids = np.zeros(len(time), dtype=np.int64)
    customer = numbers(customers.indices)[kept].astype(np.int64)
    week = ((time[kept] - begin) // _WEEK_US).astype(np.int64)
    return _Part(customers.dictionary.cast(pa.string()), customer, week, ids[kept])


def _used(names: pa.DictionaryArray, events: Sequence[str]) -> NDArray[np.bool_]:
    """Which of these events count."""
    known = names.dictionary.cast(pa.string())
    counts = flags(pc.is_in(known, texts(events))) if events else ~flags(pc.is_in(known, _NO_USE))
    # A null counts as nothing: behind it is any number.
    codes = numbers(pc.fill_null(names.indices, len(known)))
    used: NDArray[np.bool_] = np.append(counts, False)[codes]
    return used


def _counted(parts: list[_Part]) -> WeeklyCounts:
    """What the customers of these parts used, each event once."""
    names = distinct([part.names.take(column(np.unique(part.customer))) for part in parts])
    customer = np.concatenate([_NONE, *(places_of(part.names, names)[part.customer] for part in parts)])
    week = np.concatenate([_NONE, *(part.week for part in parts)])
    once = _once(np.concatenate([_NONE, *(part.id for part in parts)]), week)
    places = customer[once] * WEEKS + week[once]
    counts = np.bincount(places, minlength=len(names) * WEEKS).reshape(len(names), WEEKS)
    return WeeklyCounts(names, counts.astype(np.int32))


def _once(ids: Ints, week: Ints) -> Ints:
    """The places of events, each once; whatever the order of rows, of repeats the earliest stays."""
    order = np.lexsort((week, ids))
    ordered = ids[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (ordered[1:] == 0)
    return order[new]


def _together(parts: list[WeeklyCounts]) -> WeeklyCounts:
    """Ascending by name; nobody is in two of the parts."""
    names = pa.concat_arrays([texts([]), *(part.names for part in parts)])
    order = numbers(pc.sort_indices(names)).astype(np.int64)
    counts = np.concatenate([np.zeros((0, WEEKS), dtype=np.int32), *(part.counts for part in parts)])
    return WeeklyCounts(names.take(column(order)), counts[order])
