"""Events about scores, made from stored rows."""

from collections.abc import Iterable, Mapping
from typing import Any

from rapport.scoring.v1 import customer_renewal_pb2, events_pb2, response_propensity_pb2

from chassis import money


def snapshot(row: Mapping[str, Any]) -> events_pb2.ScoreSnapshot:
    """The scores of one customer, as others need them; only its name where there are none."""
    if "p_alive" not in row:
        return events_pb2.ScoreSnapshot(customer=row["customer"])
    return events_pb2.ScoreSnapshot(
        customer=row["customer"],
        p_alive=row["p_alive"],
        expected_purchases=row["expected_purchases"],
        lifetime_value=money.from_minor(row["lifetime_value_minor"], row["currency"]),
        rfm_segment=row["rfm"]["segment"],
        reasons=row["reasons"],
        model=f"models/{row.get('model') or row['job']}",
        decision=row["decision"],
    )


def churn_risk(row: Mapping[str, Any]) -> events_pb2.ChurnRiskState:
    """The risk of leaving of one customer, as others need it."""
    risk = row["churn"]
    return events_pb2.ChurnRiskState(
        customer=row["customer"],
        **{name: risk[name] for name in ("probability", "low", "high", "percentile", "horizon_weeks", "decision")},
        reasons=[reason["text"] for reason in risk["reasons"]],
        model=f"models/{risk['model']}",
    )


def customer_cluster(row: Mapping[str, Any]) -> events_pb2.CustomerClusterState:
    """The cluster of one customer, as others need it."""
    cluster = row["cluster"]
    return events_pb2.CustomerClusterState(
        customer=row["customer"],
        display_name=cluster["name"],
        model=f"models/{cluster['model']}",
        **{name: cluster[name] for name in ("fallback", "reasons", "decision")},
    )


def response_propensity(row: Mapping[str, Any]) -> response_propensity_pb2.ResponsePropensityState:
    """The probability of a response of one customer, as others need it."""
    response = row["response"]
    return response_propensity_pb2.ResponsePropensityState(
        customer=row["customer"],
        **{name: response[name] for name in ("probability", "low", "high", "percentile", "horizon_days", "decision")},
        reasons=[reason["text"] for reason in response["reasons"]],
        model=f"models/{response['model']}",
    )


def customer_renewal(row: Mapping[str, Any]) -> customer_renewal_pb2.CustomerRenewalState:
    """How likely it is that one customer renews a contract, as others need it."""
    renewal = row["renewal"]
    return customer_renewal_pb2.CustomerRenewalState(
        customer=row["customer"],
        probability=renewal["probability"],
        probability_low=renewal["low"],
        probability_high=renewal["high"],
        renewal_count=renewal["renewals"],
        renewal_due_time=renewal["due_time"],
        model=f"models/{renewal['model']}",
        **{name: renewal[name] for name in ("fallback", "reasons", "decision")},
    )


def customer_usage(row: Mapping[str, Any]) -> events_pb2.CustomerUsageState:
    """How one customer uses, as others need it."""
    usage = row["usage"]
    return events_pb2.CustomerUsageState(
        customer=row["customer"],
        state=f"STATE_{usage['state']}",
        used_count=usage["used"],
        **{f"{name}_count": usage.get(name) for name in ("expected", "low", "high")},
        model=f"models/{usage['model']}",
        **{name: usage[name] for name in ("begin_time", "window_weeks", "reasons", "decision")},
    )


def entered(segment: str, rows: Iterable[Mapping[str, Any]]) -> events_pb2.SegmentEntered:
    """Customers came into the segment of that uid."""
    return events_pb2.SegmentEntered(segment=f"segments/{segment}", customers=map(snapshot, rows))


def left(
    segment: str, rows: Iterable[Mapping[str, Any]], cause: events_pb2.SegmentLeft.Cause
) -> events_pb2.SegmentLeft:
    """Customers went out of the segment of that uid. Of those whose scores are gone only the name is told."""
    gone = cause in (events_pb2.SegmentLeft.CAUSE_SCORES_REMOVED, events_pb2.SegmentLeft.CAUSE_MERGED)
    customers = (events_pb2.ScoreSnapshot(customer=row["customer"]) if gone else snapshot(row) for row in rows)
    return events_pb2.SegmentLeft(segment=f"segments/{segment}", cause=cause, customers=customers)
