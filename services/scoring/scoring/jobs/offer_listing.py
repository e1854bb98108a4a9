"""The offers of a job's customers, in a file with all that they were made of, and made again from that.

`offers-0.parquet` has a customer a row, with what they had bought by then; `offered.npz` what is not of one customer:
what is sold, what rules block, and the counts that reasons tell; `model.json` says which model it was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain.offer_rules import keys_about
from scoring.jobs import offer_models
from scoring.jobs.files import Folder, opened
from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.order_lines import Lines
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import KnownModel
from scoring.models import offers
from scoring.models.fitting import Floats
from scoring.models.offers import Listing, OfferModel, Purchases, newcomers
from scoring.models.offers.explaining import Together, together
from scoring.models.offers.newcomers import Newcomers
from scoring.models.offers.ranking import Bools
from scoring.models.offers.wording import LEAST_BUYERS

OFFERS, OFFERED = "offers-0.parquet", "offered.npz"
HISTORY = ("history_product", "history_day")
"""Columns of what a customer had bought, on which day since 1970-01-01."""
SOLD_WITHIN_DAYS = 180
"""What nobody bought for so long is taken for no longer sold."""
_DIGITS = 6


@dataclass(frozen=True)
class Making:
    """What offers are made by. end: the day that all that counts was bought before."""

    model: OfferModel
    purchases: Purchases
    lines: Lines
    end: int
    sells: Bools
    blocked: Bools | None

    @classmethod
    def of(cls, spec: OfferJobSpec, model: OfferModel, purchases: Purchases, lines: Lines, end: int) -> "Making":
        """With what rules block by the spec."""
        known = purchases.named(model.names)
        return cls(model, known, lines, end, sold(known, end), _blocked(spec, model))


def sold(purchases: Purchases, end: int) -> Bools:
    """By code, whether anybody bought the product within SOLD_WITHIN_DAYS."""
    last = np.full(len(purchases.names), np.iinfo(np.int64).min)
    np.maximum.at(last, purchases.item, purchases.day)
    sells: Bools = last >= end - SOLD_WITHIN_DAYS
    return sells


def write(making: Making, output: Folder, reporter: Reporter) -> None:
    """Writes both files."""
    also = None if making.model.fallback else Together(together(making.purchases))
    output.write(OFFERS, lambda file: _write(file, making, also, reporter))
    # Fewer people than this are in no reason: nobody might know them.
    counts = [(*key, *told) for key, told in (also.asked if also else {}).items() if told[0] >= LEAST_BUYERS]
    columns = np.array(counts, dtype=np.int64).reshape(-1, 4)
    blocked = making.blocked if making.blocked is not None else np.zeros(0, dtype=np.bool_)
    given: dict[str, Any] = {"sells": making.sells, "blocked": blocked, "counts": columns, "end": np.array(making.end)}
    # The stored model does not know them.
    given |= newcomers.stored(Newcomers.among(making.model))
    output.write(OFFERED, lambda file: np.savez(file, **given))


def again(result: Folder, row: Mapping[str, Any], scored_with: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the file made anew, from what is beside it. Raises UnusableInputError when the model is not there."""
    told = KnownModel(name=scored_with["model"], role="champion", url=scored_with["url"], sha256=scored_with["sha256"])
    model = offer_models.load(told).model
    with result.open(OFFERED) as file, np.load(file, allow_pickle=False) as stored:
        found = {name: stored[name] for name in stored.files}
    if (came := newcomers.loaded(found)) is not None:
        model = newcomers.joined(model, came)
    counts = {(offered, bought): (both, of) for offered, bought, both, of in found["counts"].tolist()}
    history = model.history(*(row[name] for name in HISTORY))
    blocked = found["blocked"] if len(found["blocked"]) else None
    end = int(found["end"])
    listing = next(
        offers.listings(model, history, end, found["sells"], blocked, lambda *pair: counts.get(pair, (0, 0)))
    )
    computed = _row(listing, 0, model, end)
    return {"customer": row["customer"], **computed, **{name: row[name] for name in HISTORY}}


def _write(file: BinaryIO, making: Making, also: Together | None, reporter: Reporter) -> None:
    """One row a customer, in order of the names."""
    number, text = pa.list_(pa.float64()), pa.list_(pa.string())
    lists = (("products", text), *((name, number) for name in ("score", "probability", "low", "high")))
    days = (("bought_day", pa.list_(pa.int64())), ("reasons", text))
    schema = pa.schema(
        [("customer", pa.string()), *lists, *days, (HISTORY[0], text), (HISTORY[1], pa.list_(pa.int64()))]
    )
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _rows(making, also, reporter):
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(making: Making, also: Together | None, reporter: Reporter) -> Iterator[list[dict[str, Any]]]:
    """Some customers at a time: lists of equal length, the best offer first."""
    model, purchases, customers = making.model, making.purchases, making.lines.customers
    starts = np.searchsorted(purchases.customer, np.arange(purchases.customers + 1))
    for listing in offers.listings(model, purchases, making.end, making.sells, making.blocked, also):
        rows: list[dict[str, Any]] = []
        for place in range(len(listing.item)):
            made = _row(listing, place, model, making.end)
            if made["products"]:
                who = listing.first + place
                here = slice(starts[who], starts[who + 1])
                history = model.names[purchases.item[here]].tolist(), purchases.day[here].tolist()
                rows.append({"customer": str(customers[who]), **made, **dict(zip(HISTORY, history, strict=True))})
        yield rows
        reporter.done("score", listing.first + len(listing.item), len(customers), len(listing.item))


def _row(listing: Listing, place: int, model: OfferModel, end: int) -> dict[str, Any]:
    """The offers of one of its customers."""
    codes = listing.item[place]
    count = int((codes >= 0).sum())
    numbers = {name: _plain(getattr(listing, name)[place][:count]) for name in ("score", "probability", "low", "high")}
    ago = listing.days_ago[place][:count].tolist()
    return {
        "products": model.names[codes[:count]].tolist(),
        **numbers,
        # Since 1970-01-01; -1 for never.
        "bought_day": [end - days if days != offers.NEVER else -1 for days in ago],
        "reasons": listing.reasons[place],
    }


def _blocked(spec: OfferJobSpec, model: OfferModel) -> Bools | None:
    """By code, whether rules of offers block the product for everybody."""
    if spec.blocked is None:
        return None
    with opened(spec.blocked) as file:
        keys = set(pq.read_table(file, columns=["key"]).column("key").to_pylist())
    return np.array([not keys.isdisjoint(keys_about([str(name)])) for name in model.names], dtype=np.bool_)


def _plain(values: Floats) -> list[float | None]:
    """As files hold them: the last bits of a matrix product depend on the processor."""
    rounded: list[float] = np.round(values, _DIGITS).tolist()
    return [None if value != value else value for value in rounded]
