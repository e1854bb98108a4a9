"""The tasks of a job that writes features: each reads a bucket of customers, and writes whole files or finds them.

A partition is a bucket (`domain.buckets`). A customer that was merged counts in the bucket of the one that stands for
the profile: `move` brings its events there first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.features import loading
from scoring.features.declared import FEATURES, LONGEST, NAMES, Aggregation, Value
from scoring.features.loading import LEFT_OUT, SCHEMA, Span
from scoring.features.row import told_from
from scoring.features.table import DAY_US, Events, Flags, Floats, table
from scoring.jobs import day_rates
from scoring.jobs.columns import column, flags
from scoring.jobs.files import Folder, fingerprint, opened, sha256
from scoring.jobs.tasks import WORK, UnusableInputError, canonical_names, check_columns, read_columns, write_columns

_FINGERPRINT = b"rapport.fingerprint"
_LONGEST_US = LONGEST // timedelta(microseconds=1)
OUT_SCHEMA = pa.schema([("customer", pa.string()), *((name, pa.float64()) for name in NAMES)])
"""A file of features: a customer a row, ascending by name; null where a feature has no value."""
_FEW_VALUES = [
    feature.name
    for feature in FEATURES
    if feature.value is Value.COUNT
    or feature.aggregation in (Aggregation.REFUNDED_SHARE, Aggregation.MEAN_GAP, Aggregation.LAST_GAP)
]
"""Columns that a dictionary makes smaller: trying one on the others takes time and space."""


@dataclass(frozen=True)
class Plan:
    """What all tasks of a job have in common."""

    output: str
    fingerprint: str
    """Of the inputs and the code's version, whatever the instants."""
    instants: tuple[int, ...]
    """Microseconds since 1970."""
    currency: str
    rates: str | None
    aliases: bool
    excluded: bool
    whole_from: Mapping[int, int] = field(default_factory=dict)
    """By kind of event since when the files hold all, microseconds since 1970; empty where nothing asks for older."""

    @property
    def span(self) -> Span:
        """The time whose events count."""
        return Span(min(self.instants) - _LONGEST_US, max(self.instants))


@dataclass(frozen=True)
class Bucket:
    """One partition, and its files: each an address and its kind."""

    plan: Plan
    number: int
    files: tuple[tuple[str, str], ...]

    @property
    def moved(self) -> str:
        """The file of what belongs to other buckets."""
        return moved_file(self.plan, self.number)


def moved_file(plan: Plan, bucket: int) -> str:
    """The file of what a bucket's files hold of customers that were merged into those of other buckets."""
    return f"{WORK}/moved-{fingerprint(plan.fingerprint, plan.instants)[:16]}-{bucket:02d}.arrow"


def features_file(instant_us: int, bucket: int) -> str:
    """Name of a partition's features as of an instant: `features-20260301T120000.000000Z-07.parquet`."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)
    return f"features-{instant:%Y%m%dT%H%M%S.%f}Z-{bucket:02d}.parquet"


@dataclass(frozen=True)
class Found:
    """A file of events, as found."""

    sha256: str
    rows: int


def inspect(file: tuple[str, str]) -> Found:
    """Hashes a file (its address and kind), checks its columns and counts its rows. Raises UnusableInputError."""
    url, kind = file
    try:
        with opened(url) as content:
            digest = sha256(content)
            content.seek(0)
            parquet = pq.ParquetFile(content, pre_buffer=False)
            check_columns(url, parquet.schema_arrow, loading.COLUMNS[kind])
            return Found(digest, parquet.metadata.num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise UnusableInputError(f"{url} cannot be read: {type(error).__name__}") from error


def move(bucket: Bucket) -> int:
    """Writes the events of customers who were merged into those of other buckets; returns how many."""
    output = Folder(bucket.plan.output)
    if bucket.moved.removeprefix(f"{WORK}/") not in Folder(f"{bucket.plan.output}/{WORK}").names():
        events, _ = _own(bucket, output)
        write_columns(output, bucket.moved, _columns_of(loading.of_customers(events, _elsewhere(bucket.number))))
    return 0


def compute(bucket: Bucket) -> dict[str, int]:
    """Writes the bucket's features as of each instant; returns what `told` of them, summed up."""
    plan, output = bucket.plan, Folder(bucket.plan.output)
    missing = [at for at in plan.instants if _told(output, features_file(at, bucket.number), plan) is None]
    if missing:
        names, known, left_out = events_of(bucket)
        for at in missing:
            active = np.zeros(len(names), dtype=bool)
            active[known.customer[(known.time < at) & (known.time >= at - _LONGEST_US)]] = True
            found = _told_rightly(table(known, len(names), at), at, plan.whole_from)
            _write(output, features_file(at, bucket.number), plan, names, active, found, left_out)
    told = [_told(output, features_file(at, bucket.number), plan) or {} for at in plan.instants]
    # Rows are left out of a bucket once, for how many instants ever.
    return {"rows": sum(each["rows"] for each in told), **{name: told[0][name] for name in LEFT_OUT}}


