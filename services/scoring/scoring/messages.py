"""Documents as the messages callers see."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rapport.scoring.v1 import (
    customer_renewal_pb2,
    customer_scores_pb2,
    customer_usage_pb2,
    events_pb2,
    lead_score_pb2,
    response_propensity_pb2,
    scoring_service_pb2,
    segment_pb2,
)

from chassis import clock, money
from scoring import condition_messages
from scoring.domain import condition_text
from scoring.store import Segment
from scoring.store.models import CHURN, CLUSTERS, LEAD_CONVERSION, LIFETIME_VALUE, RENEWAL, RESPONSE, USAGE

REFRESH_EVERY = timedelta(days=7)
"""When scores are due to be made anew where no job is scheduled: a week is the unit the models measure time in."""

Planned = Mapping[str, datetime]
"""When the next scheduled job of each kind of model is due (`store.job_schedules.next_scorings`)."""


def age(as_of: datetime) -> timedelta:
    """How long ago that was."""
    return max(clock.now() - as_of, timedelta(0))


def next_refresh(kind: str, as_of: datetime, planned: Planned) -> datetime:
    """When what a job of that kind told as of an instant is due to be told anew."""
    return planned.get(kind) or as_of + REFRESH_EVERY


def customer_scores(row: Mapping[str, Any], planned: Planned) -> customer_scores_pb2.CustomerScores:
    """The scores of a stored row."""
    found = customer_scores_pb2.CustomerScores(
        name=f"{row['customer']}/scores",
        customer=row["customer"],
        segments=[f"segments/{uid}" for uid in row.get("segments") or ()],
        churn_risk=_churn_risk(row["churn"], planned) if "churn" in row else None,
        cluster=_cluster(row["cluster"], planned) if "cluster" in row else None,
        usage=_usage(row["usage"], planned) if "usage" in row else None,
        renewal=_renewal(row["renewal"], planned) if "renewal" in row else None,
        response=_response(row["response"], planned) if "response" in row else None,
    )
    if "job" in row:
        found.MergeFrom(_value_scores(row, planned))
    return found


def _value_scores(row: Mapping[str, Any], planned: Planned) -> customer_scores_pb2.CustomerScores:
    """What jobs of lifetime value tell."""
    currency = row["currency"]
    rfm = row["rfm"]
    low, high = row["intervals"]["lifetime_value_minor"]
    return customer_scores_pb2.CustomerScores(
        rfm=customer_scores_pb2.Rfm(
            recency=rfm["recency"], frequency=rfm["frequency"], monetary=rfm["monetary"], segment=rfm["segment"]
        ),
        p_alive=_estimate(row, "p_alive"),
        expected_purchases=_estimate(row, "expected_purchases"),
        lifetime_value=customer_scores_pb2.MoneyEstimate(
            value=money.from_minor(row["lifetime_value_minor"], currency),
            low=money.from_minor(low, currency),
            high=money.from_minor(high, currency),
            percentile=row["percentiles"]["lifetime_value_minor"],
        ),
        reasons=row["reasons"],
        recency_weeks=row["recency_weeks"],
        frequency=row["frequency"],
        age_weeks=row["age_weeks"],
        monetary_value=money.from_minor(row["monetary_minor"], currency),
        purchase_count=row["purchases"],
        revenue=money.from_minor(row["revenue_minor"], currency),
        as_of=row["as_of"],
        horizon_weeks=row["horizon_weeks"],
        model=f"models/{row.get('model') or row['job']}",
        scoring_job=f"scoringJobs/{row['job']}",
        decision=row["decision"],
        score_time=row["score_time"],
        age=age(row["as_of"]),
        next_refresh_time=row.get("outdated_since") or next_refresh(LIFETIME_VALUE, row["as_of"], planned),
    )


def _churn_risk(risk: Mapping[str, Any], planned: Planned) -> customer_scores_pb2.ChurnRisk:
    named = ("horizon_weeks", "as_of", "decision", "score_time")
    return customer_scores_pb2.ChurnRisk(
        probability=customer_scores_pb2.Estimate(
            value=risk["probability"], low=risk["low"], high=risk["high"], percentile=risk["percentile"]
        ),
        reasons=[customer_scores_pb2.ChurnReason(**reason) for reason in risk["reasons"]],
        model=f"models/{risk['model']}",
        scoring_job=f"scoringJobs/{risk['job']}",
        age=age(risk["as_of"]),
        next_refresh_time=risk.get("outdated_since") or next_refresh(CHURN, risk["as_of"], planned),
        **{name: risk[name] for name in named},
    )


def _cluster(cluster: Mapping[str, Any], planned: Planned) -> customer_scores_pb2.CustomerCluster:
    named = ("fallback", "reasons", "as_of", "decision", "score_time")
    return customer_scores_pb2.CustomerCluster(
        display_name=cluster["name"],
        distance=cluster.get("distance"),
        second_display_name=cluster.get("second", ""),
        second_distance=cluster.get("second_distance"),
        model=f"models/{cluster['model']}",
        scoring_job=f"scoringJobs/{cluster['job']}",
        age=age(cluster["as_of"]),
        next_refresh_time=next_refresh(CLUSTERS, cluster["as_of"], planned),
        **{name: cluster[name] for name in named},
    )


def _response(response: Mapping[str, Any], planned: Planned) -> response_propensity_pb2.ResponsePropensity:
    named = ("probability", "low", "high", "percentile", "horizon_days", "as_of", "decision", "score_time")
    return response_propensity_pb2.ResponsePropensity(
        reasons=[response_propensity_pb2.ResponseReason(**reason) for reason in response["reasons"]],
        model=f"models/{response['model']}",
        scoring_job=f"scoringJobs/{response['job']}",
        age=age(response["as_of"]),
        next_refresh_time=next_refresh(RESPONSE, response["as_of"], planned),
        **{name: response[name] for name in named},
    )


def _renewal(renewal: Mapping[str, Any], planned: Planned) -> customer_renewal_pb2.CustomerRenewal:
    named = ("expected_renewals", "period_days", "reasons", "fallback", "as_of", "decision", "score_time")
    return customer_renewal_pb2.CustomerRenewal(
        probability=renewal["probability"],
        probability_low=renewal["low"],
        probability_high=renewal["high"],
        expected_renewals_low=renewal["expected_low"],
        expected_renewals_high=renewal["expected_high"],
        renewal_count=renewal["renewals"],
        renewal_due_time=renewal["due_time"],
        subscription_count=renewal["subscriptions"],
        model=f"models/{renewal['model']}",
        scoring_job=f"scoringJobs/{renewal['job']}",
        age=age(renewal["as_of"]),
        next_refresh_time=next_refresh(RENEWAL, renewal["as_of"], planned),
        **{name: renewal[name] for name in named},
    )


def _usage(usage: Mapping[str, Any], planned: Planned) -> customer_usage_pb2.CustomerUsage:
    named = ("begin_time", "window_weeks", "reasons", "fallback", "as_of", "decision", "score_time")
    return customer_usage_pb2.CustomerUsage(
        state=f"STATE_{usage['state']}",
        used_count=usage["used"],
        **{f"{name}_count": usage.get(name) for name in ("expected", "low", "high")},
        probability=usage.get("probability"),
        others_share=usage.get("as_group"),
        drop_tellable=usage.get("drop_tellable"),
        model=f"models/{usage['model']}",
        scoring_job=f"scoringJobs/{usage['job']}",
        age=age(usage["as_of"]),
        next_refresh_time=next_refresh(USAGE, usage["as_of"], planned),
        **{name: usage[name] for name in named},
    )


def lead_score(row: Mapping[str, Any], planned: Planned) -> lead_score_pb2.LeadScore:
    """The score of a lead's stored row."""
    score = row["score"]
    lead = f"leads/{row['uid']}"
    decision = score.get("decision", "")
    kinds = lead_score_pb2.LeadScore
    return lead_score_pb2.LeadScore(
        name=f"{lead}/score",
        lead=lead,
        customer=row.get("customer") or "",
        probability=customer_scores_pb2.Estimate(
            value=score["probability"], low=score["low"], high=score["high"], percentile=score["percentile"]
        ),
        reasons=[lead_score_pb2.LeadScoreReason(**reason) for reason in score["reasons"]],
        model=f"models/{score['model']}",
        model_time=score["model_time"],
        basis=kinds.BASIS_CONSENT_DECISION if decision else kinds.BASIS_PRECONTRACTUAL_REQUEST,
        decision=decision,
        score_time=score["score_time"],
        age=age(score["score_time"]),
        # What has ended keeps its last score.
        next_refresh_time=planned.get(LEAD_CONVERSION) if row.get("open") else None,
    )


