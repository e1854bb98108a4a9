"""Stored offers and associations as the messages callers see."""

from collections.abc import Iterable, Mapping
from typing import Any

from rapport.scoring.v1 import customer_offers_pb2, item_association_pb2

from scoring import messages
from scoring.domain.offer_rules import Reason
from scoring.store.models import NEXT_OFFER


def customer_offers(
    row: Mapping[str, Any],
    offers: Iterable[Mapping[str, Any]],
    left_out: Mapping[tuple[str, Reason], int],
    planned: messages.Planned,
) -> customer_offers_pb2.CustomerOffers:
    """Some offers of a stored row, and how many products rules left out (`usecases.customer_offers.chosen`)."""
    return customer_offers_pb2.CustomerOffers(
        name=f"{row['customer']}/offers",
        customer=row["customer"],
        offers=map(_offer, offers),
        fallback=row["fallback"],
        model=f"models/{row['model']}",
        scoring_job=f"scoringJobs/{row['job']}",
        as_of=row["as_of"],
        horizon_days=row["horizon_days"],
        decision=row["decision"],
        offer_time=row["offer_time"],
        exclusions=[
            customer_offers_pb2.OfferExclusion(
                offer_rule=f"offerRules/{rule}", reason=f"REASON_{reason}", product_count=count
            )
            for (rule, reason), count in left_out.items()
        ],
        age=messages.age(row["as_of"]),
        next_refresh_time=messages.next_refresh(NEXT_OFFER, row["as_of"], planned),
    )


def _offer(offer: Mapping[str, Any]) -> customer_offers_pb2.Offer:
    likely = None
    if offer["probability"] is not None:
        likely = customer_offers_pb2.OfferProbability(value=offer["probability"], low=offer["low"], high=offer["high"])
    return customer_offers_pb2.Offer(
        product_id=offer["product"],
        score=offer["score"],
        probability=likely,
        last_bought_time=offer["bought"],
        reason=offer["reason"],
        rank_score=offer["ranked"].score,
        relevance=offer["ranked"].relevance,
        margin_weight=offer["ranked"].weight,
    )


def item_association(row: Mapping[str, Any]) -> item_association_pb2.ItemAssociation:
    """A rule of what is bought together, as stored."""
    both, left, right, baskets = (row[name] for name in ("both", "antecedent_count", "consequent_count", "baskets"))
    return item_association_pb2.ItemAssociation(
        name=f"itemAssociations/{row['uid']}",
        antecedent_product_ids=row["antecedents"],
        consequent_product_id=row["consequent"],
        both_count=both,
        antecedent_count=left,
        consequent_count=right,
        purchase_count=baskets,
        customer_count=row["customers"],
        support=both / baskets,
        confidence=both / left,
        lift=both * baskets / (left * right),
        p_value=row["p_value"],
        adjusted_p_value=row["q_value"],
        scoring_job=f"scoringJobs/{row['job']}",
        as_of=row["as_of"],
    )
