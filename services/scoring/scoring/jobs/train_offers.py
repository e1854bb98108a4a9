"""Makes a tenant's offers and rules of what goes with what: `python -m scoring.jobs.train_offers --spec spec.json`.

A model is fitted to what was bought before the last 90 days (a third of all time, where that is less) and tested on
these, beside what is popular; what customers are offered comes from a model of all purchases, or from what is popular
when the test was not passed (`domain.offer_gates`). The output folder then holds `model.json`, `offers-0.parquet`,
`associations.json`, `progress.json` and last `_SUCCESS`; run again with equal lines it ends with equal offers. Exit
codes: see `jobs.program`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain import offer_gates
from scoring.domain.gates import CHAMPION, Interval, Verdict
from scoring.domain.offer_gates import Trial
from scoring.domain.offer_rules import keys_about
from scoring.jobs import associations, memory, order_lines, program
from scoring.jobs.files import Folder, fingerprint, opened
from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.order_lines import Lines
from scoring.jobs.progress import Reporter, State
from scoring.jobs.tasks import UnusableInputError
from scoring.models import offers
from scoring.models.baskets.significance import share
from scoring.models.fitting import Floats
from scoring.models.offers import Listing, OfferModel, Purchases
from scoring.models.offers.ranking import Bools
from scoring.models.offers.training import HORIZON_DAYS, MOST_ITEMS

VERSION = "3"
"""Part of every fingerprint: raise it when the same lines would give other offers."""
SUCCESS, MODEL, OFFERS, ASSOCIATIONS = "_SUCCESS", "model.json", "offers-0.parquet", "associations.json"
FEATURES = {"products_bought": 1, "days_since_bought": 1}
FORMAT = 1
SOLD_WITHIN_DAYS = 180
"""What nobody bought for so long is taken for no longer sold."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = 6


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.train_offers", __doc__, OfferJobSpec, run)


