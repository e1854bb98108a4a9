"""Send time on Online Retail: log loss of the hours of purchases in the last 90 days, from those before.

A purchase is an invoice that is no cancellation, of a known customer; hours are those of the shop's clock; the segment
is the country.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq

from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models import send_time
from scoring.models.fitting import Floats
from scoring.models.send_time import Activity
from scoring.models.summary import Ints

_HOLDOUT_DAYS = 90
_FLOOR = 1e-9
"""What raw histograms give to hours at which a customer never bought."""
_RAW_LEAST = 3
_DATA = "Online Retail, last 90 days"
_ALL, _OLD = "all customers", f"customers with {_RAW_LEAST} purchases before"
_REFERENCE, _RAW_REFERENCE = 2.23, 8.6
"""Over 24 hours, of shrunk histograms and of raw ones, which are there only of customers who bought before."""
MARKS = (
    Mark(
        data=_DATA,
        metric=f"log loss over 24 hours, {_OLD}",
        at_most=_REFERENCE,
        source=f"shrunk histograms; raw ones {_RAW_REFERENCE}",
    ),
    *(
        Mark(
            data=_DATA,
            metric=f"log loss over {hours} hours, {_ALL}",
            at_most=1.0,
            times_peer=True,
            source="one histogram for all, same run",
        )
        for hours in (24, 168)
    ),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Log losses over 24 hours (the reference's binning) and 168, of the model and of both ends it lies between."""
    seen, new, segment, as_of = _split(data)
    model = send_time.train(seen, segment)
    probabilities = send_time.predict(model, seen, segment, as_of)
    counts = np.zeros((len(segment), send_time.HOURS))
    np.add.at(counts, (seen.customer, seen.hour), 1.0)
    everybody = counts.sum(axis=0) + 0.5
    everybody /= everybody.sum()
    old = counts.sum(axis=1)[new.customer] >= _RAW_LEAST

    def line(metric: str, value: float, reference: float | None = None, note: str | None = None) -> Line:
        return Line(
            task="send_time",
            data=_DATA,
            metric=metric,
            value=value,
            reference=reference,
            note=note,
        )

    for customers, kept in ((_ALL, np.ones(len(old), dtype=bool)), (_OLD, old)):
        customer, hour = new.customer[kept], new.hour[kept]
        loss = send_time.evaluate(probabilities, customer, hour)
        flat = send_time.evaluate(np.tile(everybody, (len(segment), 1)), customer, hour)
        note = f"{len(hour)} purchases, {customers}"
        for hours in (24, 168):
            yield Line(
                task="send_time",
                data=_DATA,
                metric=f"log loss over {hours} hours, {customers}",
                value=loss[f"log_loss_{hours}"],
                reference=_REFERENCE if customers == _OLD and hours == 24 else None,
                peer="one histogram for all",
                peer_value=flat[f"log_loss_{hours}"],
                note=note,
            )
    raw = _raw(counts.reshape(-1, 7, 24).sum(axis=1), new.customer[old], new.hour[old] % 24)
    yield line("log loss over 24 hours, raw personal histograms", raw, _RAW_REFERENCE, f"floor {_FLOOR:g}; {note}")
    chosen = ", ".join(f"{name} {value:g}" for name, value in model.settings._asdict().items())
    yield line("strength chosen in training", model.settings.strength, note=chosen)
    yield _hits(probabilities, everybody, new)


def _hits(probabilities: Floats, everybody: Floats, new: Activity) -> Line:
    """How often a new purchase falls into the customer's three best hours of the day, against those of everybody."""
    of_day, flat = probabilities.reshape(-1, 7, 24).sum(axis=1), everybody.reshape(7, 24).sum(axis=0)
    top = np.argsort(-of_day, axis=1)[:, :3]
    return Line(
        task="send_time",
        data=_DATA,
        metric="share of purchases in the customer's 3 best hours of the day",
        value=float((top[new.customer] == (new.hour % 24)[:, None]).any(axis=1).mean()),
        peer="the same 3 hours for all",
        peer_value=float(np.isin(new.hour % 24, np.argsort(-flat)[:3]).mean()),
    )


def _raw(counts: Floats, customer: Ints, hour: Ints) -> float:
    share = counts[customer, hour] / counts[customer].sum(axis=1)
    return float(-np.log(np.maximum(share, _FLOOR)).mean())


def _split(data: DataFolder) -> tuple[Activity, Activity, Ints, int]:
    table = pq.read_table(
        data.file("online-retail", "online_retail.parquet"),
        columns=["InvoiceNo", "InvoiceDate", "CustomerID", "Country"],
    )
    who = table["CustomerID"].to_numpy(zero_copy_only=False)
    invoice = table["InvoiceNo"].to_numpy(zero_copy_only=False).astype(str)
    kept = ~np.isnan(who) & ~np.char.startswith(invoice, "C")
    invoice, who = invoice[kept], who[kept].astype(np.int64)
    seconds = table["InvoiceDate"].to_numpy(zero_copy_only=False)[kept].astype("datetime64[s]").astype(np.int64)
    country = table["Country"].to_numpy(zero_copy_only=False)[kept].astype(str)
    # An invoice has a line for each product; its first one tells when it was.
    order = np.lexsort((seconds, invoice))
    first = order[np.unique(invoice[order], return_index=True)[1]]
    _, customer, count = np.unique(who[first], return_inverse=True, return_counts=True)
    segment = np.zeros(len(count), dtype=np.int64)
    segment[customer] = np.unique(country[first], return_inverse=True)[1]
    day = seconds[first] // 86_400
    # The shop's clock is written as if it were UTC.
    hour = send_time.local_hours(seconds[first], "UTC")
    new = seconds[first] > seconds.max() - _HOLDOUT_DAYS * 86_400
    seen = Activity(customer[~new], hour[~new], day[~new])
    return seen, Activity(customer[new], hour[new], day[new]), segment, int(seen.day.max())
