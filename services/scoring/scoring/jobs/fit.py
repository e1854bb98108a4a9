"""Between summaries and scores: fits the models to all customers, tests them on later purchases, sets the scales."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from scoring.jobs import holdout
from scoring.jobs.files import Folder
from scoring.jobs.tasks import SUMMARY_COLUMNS, read_columns
from scoring.models import gamma_gamma, lifetime_value, selection
from scoring.models.fitting import Histories, Interval, delta_intervals, significant, total
from scoring.models.gamma_gamma import GammaGamma
from scoring.models.lifetime_value import Choice
from scoring.models.purchase_model import PurchaseModel
from scoring.models.reasons import Usual
from scoring.models.rfm import Bounds, Scales
from scoring.models.rounding import rounded
from scoring.models.scorecard import Basis
from scoring.models.selection import PROFILED_GROUPS
from scoring.models.summary import Ints, grouped


@dataclass(frozen=True)
class Fitted:
    """All that scoring a customer needs besides their own summary."""

    choice: Choice
    recency: Bounds
    """Of the days since the last purchase, negated: who bought lately scores high."""
    frequency: Bounds
    monetary: Bounds
    """Of revenue."""
    usual: Usual
    as_of_day: int
    horizon_weeks: int
    discount: float
    customers: int
    first_day: int | None
    last_day: int | None
    metrics: dict[str, Any]

    @property
    def basis(self) -> Basis:
        """What scores a customer."""
        scales = Scales(self.recency, self.frequency, self.monetary)
        return Basis(self.choice, scales, self.usual, self.horizon_weeks, self.discount)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the models and the scales, as JSON holds them."""
        return {
            "purchases": {"model": name_of(self.choice.purchases), **self.choice.purchases.parameters},
            "spend": {"model": name_of(self.choice.spend), **self.choice.spend.parameters},
            "rfm_bounds": {
                "days_since_last": [-bound for bound in self.recency.upper],
                "frequency": list(self.frequency.upper),
                "revenue_minor": list(self.monetary.upper),
            },
            "usual": {
                "p_alive": rounded(self.usual.alive),
                "discounted_purchases": rounded(self.usual.discounted),
                "spend_minor": rounded(self.usual.spend),
                "purchase_day_minor": rounded(self.usual.order),
            },
        }

    @property
    def scales(self) -> dict[str, Any]:
        """What scores are told by, besides the models: exactly, as `restored` wants it."""
        return {
            "recency": list(self.recency.upper),
            "frequency": list(self.frequency.upper),
            "monetary": list(self.monetary.upper),
            "usual": asdict(self.usual),
            "as_of_day": self.as_of_day,
            "horizon_weeks": self.horizon_weeks,
            "discount": self.discount,
        }


def name_of(model: object) -> str:
    """How `model.json` calls a model."""
    return model.NAME if isinstance(model, PurchaseModel | GammaGamma) else "baseline"


def fit(
    output: Folder,
    summaries: list[str],
    as_of_day: int,
    cut_day: int,
    inner_cut_day: int,
    horizon_weeks: int,
    discount: float,
) -> Fitted:
    """Fits to the customers in the files `summaries`. The result does not depend on how many files there are.

    The model of purchases is chosen by those between `inner_cut_day` and `cut_day` and tested on those after.
    """
    column = _read(output, summaries)
    x = column["days"] - 1
    recency, age = column["last_day"] - column["first_day"], as_of_day - column["first_day"]
    (gx, g_recency, g_age), counts = grouped(x, recency, age)
    chosen = holdout.selected(column, inner_cut_day, cut_day)
    purchases, about_purchases = lifetime_value.fit_purchases(gx, g_recency, g_age, counts, horizon_weeks, chosen.name)
    if chosen.name != selection.DEFAULT and name_of(purchases) == chosen.name:
        about_purchases = (chosen.reason, *about_purchases)
    (days, revenue, repeat_revenue), spend_counts = grouped(column["days"], column["revenue"], column["repeat_revenue"])
    spend, about_spend = lifetime_value.fit_spend(days - 1, repeat_revenue, days, revenue, spend_counts)
    choice = Choice(purchases, spend, (*about_purchases, *about_spend))
    metrics = {
        **_of_purchases(purchases, Histories.of(gx, g_recency, g_age, counts)),
        **_of_spend(spend, days - 1, repeat_revenue, spend_counts),
        "selection": chosen.metrics,
        "holdout": holdout.tested(column, cut_day, as_of_day, chosen.name),
    }
    groups = ((gx, g_recency, g_age), counts)
    return _fitted(choice, column, groups, as_of_day, horizon_weeks, discount, metrics)


def as_stored(
    output: Folder, summaries: list[str], choice: Choice, as_of_day: int, horizon_weeks: int, discount: float
) -> Fitted:
    """Models that are there already, with the scales of the customers in the files `summaries`."""
    column = _read(output, summaries)
    recency, age = column["last_day"] - column["first_day"], as_of_day - column["first_day"]
    (x, g_recency, g_age), counts = grouped(column["days"] - 1, recency, age)
    groups = ((x, g_recency, g_age), counts)
    return _fitted(choice, column, groups, as_of_day, horizon_weeks, discount, {})


