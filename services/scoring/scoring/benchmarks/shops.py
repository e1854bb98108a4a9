"""Public histories of purchases: who bought on which days, and for how much."""

from datetime import date

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scoring.benchmarks.datasets import DataFolder
from scoring.models.summary import PurchaseDays

EPOCH = date(1970, 1, 1)
_CDNOW_COLUMNS = 4
"""Customer, date, compact discs, dollars; the sample has a number of its own before them."""


def cdnow(data: DataFolder, name: str) -> PurchaseDays:
    """Purchases of the file; damaged lines are left out."""
    rows: list[tuple[int, int, int]] = []
    for line in data.file("cdnow", name).read_text().splitlines():
        fields = line.split()
        try:
            customer, day, _, dollars = fields[-_CDNOW_COLUMNS:]
            when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
            rows.append((int(customer), (when - EPOCH).days, round(100 * float(dollars))))
        except ValueError:
            continue
    customer_, day_, amount = np.array(rows, dtype=np.int64).T
    return PurchaseDays.of(customer_, day_, amount)


def online_retail(data: DataFolder) -> PurchaseDays:
    """Purchases of known customers; cancelled invoices (they begin with C) are left out."""
    table = pq.read_table(data.file("online-retail", "online_retail.parquet"))
    kept = pc.and_(pc.is_valid(table["CustomerID"]), pc.invert(pc.starts_with(table["InvoiceNo"], "C")))
    table = table.filter(kept)
    day = table["InvoiceDate"].to_numpy().astype("datetime64[D]").astype(np.int64)
    amount = np.rint(100 * table["Quantity"].to_numpy() * table["UnitPrice"].to_numpy()).astype(np.int64)
    return PurchaseDays.of(table["CustomerID"].to_numpy().astype(np.int64), day, amount)


def some(bought: PurchaseDays, kept: NDArray[np.bool_]) -> PurchaseDays:
    """Those of the days."""
    return PurchaseDays(bought.customer[kept], bought.day[kept], bought.amount[kept], bought.purchases[kept])
