"""Churn of customers without contracts: the job's model against recency alone and BG/NBD, split by time.

The event is no purchase within 13 weeks. What is tested on the newest instant was trained as a job trains it: on the
instants before, each 13 weeks apart, among customers who bought within 365 days. BG/NBD is fitted to all purchases
before the tested instant, once telling 1 - P(alive), once the probability of the event itself,
1 - P(alive) (1 - ((alpha + T) / (alpha + T + t))^(r + x)).
"""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from sklearn.linear_model import LogisticRegression

from scoring.benchmarks import shops
from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.features.declared import PURCHASE
from scoring.features.table import DAY_US, Events
from scoring.models import bg_nbd, churn, classifier
from scoring.models.churn import Customers
from scoring.models.classifier import Training
from scoring.models.fitting import Floats
from scoring.models.name_hashes import hashed
from scoring.models.propensity import Labelled
from scoring.models.summary import DAYS_PER_WEEK, Ints, PurchaseDays, Summary

WEEKS = 13
_HORIZON = timedelta(weeks=WEEKS)
_FIGURES = ("auc", "brier", "log_loss", "ece")
_MODEL, _RECENCY, _ALIVE, _NONE = "job's model", "recency alone", "BG/NBD 1 - P(alive)", "BG/NBD P(no purchase)"


def measure_cdnow(data: DataFolder) -> Iterator[Line]:
    """All CDNOW customers of the first quarter of 1997."""
    yield from _measured("cdnow", shops.cdnow(data, "CDNOW_master.txt"))


def measure_online_retail(data: DataFolder) -> Iterator[Line]:
    """A year of a wholesaler of gifts."""
    yield from _measured("online retail", shops.online_retail(data))


def _measured(name: str, bought: PurchaseDays) -> Iterator[Line]:
    codes, customer = np.unique(bought.customer, return_inverse=True)
    events = Events(
        customer.astype(np.int64), np.full(len(bought), PURCHASE, dtype=np.int8), bought.day * DAY_US, bought.amount
    )
    shop = Customers(hashed(map(str, codes)), events, digits=2)
    end = (int(bought.day.max()) + 1) * DAY_US
    moments = churn.instants(events, end, _HORIZON)
    data = churn.labelled(shop, moments, _HORIZON)
    newest = data.dates == np.datetime64(moments[0], "us")
    learn, test = data.take(np.flatnonzero(~newest)), data.take(np.flatnonzero(newest))
    trained = classifier.train(learn.table, learn.labels, learn.dates, 7 * WEEKS, churn.OUTCOME)
    told = {
        _MODEL: classifier.predict(trained.classifier, test.table).probability,
        _RECENCY: _by_recency(learn, test),
        **_by_bg_nbd(bought, moments[0], codes[shop.active(moments[0])]),
    }
    yield from _lines(name, told, test, learn, trained, len(moments) - 1)


def _by_recency(learn: Labelled, test: Labelled) -> Floats:
    """Logistic regression on the logarithm of the days since the last purchase."""
    known, new = (
        np.log1p(np.asarray(rows.table.values[churn.RECENCY], dtype=np.float64))[:, None] for rows in (learn, test)
    )
    told: Floats = LogisticRegression().fit(known, learn.labels).predict_proba(new)[:, 1]
    return told


def _by_bg_nbd(bought: PurchaseDays, at: int, active: Ints) -> dict[str, Floats]:
    """Of the active customers, ascending by their numbers."""
    day = -(-at // DAY_US)
    seen = Summary.of(shops.some(bought, bought.day < day), day)
    x, recency, age = seen.days - 1, seen.last_day - seen.first_day, day - seen.first_day
    model = bg_nbd.fit(x, recency, age)
    asked = np.searchsorted(seen.customer, active)
    x, weeks = x[asked], age[asked] / DAYS_PER_WEEK
    alive = model.p_alive(x, recency[asked] / DAYS_PER_WEEK, weeks)[0]
    silent = ((model.alpha + weeks) / (model.alpha + weeks + WEEKS)) ** (model.r + x)
    return {_ALIVE: 1 - alive, _NONE: 1 - alive * (1 - silent)}


def _lines(
    name: str, told: dict[str, Floats], test: Labelled, learn: Labelled, trained: Training, instants: int
) -> Iterator[Line]:
    found = {model: classifier.measure(test.labels, probability) for model, probability in told.items()}
    rows = (
        f"{len(test)} customers, {test.labels.mean():.1%} left; learned from {len(learn)} rows of {instants} instants"
    )
    for model, figures in found.items():
        assert figures is not None
        for metric in _FIGURES:
            figure = getattr(figures, metric)
            note = f"90 % {figure.low:.4f} to {figure.high:.4f}"
            if metric == "auc":
                note += f"; {trained.classifier.chosen if model == _MODEL else model}; {rows}"
            yield Line(
                task="churn", data=f"{name}, {WEEKS} weeks", metric=f"{model} {metric}", value=figure.value, note=note
            )
    for rival in (_RECENCY, _NONE):
        test_ = classifier.compare(test.labels, told[rival], told[_MODEL])
        for metric, difference in (("auc", test_.auc), ("brier", test_.brier)):
            yield Line(
                task="churn",
                data=f"{name}, {WEEKS} weeks",
                metric=f"{_MODEL} {metric} less that of {rival}",
                value=difference.value,
                peer=rival,
                peer_value=difference.champion,
                note=f"95 % {difference.low:+.4f} to {difference.high:+.4f}",
            )
