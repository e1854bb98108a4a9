"""The next best offer on Online Retail (UCI) and MovieLens-100k (Harper and Konstan 2015), ranked over all items.

Settings are chosen inside the time before the holdout. Peers get the same purchases: popularity, what the customer
bought most often, and item-item cosine similarity (Sarwar et al. 2001), written here in a few lines.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

from scoring.benchmarks.datasets import DataFolder, from_each
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from scoring.models.offers import OfferModel, Purchases, Ranking, fit, rank, top
from scoring.models.summary import Ints

TASK = "offers"
HOLDOUT_DAYS = 90
MOVIELENS = 0.126
"""HR@10 of the last film of each person, EASE with recency weights; tuned ALS had .094, popularity .050."""
_TIMED = 300
_SERVING, _MOST_MS = "milliseconds to score one customer, p50", 5.0

Scorer = Callable[[sparse.csr_array], NDArray[np.float64]]
"""From what customers own (weights) to scores of all items."""

MARKS = (
    Mark(data="movielens-100k", metric="HR@10 of new items", at_least=MOVIELENS, source="EASE with recency weights"),
    Mark(
        data="online-retail",
        metric="HR@10 of new items",
        at_least=1.0,
        times_peer=True,
        source="popularity, item cosine, same run",
    ),
    Mark(data="*", metric=_SERVING, at_most=_MOST_MS, source="offers are made of one customer within 25 ms"),
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Both data sets; what is missing is raised after the lines of the other one."""
    yield from from_each(data, _online_retail, _movielens)


def _online_retail(data: DataFolder) -> Iterator[Line]:
    import pyarrow.parquet as pq

    columns = ["InvoiceNo", "StockCode", "InvoiceDate", "CustomerID"]
    table = pq.read_table(data.file("online-retail", "online_retail.parquet"), columns=columns).to_pandas()
    # Postage and the like have codes of letters.
    goods = table["StockCode"].str.match(r"\d{5}")
    table = table[table["CustomerID"].notna() & ~table["InvoiceNo"].str.startswith("C") & goods]
    customer, customers = table["CustomerID"].factorize()
    item, names = table["StockCode"].factorize()
    day = table["InvoiceDate"].to_numpy().astype("datetime64[D]").astype(np.int64)
    purchases = Purchases.of(customer, item, day, np.array(names, dtype=np.str_), len(customers))
    end = int(day.max()) + 1
    yield from _compared("online-retail", purchases, end - HOLDOUT_DAYS, end, HOLDOUT_DAYS)


def _movielens(data: DataFolder) -> Iterator[Line]:
    rows = np.loadtxt(data.file("movielens-100k", "u.data"), dtype=np.int64)
    person, film, when = rows[:, 0] - 1, rows[:, 1], rows[:, 3]
    # People rate all films in an hour or two: their order is the time, each person's last film being of the last day.
    order = np.lexsort((film, when, person))
    person, film = person[order], film[order]
    ends = np.searchsorted(person, person, side="right")
    place = np.arange(len(person)) - ends
    names, item = np.unique(film.astype(np.str_), return_inverse=True)
    origin = int(-place.min())
    purchases = Purchases.of(person, item, origin + place, names, int(person.max()) + 1)
    yield from _compared("movielens-100k", purchases, origin - 1, origin, 1, only_new=True)


def _compared(
    data: str, purchases: Purchases, cut: int, end: int, horizon: int, only_new: bool = False
) -> Iterator[Line]:
    """Lines about what is bought from `cut` on, by a model that knows only what came before."""
    began = time.process_time()
    model = fit(purchases, cut, horizon)
    seconds = time.process_time() - began
    # Items of the holdout alone are ranked by nobody: they count as missed for all alike, by being left out.
    all_of_model = purchases.of_items(np.flatnonzero(np.isin(purchases.names, model.names)))
    known, later = all_of_model.between(None, cut), all_of_model.between(cut, end)
    ours = model.evaluate(known, later, cut)
    peers = {name: _ranked(known, later, scorer) for name, scorer in _peers(known).items()}
    for scope, which in (("new items", 0), ("all items", 1))[: 1 if only_new else 2]:
        for name, theirs in peers.items():
            gain, low, high = ours[which].beats(theirs[which])
            yield Line(
                task=TASK,
                data=data,
                metric=f"HR@10 of {scope}",
                value=ours[which].hit_rate,
                reference=MOVIELENS if only_new else None,
                peer=name,
                peer_value=theirs[which].hit_rate,
                note=f"{ours[which].customers:,} customers; {gain:+.3f} ({low:+.3f} to {high:+.3f}, 95 %)",
            )
        for metric, of in (("NDCG@10", "ndcg"), ("MRR", "mrr")):
            name = max(peers, key=lambda peer: getattr(peers[peer][which], of))
            yield Line(
                task=TASK,
                data=data,
                metric=f"{metric} of {scope}",
                value=getattr(ours[which], of),
                peer=f"{name} (the best one)",
                peer_value=getattr(peers[name][which], of),
            )
    yield from _calibration(data, model, known, later, cut)
    yield Line(
        task=TASK,
        data=data,
        metric="CPU seconds to choose and fit",
        value=seconds,
        note=f"{len(model.names):,} items; chosen: half-life {model.half_life_days:g} days, strength "
        f"{model.strength:g}, repeat {model.repeat:g}, prior {model.prior:g}"
        + "".join(f"; {message}" for message in model.messages),
    )
    yield _serving(data, model, known, cut)