def run(spec: OfferJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for files that cannot be read."""
    try:
        hashes = order_lines.digest(spec)
        key = fingerprint(VERSION, spec.model_dump(mode="json", include={"tenant", "as_of", "most_lines"}), hashes)
        if (output.read_json(SUCCESS) or {}).get("fingerprint") == key:
            reporter.end(State.SUCCEEDED, "was done already")
            return
        output.delete(SUCCESS)
        reporter.place = "in this process, one thread"
        lines = order_lines.read(spec, output)
        memory.check_offers(len(lines.day), min(len(lines.products), MOST_ITEMS), spec.memory_mb)
    except (UnusableInputError, FileNotFoundError) as error:
        raise program.UnusableError(f"the lines of orders cannot be used: {error}") from error
    except memory.TooLargeError as error:
        raise program.UnusableError(str(error)) from error
    reporter.done("summarise", 1, 1)
    purchases = lines.purchases()
    end = _end(spec)
    trial = tested(purchases, end)
    verdict = offer_gates.judge(trial, spec.consenting)
    reporter.done("fit", 1, 2)
    model = offers.fit(purchases, end)
    if verdict.state != CHAMPION:
        model = model.by_popularity()
    reporter.done("fit", 1, 1)
    rules = associations.found(lines.baskets(), purchases)
    output.write(ASSOCIATIONS, lambda file: file.write(json.dumps(rules, allow_nan=False).encode()))
    blocked = _blocked(spec, model)
    output.write(OFFERS, lambda file: _write_offers(file, model, purchases, lines, end, blocked, reporter))
    described = _described(spec, lines, purchases, model, trial, verdict, key, len(rules["rules"]))
    output.write_json(MODEL, described)
    output.write_json(SUCCESS, {"fingerprint": key, "place": reporter.place})
    reporter.end(State.SUCCEEDED, described["message"])


def _end(spec: OfferJobSpec) -> int:
    """The day after that of the instant: what is bought on that day counts."""
    return (spec.as_of - _EPOCH) // timedelta(days=1) + 1


def tested(purchases: Purchases, end: int) -> Trial:
    """A model of what came before the last `HORIZON_DAYS`, on what customers then bought that was new to them."""
    span = end - int(purchases.day.min()) if len(purchases) else 0
    days = max(min(HORIZON_DAYS, span // 3), 1)
    before = purchases.between(None, end - days)
    model = offers.fit(before, end - days)
    kept = np.searchsorted(purchases.names, model.names)
    known, later = (some.of_items(kept) for some in (before, purchases.between(end - days, end)))
    ours, _ = model.evaluate(known, later, end - days)
    popular, _ = model.by_popularity().evaluate(known, later, end - days)
    better = ours.beats(popular) if ours.customers else (0.0, 0.0, 0.0)
    hits = np.array([int(ours.hit.sum())])
    low, high = share(hits, np.array([ours.customers])) if ours.customers else (np.zeros(1), np.zeros(1))
    return Trial(
        learned=int((before.breadth > 1).sum()),
        tested=ours.customers,
        days=days,
        hits=Interval(_round(ours.hit_rate), _round(float(low[0])), _round(float(high[0]))),
        popular_hits=_round(popular.hit_rate),
        better=Interval(*map(_round, better)),
    )


def _write_offers(
    file: BinaryIO,
    model: OfferModel,
    purchases: Purchases,
    lines: Lines,
    end: int,
    blocked: Bools | None,
    reporter: Reporter,
) -> None:
    """One row a customer, in order of the names."""
    known = purchases.of_items(np.searchsorted(purchases.names, model.names))
    sells = _sold(known, end)
    number, text = pa.list_(pa.float64()), pa.list_(pa.string())
    lists = (("products", text), *((name, number) for name in ("score", "probability", "low", "high")))
    schema = pa.schema([("customer", pa.string()), *lists, ("bought_day", pa.list_(pa.int64())), ("reasons", text)])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _rows(offers.listings(model, known, end, sells, blocked), model, lines, end, reporter):
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(
    listings: Iterable[Listing], model: OfferModel, lines: Lines, end: int, reporter: Reporter
) -> Iterator[list[dict[str, Any]]]:
    """Some customers at a time: lists of equal length, the best offer first."""
    for listing in listings:
        rows: list[dict[str, Any]] = []
        numbers = [_plain(values) for values in (listing.score, listing.probability, listing.low, listing.high)]
        for place, codes in enumerate(listing.item):
            count = int((codes >= 0).sum())
            if not count:
                continue
            score, probability, low, high = (column[place][:count] for column in numbers)
            ago = listing.days_ago[place][:count].tolist()
            rows.append(
                {
                    "customer": str(lines.customers[listing.first + place]),
                    "products": model.names[codes[:count]].tolist(),
                    "score": score,
                    "probability": probability,
                    "low": low,
                    "high": high,
                    # Since 1970-01-01; -1 for never.
                    "bought_day": [end - days if days != offers.NEVER else -1 for days in ago],
                    "reasons": listing.reasons[place],
                }
            )
        yield rows
        reporter.done("score", listing.first + len(listing.item), len(lines.customers), len(listing.item))


def _blocked(spec: OfferJobSpec, model: OfferModel) -> Bools | None:
    """By code, whether rules of offers block the product for everybody."""
    if spec.blocked is None:
        return None
    with opened(spec.blocked) as file:
        keys = set(pq.read_table(file, columns=["key"]).column("key").to_pylist())
    return np.array([not keys.isdisjoint(keys_about([str(name)])) for name in model.names], dtype=np.bool_)


def _sold(purchases: Purchases, end: int) -> Bools:
    """By code, whether anybody bought the product within SOLD_WITHIN_DAYS."""
    last = np.full(len(purchases.names), np.iinfo(np.int64).min)
    np.maximum.at(last, purchases.item, purchases.day)
    sold: Bools = last >= end - SOLD_WITHIN_DAYS
    return sold


def _described(
    spec: OfferJobSpec,
    lines: Lines,
    purchases: Purchases,
    model: OfferModel,
    trial: Trial,
    verdict: Verdict,
    key: str,
    rules: int,
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`)."""
    end = _end(spec)
    messages = list(model.messages)
    if lines.older:
        messages.append(f"{lines.older:,} older lines are left out: the newest {spec.most_lines:,} are learned from")
    if unsold := int((~_sold(purchases, end)).sum()):
        messages.append(f"{unsold:,} products that nobody bought for {SOLD_WITHIN_DAYS} days are not offered")
    days = [None, None] if not len(lines.day) else [_instant(int(lines.day.min())), _instant(int(lines.day.max()))]
    passed = verdict.state == CHAMPION and not model.fallback
    settings = {
        "model": "popularity" if model.fallback else "EASE",
        "products": len(model.names),
        "half_life_days": model.half_life_days,
        "strength": _round(model.strength),
        "prior": model.prior,
        "repeat": model.repeat,
        "horizon_days": model.horizon_days,
    }
    popular = {"parameters": {"offers": {"model": "popularity", "products": len(model.names)}}}
    told: dict[str, Any] = {
        "candidate": {
            "state": CHAMPION if passed else "REJECTED",
            "gates": [gate.to_dict() for gate in verdict.gates],
        },
        "test": {
            "days": trial.days,
            "customers": trial.tested,
            "hit_rate": trial.hits.value,
            "popular_hit_rate": trial.popular_hits,
        },
        "champion": "",
        "standing": "",
        "rollback": {"falls": False, "message": ""},
        "outcomes": [],
        "drifts": [],
        "features": FEATURES,
        "consenting": spec.consenting,
        "artefact": {"format": FORMAT, **settings, "calibration": _curves(model)},
    }
    if not passed:
        stands = "; ".join(["what is popular is offered to everybody", *messages])
        told["stand_in"] = {**popular, "message": stands, "artefact": {"format": FORMAT, **popular["parameters"]}}
    return {
        "tenant": spec.tenant,
        "version": key,
        "as_of": spec.as_of.astimezone(UTC).isoformat(),
        "currency": None,
        "window_start": days[0],
        "window_end": days[1],
        "customers": len(lines.customers),
        "purchases": len(np.unique(lines.purchase)),
        "parameters": {"offers": settings},
        "metrics": {
            "hit_rate_at_10": vars(trial.hits),
            "popular_hit_rate_at_10": trial.popular_hits,
            "better": vars(trial.better),
            "rules": rules,
        },
        "fallback": False,
        "message": "; ".join(messages),
        "judgement": told,
    }


def _curves(model: OfferModel) -> dict[str, Any]:
    """How scores become probabilities."""
    curves = (("new", model.of_new), ("bought", model.of_owned))
    return {
        name: {column: values.tolist() for column, values in vars(curve).items()}
        for name, curve in curves
        if curve is not None
    }


def _plain(values: Floats) -> list[list[float | None]]:
    """As files hold them: the last bits of a matrix product depend on the processor."""
    rounded: list[list[float]] = np.round(values, _DIGITS).tolist()
    return [[None if value != value else value for value in row] for row in rounded]


def _instant(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def _round(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    sys.exit(main())