def _fitted(
    choice: Choice,
    column: dict[str, Ints],
    groups: tuple[tuple[Ints, Ints, Ints], Ints],
    as_of_day: int,
    horizon_weeks: int,
    discount: float,
    metrics: dict[str, Any],
) -> Fitted:
    customers = len(column["days"])
    return Fitted(
        choice=choice,
        recency=_bounds(column["last_day"] - as_of_day),
        frequency=_bounds(column["days"]),
        monetary=_bounds(column["revenue"]),
        usual=_usual(choice, *groups, column, horizon_weeks, discount),
        as_of_day=as_of_day,
        horizon_weeks=horizon_weeks,
        discount=discount,
        customers=customers,
        first_day=int(column["first_day"].min()) if customers else None,
        last_day=int(column["last_day"].max()) if customers else None,
        metrics=metrics,
    )


def scored_by(output: Folder, summaries: list[str], fitted: Fitted, choice: Choice) -> Fitted:
    """Other models for the same customers, with what is usual by these."""
    column = _read(output, summaries)
    recency, age = column["last_day"] - column["first_day"], fitted.as_of_day - column["first_day"]
    (x, g_recency, g_age), counts = grouped(column["days"] - 1, recency, age)
    usual = _usual(choice, (x, g_recency, g_age), counts, column, fitted.horizon_weeks, fitted.discount)
    return replace(fitted, choice=choice, usual=usual)


def restored(choice: Choice, scales: dict[str, Any]) -> Fitted:
    """What scored once, from its models and `Fitted.scales`; of whom it was fitted to it knows nothing."""
    return Fitted(
        choice=choice,
        recency=Bounds(tuple(scales["recency"])),
        frequency=Bounds(tuple(scales["frequency"])),
        monetary=Bounds(tuple(scales["monetary"])),
        usual=Usual(**scales["usual"]),
        as_of_day=scales["as_of_day"],
        horizon_weeks=scales["horizon_weeks"],
        discount=scales["discount"],
        customers=0,
        first_day=None,
        last_day=None,
        metrics={},
    )


def _read(output: Folder, summaries: list[str]) -> dict[str, Ints]:
    parts = [read_columns(output, name, SUMMARY_COLUMNS) for name in summaries]
    return {name: np.concatenate([part.column(name).to_numpy() for part in parts]) for name in SUMMARY_COLUMNS}


def _bounds(values: Ints) -> Bounds:
    return Bounds.of(*np.unique(values, return_counts=True))


def _usual(
    choice: Choice,
    groups: tuple[Ints, Ints, Ints],
    counts: Ints,
    column: dict[str, Ints],
    horizon_weeks: int,
    discount: float,
) -> Usual:
    customers = int(counts.sum())
    if not customers:
        return Usual(1.0, 1.0, 1.0, 1.0)
    seen = lifetime_value.outlook(choice.purchases, *groups, horizon_weeks, discount)
    ages, of_age = grouped(groups[2], weights=counts)
    median_age = ages[0][np.searchsorted(2 * np.cumsum(of_age), customers)]
    usual = lifetime_value.usual_discounted(choice.purchases, np.array([median_age]), horizon_weeks, discount)
    spend = choice.spend.mean
    order = int(column["revenue"].sum()) / int(column["days"].sum())
    # Rounded like the parameters, for the same reason.
    return Usual(
        *(significant(value) for value in (total(counts, seen.alive) / customers, float(usual[0]), spend, order))
    )


def _of_purchases(model: object, histories: Histories) -> dict[str, Any]:
    if not isinstance(model, PurchaseModel):
        return {}
    return _of_model("purchases", model, selection.parameter_intervals(model, histories))


def _of_spend(model: object, x: Ints, spend: Ints, counts: Ints) -> dict[str, Any]:
    if not isinstance(model, GammaGamma):
        return {}
    usable = (x > 0) & (spend > 0)
    found = (
        gamma_gamma.intervals(model, x[usable], spend[usable], counts[usable])
        if usable.sum() <= PROFILED_GROUPS
        else delta_intervals(model.parameters, model.covariance)
    )
    return {
        **_of_model("spend", model, found),
        "correlation_of_spend_and_frequency": rounded(model.correlation),
    }


def _of_model(name: str, model: PurchaseModel | GammaGamma, intervals: dict[str, Interval]) -> dict[str, Any]:
    errors = np.sqrt(np.diag(model.covariance)).tolist()
    return {
        f"{name}_log_likelihood": rounded(model.log_likelihood),
        f"{name}_customers": model.customers,
        f"{name}_standard_errors": {
            parameter: rounded(value * error)
            for (parameter, value), error in zip(model.parameters.items(), errors, strict=True)
        },
        f"{name}_intervals": {parameter: [rounded(low), rounded(high)] for parameter, (low, high) in intervals.items()},
    }
