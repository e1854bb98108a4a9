"""Reads what was bought into arrays: whose it is after merges, without those who may not be profiled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scoring.jobs import memory, people
from scoring.jobs.columns import numbers
from scoring.jobs.event_files import digest_of
from scoring.jobs.files import Folder, opened
from scoring.jobs.instants import microseconds
from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.tasks import WORK, UnusableInputError, check_columns, read_columns
from scoring.models.baskets import Baskets
from scoring.models.offers import Purchases
from scoring.models.summary import Ints

_COLUMNS = {
    "customer": pa.string(),
    "purchase": pa.string(),
    "event_time": pa.timestamp("us", tz="UTC"),
    "product": pa.string(),
}
_DAY_US = 86_400_000_000
_EVER = np.int64(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class Lines:
    """Parallel arrays, one element a line, in the order of the files."""

    customers: NDArray[np.str_]
    """Name of each profile, ascending."""
    products: NDArray[np.str_]
    """Id of each product, ascending."""
    customer: Ints
    """Code of the profile."""
    product: Ints
    purchase: Ints
    """Any number that tells purchases apart."""
    day: Ints
    """Whole days since 1970-01-01 UTC."""
    older: int
    """Lines that are left out because there are too many."""

    def purchases(self) -> Purchases:
        """As what customers bought on which days."""
        return Purchases.of(self.customer, self.product, self.day, self.products, len(self.customers))

    def baskets(self) -> Baskets:
        """As what was bought at once."""
        return Baskets.of(self.purchase, self.product, self.products)


def digest(spec: OfferJobSpec) -> list[str]:
    """Hashes of all that is read."""
    return digest_of(*spec.inputs, spec.aliases, spec.exclude, spec.blocked)


def read(spec: OfferJobSpec, output: Folder) -> Lines:
    """All lines until the spec's instant. Raises UnusableInputError, TooLargeError."""
    until = np.int64(microseconds(spec.as_of))
    since, older, count = _since(spec.inputs, until, spec.most_lines)
    memory.check_offers(count, 0, spec.memory_mb)
    _, aliases, excluded = people.resolve(output, spec.aliases, spec.exclude)
    who = read_columns(output, f"{WORK}/aliases.arrow") if aliases else None
    gone = read_columns(output, f"{WORK}/excluded.arrow").column("customer").combine_chunks() if excluded else None
    output.delete(WORK)
    customers, products, purchases, days = [], [], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    last = 0
    for url in spec.inputs:
        with opened(url) as file:
            table = pq.read_table(file, columns=list(_COLUMNS), use_threads=False).combine_chunks()
        time = numbers(_column(table, "event_time"))
        names = _column(table, "purchase")
        new = np.ones(len(table), dtype=np.bool_)
        if len(table) > 1:
            new[1:] = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
        purchase = last + np.cumsum(new)
        last = int(purchase[-1]) if len(purchase) else last
        customer = _column(table, "customer")
        if who is not None:
            place = pc.index_in(customer, who.column("customer").combine_chunks())
            customer = pc.coalesce(who.column("canonical").combine_chunks().take(place), customer)
        kept = (time <= until) & (time >= since)
        if gone is not None:
            kept &= ~pc.is_in(customer, gone).to_numpy(zero_copy_only=False)
        chosen = pa.array(np.flatnonzero(kept))
        customers.append(customer.take(chosen).dictionary_encode())
        products.append(_column(table, "product").take(chosen).dictionary_encode())
        purchases.append(purchase[kept])
        days.append(time[kept] // _DAY_US)
    (known, customer_codes), (sold, product_codes) = _coded(customers), _coded(products)
    return Lines(known, sold, customer_codes, product_codes, np.concatenate(purchases), np.concatenate(days), older)


def _since(urls: Sequence[str], until: np.int64, most: int) -> tuple[np.int64, int, int]:
    """From which instant on lines count, how many are older, and how many count at most.

    The newest ones count when there are too many.
    """
    rows = 0
    for url in urls:
        try:
            with opened(url) as file:
                parquet = pq.ParquetFile(file)
                check_columns(url, parquet.schema_arrow, _COLUMNS)
                rows += parquet.metadata.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise UnusableInputError(f"{url} cannot be read: {type(error).__name__}") from error
    if rows <= most:
        return _EVER, 0, rows
    times = []
    for url in urls:
        with opened(url) as file:
            times.append(numbers(_column(pq.read_table(file, columns=["event_time"]).combine_chunks(), "event_time")))
    every = np.concatenate(times)
    every = every[every <= until]
    if len(every) <= most:
        return _EVER, 0, len(every)
    since = np.partition(every, len(every) - most)[len(every) - most]
    older = int((every < since).sum())
    return since, older, len(every) - older


def _column(table: pa.Table, name: str) -> Any:
    chunked = table.column(name)
    return chunked.chunk(0) if chunked.num_chunks else pa.array([], chunked.type)


def _coded(parts: list[Any]) -> tuple[NDArray[np.str_], Ints]:
    """The different values, ascending, and the code of each element."""
    values = sorted({value for part in parts for value in part.dictionary.to_pylist()})
    whole = pa.array(values, pa.string())
    codes = [np.zeros(0, dtype=np.int64)]
    for part in parts:
        place = pc.index_in(part.dictionary, whole).to_numpy(zero_copy_only=False).astype(np.int64)
        codes.append(place[part.indices.to_numpy(zero_copy_only=False)] if len(part) else place[:0])
    return np.array(values, dtype=np.str_), np.concatenate(codes)