def _calibration(data: str, model: OfferModel, known: Purchases, later: Purchases, cut: int) -> Iterator[Line]:
    """What the ten best new items of each known customer were said to bring, and what they brought."""
    if model.of_new is None:
        return
    said, bought = [], []
    for scores, owned, after in model.scored(known, later, cut):
        best = top(scores, owned, 10)
        there = best >= 0
        said.append(model.of_new.at(np.take_along_axis(scores, best, axis=1)[there])[0])
        bought.append(np.take_along_axis(after, best, axis=1)[there])
    told, came = np.concatenate(said), np.concatenate(bought)
    order = np.argsort(told, kind="stable")
    tenths = [(told[part].mean(), came[part].mean(), len(part)) for part in np.array_split(order, 10)]
    error = sum(abs(mean - share) * count for mean, share, count in tenths) / len(told)
    yield Line(
        task=TASK,
        data=data,
        metric="probability told of the ten best new items, mean",
        value=float(told.mean()),
        reference=float(came.mean()),
        note=f"the reference is the share that was bought; expected calibration error over tenths {error:.4f}, "
        f"highest tenth {tenths[-1][0]:.3f} told, {tenths[-1][1]:.3f} bought",
    )


def _serving(data: str, model: OfferModel, known: Purchases, cut: int) -> Line:
    """One customer after another: from ids and days to scores of all items."""
    some = np.flatnonzero(known.breadth > 0)[:: max(known.customers // _TIMED, 1)]
    bounds = np.searchsorted(known.customer, np.stack([some, some + 1]))
    spent, used = [], []
    for low, high in bounds.T.tolist():
        items, days = known.names[known.item[low:high]], known.day[low:high]
        began, worked = time.perf_counter(), time.thread_time()
        model.scores(model.history(items, days), cut)
        spent.append(1000 * (time.perf_counter() - began))
        used.append(1000 * (time.thread_time() - worked))
    return Line(
        task=TASK,
        data=data,
        metric=_SERVING,
        value=float(np.median(spent)),
        reference=_MOST_MS,
        note=f"{len(some)} customers, from ids to the scores of all items; p95 {np.quantile(spent, 0.95):.2f}, "
        f"of CPU time {np.quantile(used, 0.95):.2f}",
    )


def _peers(known: Purchases) -> dict[str, Scorer]:
    popularity = known.buyers.astype(np.float64)
    owned = known.owned().astype(np.float64)
    norms = np.sqrt(np.maximum(popularity, 1.0))
    cosine = (owned.T @ owned).toarray() / np.outer(norms, norms)
    np.fill_diagonal(cosine, 0.0)
    # Popularity breaks the many ties of what somebody bought or did not.
    aside = 1e-3 * popularity / max(popularity.max(), 1.0)
    return {
        "popularity": lambda days: np.broadcast_to(popularity, days.shape),
        "bought most often": lambda days: days.toarray() + aside,
        "item cosine": lambda days: (days > 0).astype(np.float64) @ cosine,
    }


def _ranked(known: Purchases, later: Purchases, scorer: Scorer) -> tuple[Ranking, Ranking]:
    """Ranking of new items and of all, for customers with earlier purchases, as the model's own is measured."""
    # As of the last day, with a half-life past all bounds: the number of days each item was bought on.
    days = known.often_bought(0, 1e12).astype(np.float64)
    seen: Ints = np.flatnonzero(known.breadth > 0)
    scores = scorer(days[seen])
    owned, bought = days[seen].toarray() > 0, later.owned()[seen].toarray() > 0
    return rank(scores, bought, owned), rank(scores, bought, np.zeros_like(owned))
