"""Reads when customers were active into arrays: whose it is after merges, without those who may not be profiled.

Of an hour (of UTC) one event of a customer counts, the first: a visit makes many.
"""

from collections import Counter
from dataclasses import dataclass
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.domain.send_time_gates import OF_SYSTEMS, WITHIN
from scoring.jobs import memory, people
from scoring.jobs.columns import column, flags, numbers, places_of, texts
from scoring.jobs.event_files import SECOND_US, digest_of, distinct, row_groups
from scoring.jobs.files import Folder, opened
from scoring.jobs.instants import microseconds
from scoring.jobs.send_time_spec import SendTimeJobSpec
from scoring.jobs.spec import EventFile
from scoring.jobs.tasks import WORK, canonical_names, read_columns
from scoring.models.send_time import Activity, local_hours
from scoring.models.summary import Ints

_BOTH = {"customer": pa.string(), "event_time": pa.timestamp("us", tz="UTC")}
_COLUMNS = {"activity": {**_BOTH, "event": pa.string()}, "purchases": {**_BOTH, "amount_minor": pa.int64()}}
"""What is read of a file, by its kind."""
_HOUR_S, _DAY_S = 3_600, 86_400
_FALLBACK_ZONE = "UTC"
_SYSTEMS = texts(sorted(OF_SYSTEMS))
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class ActiveHours:
    """Customers, ascending by name, and their active hours, one element each, by customer and time."""

    names: pa.Array
    activity: Activity
    """Days are those since 1970-01-01 UTC."""
    zones: list[str]
    """Time zones that are known of customers; last the one that stands in where none is."""
    zone: Ints
    """Of each customer the place in `zones`; the last one where none is known."""

    @property
    def segment(self) -> Ints:
        """Customers of one time zone belong together; -1 where none is known."""
        return np.where(self.zone == len(self.zones) - 1, -1, self.zone)


def digest(spec: SendTimeJobSpec) -> list[str]:
    """Hashes of all that is read."""
    return digest_of(*(file.url for file in spec.files), spec.aliases, spec.exclude, spec.zones)


def read(spec: SendTimeJobSpec, output: Folder) -> ActiveHours:
    """What customers did within `WITHIN` before the spec's instant. Raises UnusableInputError, TooLargeError."""
    end = microseconds(spec.as_of)
    begin = end - round(WITHIN.total_seconds()) * SECOND_US
    pieces = [(file, row_groups(file, _COLUMNS[file.kind], begin, end)) for file in spec.files]
    memory.check_active_hours(sum(sum(rows.values()) for _, rows in pieces), spec.memory_mb)
    people.resolve(output, spec.aliases, spec.exclude)
    excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
    parts = []
    for file, groups in pieces:
        names, codes, seconds = _read(file, list(groups), begin, end)
        names = canonical_names(names, output)
        kept = ~flags(pc.is_in(names, excluded))[codes]
        parts.append((names, codes[kept], seconds[kept]))
    everybody = distinct([names.take(column(np.unique(codes))) for names, codes, _ in parts])
    # One of a profile may be in another bucket's file than the customer that stands for it.
    customer = np.concatenate([_NONE, *(places_of(names, everybody)[codes] for names, codes, _ in parts)])
    seconds = np.concatenate([_NONE, *(seconds for _, _, seconds in parts)])
    first = _first_of_hours(customer, seconds)
    customer, seconds = customer[first], seconds[first]
    zones, zone = _zones(spec, output, everybody)
    output.delete(WORK)
    activity = Activity(customer, _local(seconds, zone[customer], zones), seconds // _DAY_S)
    return ActiveHours(everybody, activity, zones, zone)


def _read(told: EventFile, groups: list[int], begin: int, end: int) -> tuple[pa.Array, Ints, Ints]:
    """The names in a file, and of each event that counts the place of its name and its time in seconds."""
    with opened(told.url) as file:
        parquet = pq.ParquetFile(file, read_dictionary=["customer"])
        table = parquet.read_row_groups(groups, columns=list(_COLUMNS[told.kind]), use_threads=False)
    if not len(table):
        return texts([]), _NONE, _NONE
    table = table.unify_dictionaries().combine_chunks()
    customers = table.column("customer").chunk(0)
    time = numbers(table.column("event_time").chunk(0))
    kept = (time >= begin) & (time < end) & flags(customers.is_valid())
    if told.kind == "activity":
        by_others = pc.is_in(table.column("event").chunk(0), _SYSTEMS)
    else:
        # Negative amounts are refunds: the shop gives them, in its hours.
        by_others = pc.less(table.column("amount_minor").chunk(0), 0)
    kept &= ~flags(pc.fill_null(by_others, False))
    codes, seconds = numbers(customers.indices)[kept].astype(np.int64), time[kept] // SECOND_US
    first = _first_of_hours(codes, seconds)
    return customers.dictionary.cast(pa.string()), codes[first], seconds[first]


def _first_of_hours(customer: Ints, seconds: Ints) -> Ints:
    """The places of the first event of each customer and hour, by customer and time."""
    order = np.lexsort((seconds, customer))
    hours, who = seconds[order] // _HOUR_S, customer[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (who[1:] != who[:-1]) | (hours[1:] != hours[:-1])
    return order[new]


def _zones(spec: SendTimeJobSpec, output: Folder, everybody: pa.Array) -> tuple[list[str], Ints]:
    """See ActiveHours. The zone of the customer that stands for a profile counts before those of its other members."""
    if spec.zones is None:
        return [_FALLBACK_ZONE], np.zeros(len(everybody), dtype=np.int64)
    with opened(spec.zones) as file:
        told = pq.read_table(file, use_threads=False).sort_by("customer").combine_chunks()
    own = told.column("customer").combine_chunks()
    names = canonical_names(own, output)
    known = available_timezones()
    of_own: dict[int, str] = {}
    of_members: dict[int, str] = {}
    places, stands = places_of(names, everybody).tolist(), flags(pc.equal(own, names)).tolist()
    for place, itself, zone in zip(places, stands, told.column("time_zone").to_pylist(), strict=True):
        if place >= 0 and zone in known:
            (of_own if itself else of_members).setdefault(place, zone)
    found = of_members | of_own
    zones = sorted(set(found.values()))
    # Where most are; of equally many the first by name.
    usual = min(Counter(found.values()).items(), key=lambda item: (-item[1], item[0]), default=(_FALLBACK_ZONE, 0))[0]
    code = {name: place for place, name in enumerate(zones)}
    zone = np.full(len(everybody), len(zones), dtype=np.int64)
    zone[list(found)] = [code[name] for name in found.values()]
    return [*zones, usual], zone


def _local(seconds: Ints, zone: Ints, zones: list[str]) -> Ints:
    """Hours of the week by each one's clock."""
    found = np.zeros(len(seconds), dtype=np.int64)
    order = np.argsort(zone, kind="stable")
    for name, some in zip(zones, np.split(order, np.searchsorted(zone[order], range(1, len(zones)))), strict=True):
        found[some] = local_hours(seconds[some], name)
    return found
