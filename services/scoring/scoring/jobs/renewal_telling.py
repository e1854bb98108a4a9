"""What customers are told of their contracts, and how the models that tell it are stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.jobs.columns import column
from scoring.jobs.event_files import SECOND_US
from scoring.jobs.subscriptions import Subscriptions
from scoring.models.baseline import MeanChurn
from scoring.models.contracts import DAY, NAMES, Contracts, Periods
from scoring.models.fitting import Interval
from scoring.models.sbg import Sbg, Tenures
from scoring.models.summary import Ints

RENEWALS = "renewals"
FORMAT = 1
WITHIN = 12
"""Periods within which further renewals are expected."""
PROBABILITY = "renewal_probability"
_NUMBERS = (PROBABILITY, "low", "high", "expected_renewals", "expected_low", "expected_high")
SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        *((name, pa.float64()) for name in _NUMBERS),
        ("reasons", pa.list_(pa.string())),
        ("due_time", pa.timestamp("us", tz="UTC")),
        ("period_days", pa.float64()),
        # What it was told from.
        ("renewals", pa.int64()),
        ("period", pa.string()),
        ("subscriptions", pa.int64()),
    ]
)
TOLD = (*_NUMBERS, "reasons")


@dataclass(frozen=True)
class Fitted:
    """The model of the contracts of a period, one of `models.contracts.NAMES`; its usual length is in seconds."""

    period: str
    length: int
    tenures: Tenures
    model: Sbg | MeanChurn
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Of the parameters."""

    def plain(self) -> "Fitted":
        """One rate for all instead."""
        rate = MeanChurn(self.tenures.losses, self.tenures.decisions)
        return Fitted(self.period, self.length, self.tenures, rate)

    def told(self) -> dict[str, Any]:
        """For the registry."""
        return {
            "period": self.period,
            "days": round(self.length / DAY, 2),
            "contracts": int(self.tenures.counts.sum()),
            "losses": self.tenures.losses,
            "renewals": self.tenures.decisions - self.tenures.losses,
            **self.model.parameters,
            **{f"{name}_interval": list(ends) for name, ends in self.intervals.items()},
        }


def stored(fitted: Sequence[Fitted]) -> dict[str, Any]:
    """The models, exactly."""
    return {"format": FORMAT, RENEWALS: {each.period: _stored(each.model) for each in fitted}}


def _stored(model: Sbg | MeanChurn) -> dict[str, Any]:
    if isinstance(model, MeanChurn):
        return {"losses": model.losses, "decisions": model.decisions}
    return {
        **model.parameters,
        "covariance": model.covariance.tolist(),
        "log_likelihood": model.log_likelihood,
        "customers": model.customers,
    }


def _restored(told: Mapping[str, Any]) -> Sbg | MeanChurn:
    if "losses" in told:
        return MeanChurn(**told)
    return Sbg(**{**told, "covariance": np.array(told["covariance"])})


def rows(found: Subscriptions, made: Contracts, periods: Periods, fitted: Sequence[Fitted]) -> pa.Table:
    """What customers are told of the contract that comes to its renewal first, of those that run; in order of names."""
    running = np.flatnonzero(made.running & made.known)
    subscription = made.subscription[running]
    customer = found.events.customers[subscription]
    due = made.begun[running] + periods.length[subscription]
    first = np.lexsort((made.renewals[running], due, customer))
    new = np.ones(len(first), dtype=bool)
    new[1:] = customer[first][1:] != customer[first][:-1]
    counts = np.bincount(customer, minlength=len(found.names))
    first = first[new]
    customer, subscription = customer[first], subscription[first]
    group, renewals = periods.group[subscription], made.renewals[running][first]
    columns: dict[str, Any] = {
        "customer": found.names.take(column(customer)),
        "due_time": column(due[first] * SECOND_US).cast(SCHEMA.field("due_time").type),
        "period_days": periods.length[subscription] / DAY,
        "renewals": renewals,
        "period": np.array(NAMES)[group].tolist(),
        "subscriptions": counts[customer],
        **{name: np.zeros(len(first)) for name in _NUMBERS},
    }
    reasons = np.empty(len(first), dtype=object)
    for each in fitted:
        mine = group == NAMES.index(each.period)
        told = _told(each.model, renewals[mine], counts[customer][mine])
        reasons[mine] = told.pop("reasons")
        for name, values in told.items():
            columns[name][mine] = values
    return pa.table({**columns, "reasons": reasons.tolist()}, SCHEMA)


def again(row: Mapping[str, Any], judgement: Mapping[str, Any]) -> dict[str, Any]:
    """What a row tells, computed anew from how often its contract was renewed, by the models kept in model.json."""
    models = judgement.get("stand_in", judgement)["artefact"][RENEWALS]
    told = _told(_restored(models[row["period"]]), *(np.array([row[name]]) for name in ("renewals", "subscriptions")))
    return {name: float(told[name][0]) for name in _NUMBERS} | {"reasons": list(told["reasons"][0])}


def _told(model: Sbg | MeanChurn, renewals: Ints, subscriptions: Ints) -> dict[str, Any]:
    """The columns TOLD of contracts that were renewed so often, of customers with so many."""
    # Equal contracts are told equally, whatever stands beside them.
    different, place = np.unique(renewals, return_inverse=True)
    ends = model.survival_interval(different, 1)
    expected_ends = model.expected_renewals_interval(different, WITHIN)
    shares = model.retention(different)
    values = (shares, *ends, model.expected_renewals(different, WITHIN), *expected_ends)
    words = [_words(model, int(each), share) for each, share in zip(different, shares, strict=True)]
    reasons = np.empty(len(renewals), dtype=object)
    for at, (which, several) in enumerate(zip(place.tolist(), subscriptions.tolist(), strict=True)):
        more = [f"has {several} subscriptions: this one comes to its renewal first"] if several > 1 else []
        reasons[at] = [words[which], *more]
    # As files hold them: the last bits depend on the processor, and on how many are computed at once.
    told = {name: np.round(value, 9)[place] for name, value in zip(_NUMBERS, values, strict=True)}
    return {**told, "reasons": reasons}


def _words(model: Sbg | MeanChurn, renewals: int, share: float) -> str:
    times = "1 renewal" if renewals == 1 else f"{renewals} renewals"
    came = f"came through {times}" if renewals else "has not come to a renewal yet"
    if isinstance(model, MeanChurn):
        return f"{came}; of all contracts {share:.0%} are renewed"
    new = f", of new ones {model.retention(np.zeros(1, dtype=np.int64))[0]:.0%}" if renewals else ""
    return f"{came}; of such {share:.0%} renew{new}"
