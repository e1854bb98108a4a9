"""Lifetime value: parameters against the papers, purchases told of weeks nobody had seen, and seconds of a million.

Models are fitted until a day and tell the purchases after it; the model of a tenant is chosen on the last 13 weeks
before that day. References are the papers' parameters and what `lifetimes` 0.11 reaches on the same split.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from scoring.benchmarks import recalibration, shops
from scoring.benchmarks.clv_published import (
    BEST_OF_SAMPLE,
    COHORTS,
    FULL_PARAMETERS,
    MARK_SECONDS,
    MARKS,
    SAMPLE_HOLDOUT,
    SAMPLE_PARAMETERS,
    SPEND,
    SPEND_CORRELATION,
    WHOLE,
)
from scoring.benchmarks.datasets import DataFolder
from scoring.benchmarks.lines import Line
from scoring.jobs import bench
from scoring.jobs.holdout import holdout_figures
from scoring.models import gamma_gamma, sbg, selection
from scoring.models.fitting import Floats, Interval, delta_intervals
from scoring.models.purchase_model import PurchaseModel
from scoring.models.sbg import Tenures
from scoring.models.selection import CANDIDATES, Split
from scoring.models.summary import DAYS_PER_WEEK, Ints, PurchaseDays, Summary

__all__ = ["MARKS", "measure"]

TASK = "clv"
_EPOCH = date(1970, 1, 1)
_CDNOW_END = date(1997, 9, 30)
_CDNOW_LAST = date(1998, 6, 30)
_RETAIL_HOLDOUT = timedelta(days=90)
_VALIDATION_DAYS = 91


def measure(data: DataFolder) -> Iterator[Line]:
    """All lines; what needs no data comes first."""
    yield from _contracts()
    yield from _million(leave_by_time=False)
    yield from _million(leave_by_time=True)
    sample = shops.cdnow(data, "CDNOW_sample.txt")
    yield from _told("cdnow sample", sample, _CDNOW_END, _CDNOW_LAST, SAMPLE_PARAMETERS, SAMPLE_HOLDOUT)
    yield from _spend(sample)
    yield from _told("cdnow", shops.cdnow(data, "CDNOW_master.txt"), _CDNOW_END, _CDNOW_LAST, FULL_PARAMETERS, {})
    retail = shops.online_retail(data)
    last = _EPOCH + timedelta(int(retail.day.max()))
    yield from _told("online retail", retail, last - _RETAIL_HOLDOUT, last, {}, {})


@dataclass(frozen=True)
class _Until:
    """Customers as they were on a day, and their purchase days and revenue until a later one."""

    seen: Summary
    split: Split
    later_revenue: Ints

    @classmethod
    def of(cls, bought: PurchaseDays, day: int, end: int) -> "_Until":
        early, until = bought.day <= day, bought.day <= end
        seen = Summary.of(shops.some(bought, early), day)
        whole = Summary.of(shops.some(bought, until), day)
        known = whole.early_days > 0
        x, recency, age = seen.days - 1, seen.last_day - seen.first_day, day - seen.first_day
        later = (whole.days - whole.early_days)[known]
        split = Split(x, recency, age, later, np.ones(len(x), dtype=np.int64), (end - day) / DAYS_PER_WEEK)
        return cls(seen, split, whole.revenue[known] - seen.revenue)


def _told(
    name: str,
    bought: PurchaseDays,
    until: date,
    last: date,
    parameters: Mapping[str, Mapping[str, float]],
    holdout: Mapping[str, Mapping[str, float]],
) -> Iterator[Line]:
    day, end = (until - _EPOCH).days, (last - _EPOCH).days
    now, inner = _Until.of(bought, day, end), _Until.of(bought, day - _VALIDATION_DAYS, day)
    histories = now.split.histories()
    told: dict[str, Floats] = {}
    for kind, candidate in CANDIDATES.items():
        begun = time.perf_counter()
        model = candidate.fit(now.split.histories())
        seconds = time.perf_counter() - begun
        of_profile = candidate.intervals(model, histories)
        known = parameters.get(kind, {})
        yield from _parameters(name, candidate.title, model, of_profile, known)
        yield Line(
            task=TASK,
            data=name,
            metric=f"{candidate.title} fit seconds",
            value=seconds,
            reference=holdout.get(kind, {}).get("fit seconds"),
            note=f"{histories.customers} customers, {len(histories)} groups; parameters and covariance",
        )
        told[kind] = now.split.expected(model)
        yield from _holdout(name, candidate.title, told[kind], now.split, holdout.get(kind, {}))
    chosen = selection.select(inner.split)
    note = f"{chosen.title}: {chosen.reason}"
    best = BEST_OF_SAMPLE if holdout else {}
    yield from _holdout(name, "chosen model", told[chosen.name], now.split, best, note)
    half = _Until.of(bought, day - (day - int(bought.day.min()) + 1) // 2, day).split
    correction = recalibration.fit(recalibration.mean_of_models(half), half)
    corrected = correction.apply(np.add.reduce(list(told.values())) / len(told), now.split.x)
    note = (
        f"exp({correction.level:.2f}) * mean^{1 + correction.by_expected:.2f} * (1+x)^{correction.by_frequency:.2f}, "
        "learned on the window's second half; in no job"
    )
    yield from _holdout(name, "recalibrated mean of the models", corrected, now.split, best, note)
    yield from _value(name, now, told[chosen.name])


def _parameters(
    name: str,
    title: str,
    model: PurchaseModel | sbg.Sbg | gamma_gamma.GammaGamma,
    of_profile: Mapping[str, Interval],
    known: Mapping[str, float],
    unit: Mapping[str, float] | None = None,
) -> Iterator[Line]:
    """A line for each parameter, with both intervals, and the log-likelihood."""
    of_delta = delta_intervals(model.parameters, model.covariance)
    for parameter, value in model.parameters.items():
        scale = (unit or {}).get(parameter, 1.0)
        profile, delta = (
            " to ".join(f"{end * scale:.4g}" for end in ends[parameter]) for ends in (of_profile, of_delta)
        )
        yield Line(
            task=TASK,
            data=name,
            metric=f"{title} {parameter}",
            value=value * scale,
            reference=known.get(parameter),
            note=f"90 %: {profile} (profile likelihood), {delta} (delta method)",
        )
    reference = known.get("log-likelihood")
    # A part of the customers has no likelihood to compare.
    yield Line(
        task=TASK,
        data=name,
        metric=f"{title} log-likelihood",
        value=model.log_likelihood,
        reference=reference,
        note=f"of {model.customers} customers",
    )


def _holdout(
    name: str, title: str, expected: Floats, split: Split, known: Mapping[str, float], note: str | None = None
) -> Iterator[Line]:
    figures = holdout_figures(expected, split.later, split.counts)
    for metric in ("mae", "rmse", "correlation", "total_error"):
        beside = {"rmse": ("mean of everybody", figures["baseline_rmse"])}.get(metric)
        yield Line(
            task=TASK,
            data=name,
            metric=f"{title} holdout {metric.replace('_', ' ')}",
            value=figures[metric],
            reference=known.get(metric),
            peer=beside[0] if beside else None,
            peer_value=beside[1] if beside else None,
            note=note
            or f"{figures['purchases']} purchases of {figures['customers']} customers in {split.weeks:.3g} weeks",
        )
    tenths = figures["deciles"]
    away = sum(abs(tenth["expected"] - tenth["actual"]) * tenth["customers"] for tenth in tenths) / figures["purchases"]
    pairs = ", ".join(f"{tenth['expected']:.2f}/{tenth['actual']:.2f}" for tenth in tenths)
    yield Line(
        task=TASK,
        data=name,
        metric=f"{title} holdout calibration error by decile",
        value=away,
        note=f"share of purchases; expected/actual by tenth: {pairs}",
    )


def _value(name: str, now: _Until, expected: Floats) -> Iterator[Line]:
    """What the purchases told are worth, not discounted, against the revenue that came."""
    x, spend = now.split.x, now.seen.repeat_revenue
    usable = (x > 0) & (spend > 0)
    model = gamma_gamma.fit(x[usable], spend[usable])
    worth = expected * model.expected_spend(x, np.maximum(spend, 0)) / 100
    came = now.later_revenue / 100
    yield Line(
        task=TASK,
        data=name,
        metric="chosen model with Gamma-Gamma, revenue: correlation",
        value=float(np.corrcoef(worth, came)[0, 1]),
        note=f"Gamma-Gamma p {model.p:.4g}, q {model.q:.4g}; spend and frequency correlate by {model.correlation:.2f}",
    )
    yield Line(
        task=TASK,
        data=name,
        metric="chosen model with Gamma-Gamma, revenue: total error",
        value=float(worth.sum() / came.sum() - 1),
    )


def _spend(bought: PurchaseDays) -> Iterator[Line]:
    seen = _Until.of(bought, (_CDNOW_END - _EPOCH).days, (_CDNOW_LAST - _EPOCH).days).seen
    usable = (seen.days > 1) & (seen.repeat_revenue > 0)
    x, spend = seen.days[usable] - 1, seen.repeat_revenue[usable]
    begun = time.perf_counter()
    model = gamma_gamma.fit(x, spend)
    seconds = time.perf_counter() - begun
    ends = gamma_gamma.intervals(model, x, spend)
    yield from _parameters("cdnow sample", "Gamma-Gamma", model, ends, SPEND, {"gamma": 0.01})
    yield Line(
        task=TASK,
        data="cdnow sample",
        metric="Gamma-Gamma correlation of spend and frequency",
        value=model.correlation,
        reference=SPEND_CORRELATION,
    )
    yield Line(task=TASK, data="cdnow sample", metric="Gamma-Gamma fit seconds", value=seconds)


def _contracts() -> Iterator[Line]:
    for cohort, (survivors, (alpha, beta, likelihood)) in COHORTS.items():
        tenures = Tenures.of_cohorts([survivors[:8]])
        model = sbg.fit(tenures)
        known = {"alpha": alpha, "beta": beta, "log-likelihood": likelihood}
        yield from _parameters(f"sBG {cohort}", "sBG", model, sbg.intervals(model, tenures), known)
        projected = 1000 * model.survival(np.zeros(5, dtype=np.int64), np.arange(8, 13))
        yield Line(
            task=TASK,
            data=f"sBG {cohort}",
            metric="sBG projection of renewals 8 to 12, mean absolute error in percent",
            value=float(100 * np.mean(np.abs(projected / np.array(survivors[8:]) - 1))),
            note="of survivors, fitted to renewals 1 to 7",
        )


def _million(*, leave_by_time: bool) -> Iterator[Line]:
    name = f"1,000,000 simulated customers, {'Pareto/NBD' if leave_by_time else 'BG/NBD'}"
    steps = list(bench.fit_and_score(1_000_000, leave_by_time=leave_by_time))
    for step in steps:
        whole = step["step"] == "all"
        yield Line(
            task=TASK,
            data=name,
            metric="choose, fit and score: seconds" if whole else f"{step['step']}: seconds",
            value=step["seconds"],
            reference=MARK_SECONDS if whole else None,
            note=f"{step['cpu_seconds']} s of processor"
            + (f", {step['peak_mb']} MB at most" if whole else "")
            + "".join(f"; {told}" for told in [step.get("reason"), *step.get("messages", ())] if told),
        )
        if whole:
            # Other work on the machine moves these least.
            yield Line(task=TASK, data=name, metric=WHOLE, value=step["cpu_seconds"], reference=MARK_SECONDS)
