"""The last purchases, which tell which model of purchases is taken and how well it tells what comes."""

from typing import Any

import numpy as np

from scoring.models import lifetime_value, selection
from scoring.models.fitting import Floats, total
from scoring.models.gamma_gamma import correlation
from scoring.models.purchase_model import PurchaseModel
from scoring.models.rounding import rounded
from scoring.models.selection import Selection, Split
from scoring.models.summary import DAYS_PER_WEEK, Ints

HOLDOUT_WEEKS = 13
"""The last purchases of the window, on which the purchase model is tested after fitting it to those before. On as many
weeks before them the model is chosen."""
_LEAST_CALIBRATION_WEEKS = 2 * HOLDOUT_WEEKS
_DECILES = 10


def selected(column: dict[str, Ints], inner_cut_day: int, cut_day: int) -> Selection:
    """The model that tells best the purchases between the two days, of those fitted to the ones before.

    column: summaries, as `tasks.SUMMARY_COLUMNS` has them.
    """
    weeks = (cut_day - inner_cut_day) / DAYS_PER_WEEK
    split = _split(column, "inner", inner_cut_day, column["early_days"], weeks)
    if split is None:
        least = _LEAST_CALIBRATION_WEEKS + 2 * HOLDOUT_WEEKS
        return selection.without_comparison(f"models are compared from purchases of {least} weeks on")
    return selection.select(split)


def tested(column: dict[str, Ints], cut_day: int, as_of_day: int, name: str) -> dict[str, Any]:
    """How well a model fitted to the purchases until `cut_day` tells those after; those who came later do not count."""
    weeks = (as_of_day - cut_day) / DAYS_PER_WEEK
    split = _split(column, "early", cut_day, column["days"], weeks)
    if split is None:
        return {"message": f"needs purchases of at least {_LEAST_CALIBRATION_WEEKS + HOLDOUT_WEEKS} weeks"}
    model, messages = lifetime_value.fit_purchases(
        split.x, split.recency_days, split.age_days, split.counts, round(weeks), name
    )
    if not isinstance(model, PurchaseModel):
        return {"message": messages[0]}
    found = holdout_figures(split.expected(model), split.later, split.counts)
    return {"weeks": rounded(weeks), "model": model.NAME, **found}


def _split(column: dict[str, Ints], prefix: str, day: int, until: Ints, weeks: float) -> Split | None:
    """Purchases before and after a day, of those who came until then; `until` counts days with any in the end.

    None where the purchases before it span too few weeks.
    """
    known = column[f"{prefix}_days"] > 0
    first, before = column["first_day"][known], column[f"{prefix}_days"][known]
    if not known.any() or day + 1 - int(first.min()) < _LEAST_CALIBRATION_WEEKS * DAYS_PER_WEEK:
        return None
    last = column[f"{prefix}_last_day"][known]
    return Split.of(before - 1, last - first, day - first, until[known] - before, weeks)


def holdout_figures(expected: Floats, actual: Ints, counts: Ints) -> dict[str, Any]:
    """Mean absolute and root mean square error, correlation, relative error of the total, and deciles by expectation,
    which are only about equally large.

    `baseline_rmse` is that of expecting the mean of everybody. Zero for all nearly ties in mean absolute error: it
    alone says little.
    """
    customers = int(counts.sum())
    bought = int(counts @ actual)
    figures: dict[str, Any] = {
        "customers": customers,
        "purchases": bought,
        "mae": rounded(total(counts, np.abs(expected - actual)) / customers),
        "rmse": rounded(float(np.sqrt(total(counts, (expected - actual) ** 2) / customers))),
        "baseline_rmse": rounded(float(np.sqrt(total(counts, (actual - bought / customers) ** 2) / customers))),
        "correlation": rounded(correlation(expected, actual.astype(np.float64), counts)),
    }
    if bought:
        figures["total_error"] = rounded(total(counts, expected) / bought - 1)
    # Who is expected to do the same stays together: told apart by what came, all would look sorted.
    _, alike = np.unique(np.round(expected, 9), return_inverse=True)
    size = np.bincount(alike, counts).astype(np.int64)
    decile = ((2 * np.cumsum(size) - size) * _DECILES // (2 * customers))[alike]
    figures["deciles"] = [
        _decile(expected[inside], actual[inside], counts[inside])
        for inside in (decile == number for number in np.unique(decile))
    ]
    return figures


def _decile(expected: Floats, actual: Ints, counts: Ints) -> dict[str, Any]:
    customers = int(counts.sum())
    means = (rounded(total(counts, column) / customers) for column in (expected, actual))
    return {**dict(zip(("expected", "actual"), means, strict=True)), "customers": customers}