def _told_rightly(found: dict[str, Floats], at: int, whole_from: Mapping[int, int]) -> dict[str, Floats]:
    """Without the values that events would change which the files no longer hold."""
    if not whole_from:
        return found
    nothing = np.full(len(found[NAMES[0]]), np.nan)
    told = dict(found)
    for feature in FEATURES:
        since = told_from(feature, whole_from)
        if at < since:
            told[feature.name] = nothing
        elif feature.aggregation is Aggregation.DAYS_SINCE_LAST:
            days = found[feature.name]
            told[feature.name] = np.where(days <= (at - since) / DAY_US, days, np.nan)
    return told


def events_of(bucket: Bucket) -> tuple[pa.Array, Events, dict[str, int]]:
    """The customers that stand for profiles and belong into the bucket, ascending, without who is excluded; their
    events; and what was left out of the bucket's own files.
    """
    output = Folder(bucket.plan.output)
    events, left_out = _own(bucket, output)
    if bucket.plan.aliases:
        events = pa.concat_tables([loading.of_customers(events, _here(bucket.number)), *_brought(bucket, output)])
    if bucket.plan.excluded:
        gone = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
        events = loading.of_customers(events, lambda names: ~flags(pc.is_in(names, gone)))
    names, known = loading.columns(events)
    return names, known, left_out


def _own(bucket: Bucket, output: Folder) -> tuple[pa.Table, dict[str, int]]:
    """The events of a bucket's own files, by the customers that stand for profiles; and what was left out."""
    plan = bucket.plan
    left_out = dict.fromkeys(LEFT_OUT, 0)
    rates, _ = day_rates.read(plan.rates, plan.currency)
    events = loading.read(bucket.files, plan.span, rates, left_out)
    if plan.aliases:
        events = loading.with_names(events, lambda names: canonical_names(names, output))
    return events, left_out


def _brought(bucket: Bucket, output: Folder) -> Iterable[pa.Table]:
    for number in range(BUCKETS):
        if number != bucket.number:
            moved = read_columns(output, moved_file(bucket.plan, number)).cast(SCHEMA)
            yield loading.of_customers(moved, _here(bucket.number))


def _here(bucket: int) -> Any:
    def here(names: pa.Array) -> Flags:
        return np.fromiter((bucket_of(name) == bucket for name in names.to_pylist()), dtype=bool, count=len(names))

    return here


def _elsewhere(bucket: int) -> Any:
    here = _here(bucket)
    return lambda names: ~here(names)


def _columns_of(events: pa.Table) -> dict[str, Any]:
    unified = events.unify_dictionaries().combine_chunks()
    return {name: unified.column(name) for name in SCHEMA.names}


def _write(
    output: Folder,
    name: str,
    plan: Plan,
    names: pa.Array,
    active: Flags,
    found: dict[str, Any],
    left_out: dict[str, int],
) -> None:
    rows = np.flatnonzero(active)
    values = [names.take(column(rows)), *(_nullable(found[feature][rows]) for feature in NAMES)]
    told = {b"rapport." + key.encode(): str(count).encode() for key, count in left_out.items()}
    schema = OUT_SCHEMA.with_metadata({_FINGERPRINT: plan.fingerprint.encode(), **told})

    def fill(file: Any) -> None:
        pq.write_table(pa.table(values, schema=schema), file, compression="zstd", use_dictionary=_FEW_VALUES)

    output.write(name, fill)


def _nullable(values: Any) -> pa.Array:
    array = column(values)
    there = column(np.packbits(~np.isnan(values), bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(array), [there.buffers()[1], array.buffers()[1]])


def _told(output: Folder, name: str, plan: Plan) -> dict[str, int] | None:
    """Rows of a finished file and what was left out of its bucket; None when it is not there, or of other inputs."""
    try:
        with output.open(name) as file:
            metadata = pq.read_metadata(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    noted = metadata.metadata or {}
    if noted.get(_FINGERPRINT) != plan.fingerprint.encode():
        return None
    return {"rows": metadata.num_rows, **{key: int(noted[b"rapport." + key.encode()]) for key in LEFT_OUT}}
