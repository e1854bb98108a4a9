"""Reads the files of purchases into columns: who bought what when, under the names that stand for profiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from scoring.domain.churn_rules import PURCHASES_MOST
from scoring.features import loading
from scoring.features.loading import LEFT_OUT, PURCHASES, Span
from scoring.features.rates import DayRates
from scoring.jobs.columns import flags
from scoring.jobs.files import Folder
from scoring.jobs.memory import TooLargeError, available
from scoring.jobs.tasks import WORK, InputFile, canonical_names, read_columns
from scoring.models.churn import Customers, hashed

BYTES_PER_PURCHASE = 200
"""At the peak of reading and of making features, as measured, with ten to a customer."""
BYTES_PER_JOB = 600_000_000
"""Of a process that trains on as many rows as there may be."""
_BEGINNING = -(1 << 62)


@dataclass(frozen=True)
class Buyers:
    """Customers with their names, ascending. left_out: rows by why they do not count (`loading.LEFT_OUT`)."""

    names: pa.Array
    customers: Customers
    left_out: dict[str, int]


def read(
    files: Sequence[InputFile], output: Folder, rates: DayRates, digits: int, until_us: int, *, aliases: bool
) -> Buyers:
    """Everything bought before an instant but by the excluded, whom `people.resolve` wrote down with the aliases.

    Amounts are in the main currency of the rates, which has so many digits after the point. Raises TooLargeError past
    PURCHASES_MOST, or what there is memory for.
    """
    _check(sum(file.rows for file in files))
    left_out = dict.fromkeys(LEFT_OUT, 0)
    purchases = [(file.url, PURCHASES) for file in files]
    found = loading.read(purchases, Span(_BEGINNING, until_us), rates, left_out)
    if aliases:
        found = loading.with_names(found, lambda names: canonical_names(names, output))
    excluded = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks()
    found = loading.of_customers(found, lambda names: ~flags(pc.is_in(names, excluded)))
    names, events = loading.columns(found)
    return Buyers(names, Customers(hashed(names.to_pylist()), events, digits), left_out)


def _check(rows: int) -> None:
    if rows > PURCHASES_MOST:
        raise TooLargeError(f"{rows} purchases do not fit, {PURCHASES_MOST} do: divide the tenant")
    needed, free = BYTES_PER_JOB + rows * BYTES_PER_PURCHASE, available()
    if needed > free:
        raise TooLargeError(
            f"{rows} purchases need about {needed // 1_000_000} MB, {free // 1_000_000} MB are free: give role run more"
        )
