"""Stored rules of offers as the messages callers see."""

from rapport.scoring.v1 import offer_rule_pb2

from chassis import money
from scoring.store import OfferRule
from scoring.store.offer_rules import BASIS_POINTS


def offer_rule(document: OfferRule) -> offer_rule_pb2.OfferRule:
    """A rule as callers see it."""
    return offer_rule_pb2.OfferRule(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        product_ids=list(document.products),
        product_id_prefixes=list(document.prefixes),
        all_products=document.every,
        start_time=document.start_time,
        end_time=document.end_time,
        blocked=document.blocked,
        required_segments=[f"segments/{uid}" for uid in document.required_segments],
        excluded_segments=[f"segments/{uid}" for uid in document.excluded_segments],
        required_consent=_consent(document),
        margin=_margin(document.margin, document.unit),
        minimum_margin=_margin(document.minimum_margin, document.unit),
        max_offers=document.max_offers,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def _consent(document: OfferRule) -> offer_rule_pb2.OfferConsent | None:
    if not document.consent_purpose:
        return None
    return offer_rule_pb2.OfferConsent(purpose=document.consent_purpose, channel=f"CHANNEL_{document.consent_channel}")


def _margin(value: int | None, unit: str) -> offer_rule_pb2.OfferMargin | None:
    if value is None:
        return None
    if unit == BASIS_POINTS:
        return offer_rule_pb2.OfferMargin(basis_points=value)
    return offer_rule_pb2.OfferMargin(amount=money.from_minor(value, unit))