def lead_score_state(score: lead_score_pb2.LeadScore) -> events_pb2.LeadScoreState:
    """The score of a lead, as others need it."""
    return events_pb2.LeadScoreState(
        lead=score.lead,
        customer=score.customer,
        probability=score.probability.value,
        low=score.probability.low,
        high=score.probability.high,
        percentile=score.probability.percentile,
        reasons=[reason.text for reason in score.reasons],
        model=score.model,
        basis=score.basis,
        decision=score.decision,
        score_time=score.score_time,
    )


def scores_summary(totals: Mapping[str, tuple[int, int, int]]) -> scoring_service_pb2.ScoresSummary:
    """Sums of the scored customers, given by currency as (customers, purchases, minor units)."""
    return scoring_service_pb2.ScoresSummary(
        customer_count=sum(customers for customers, _, _ in totals.values()),
        purchase_count=sum(purchases for _, purchases, _ in totals.values()),
        revenues=[money.from_minor(revenue, code) for code, (_, _, revenue) in sorted(totals.items())],
    )


def purchases_summary(totals: Mapping[str, tuple[int, int]]) -> scoring_service_pb2.PurchasesSummary:
    """Sums of the known purchases, given by currency as (number, minor units)."""
    return scoring_service_pb2.PurchasesSummary(
        purchase_count=sum(number for number, _ in totals.values()),
        revenues=[money.from_minor(amount, code) for code, (_, amount) in sorted(totals.items())],
    )


def segment(document: Segment) -> segment_pb2.Segment:
    """A segment."""
    states = segment_pb2.Segment
    return segment_pb2.Segment(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        expression=document.expression,
        member_count=document.member_count,
        state=states.STATE_EVALUATING if document.evaluation_due else states.STATE_READY,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
        condition=condition_messages.to_message(condition_text.parse(document.expression)),
    )


def member(customer: str, scores: Mapping[str, Any] | None, planned: Planned) -> segment_pb2.SegmentMember:
    """A member of a segment, given its stored scores if it has any."""
    return segment_pb2.SegmentMember(customer=customer, scores=customer_scores(scores, planned) if scores else None)


def segment_change(row: Mapping[str, Any]) -> segment_pb2.SegmentChange:
    """That a customer entered or left a segment, as stored."""
    return segment_pb2.SegmentChange(
        customer=row["customer"], entered=row["entered"], change_time=row["time"], cause=row["cause"]
    )


def _estimate(row: Mapping[str, Any], name: str) -> customer_scores_pb2.Estimate:
    low, high = row["intervals"][name]
    return customer_scores_pb2.Estimate(value=row[name], low=low, high=high, percentile=row["percentiles"][name])
