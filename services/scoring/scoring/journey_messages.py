"""Effects of journeys as callers see them."""

from collections.abc import Mapping
from typing import Any

from google.type.money_pb2 import Money
from rapport.scoring.v1 import journey_effect_pb2 as pb

from chassis import money
from scoring.store import JourneyEffect
from scoring.usecases.journey_reports import PENDING


def journey_effect(document: JourneyEffect, days: int) -> pb.JourneyEffect:
    """The effect within so many days after the entry; pending where it was never computed."""
    found = (document.windows or {}).get(str(days))
    journey = f"journeys/{document.uid}"
    answer = pb.JourneyEffect(name=f"{journey}/effect", journey=journey, window_days=days)
    if found is None:
        pending = pb.JourneyEffect(state=f"STATE_{PENDING}", summary="Not computed yet; that takes seconds.")
        answer.MergeFrom(pending)
        return answer
    currency = found["currency"]
    answer.MergeFrom(
        pb.JourneyEffect(
            state=f"STATE_{found['state']}",
            summary=found["summary"],
            treated=_group(found["treated"], currency),
            held_out=_group(found["held_out"], currency),
            currency_code=currency,
            waiting_count=found["waiting"],
            messages=found["messages"],
            compute_time=document.compute_time,
            uplift=_uplift(document.uplift) if document.uplift else None,
        )
    )
    if "share" in found:
        answer.purchase_share.CopyFrom(pb.MeasuredDifference(**found["share"]))
        whole = 10 ** money.check_currency(currency)
        ends = {name: value / whole for name, value in found["revenue"].items() if name != "p_value"}
        answer.mean_revenue.CopyFrom(pb.MeasuredDifference(**ends, p_value=found["revenue"]["p_value"]))
    return answer


def _group(found: Mapping[str, Any], currency: str) -> pb.JourneyGroup:
    customers = found["customers"]
    return pb.JourneyGroup(
        customer_count=customers,
        purchaser_count=found["buyers"],
        purchase_share=found["buyers"] / customers if customers else 0.0,
        mean_revenue=_mean(found["revenue"], currency) if currency else None,
    )


def _mean(minor: float, currency: str) -> Money:
    """An average, to the billionth of a unit: rounding it to minor units would lose what the groups differ by."""
    nanos = round(minor * 10 ** (9 - money.check_currency(currency)))
    units, rest = divmod(nanos, 10**9)
    return Money(currency_code=currency, units=units, nanos=rest)


def _uplift(found: Mapping[str, Any]) -> pb.JourneyUplift:
    value, low, high = found["qini"] or (None, None, None)
    return pb.JourneyUplift(
        customer_count=found["people"],
        heterogeneous=found["heterogeneous"],
        advice=found["advice"],
        messages=found["messages"],
        p_value=found["p"],
        qini=value,
        qini_low=low,
        qini_high=high,
        curve=[pb.QiniPoint(share=share, gain=gain) for share, gain in found["curve"]],
        traits=found["traits"],
    )
