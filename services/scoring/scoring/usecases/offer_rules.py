"""Rules of offers as callers make them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.consent.v1 import purpose_pb2
from rapport.scoring.v1 import offer_rule_pb2

import docstore
from chassis import inputs as fields
from chassis import money
from chassis.errors import ResourceExhausted
from docstore import masks
from docstore.tenanted import whole_tenant
from scoring import offer_rule_messages
from scoring.domain.offer_rules import PREFIX_MAX, keys_of
from scoring.store import OfferRule, Segment
from scoring.store.offer_rules import BASIS_POINTS, OFFER_RULES_MAX
from scoring.usecases.customer_offers import OFFERS_MOST
from scoring.usecases.segments import hold_references

_PRODUCTS_MAX, _PREFIXES_MAX, _SEGMENTS_MAX, _PRODUCT_ID_MAX = 200, 50, 20, 200
_SHARE_MOST = 10_000
_NAMED_MAX = 10


@docstore.command(None)
def create(uid: str, message: offer_rule_pb2.OfferRule) -> OfferRule:
    """Creates a rule. Raises AlreadyExists, InvalidArgument, ResourceExhausted TOO_MANY_OFFER_RULES."""
    hold_references()
    if OfferRule.rows().count({"purged": None, **whole_tenant()}, limit=OFFER_RULES_MAX) >= OFFER_RULES_MAX:
        raise ResourceExhausted(
            "TOO_MANY_OFFER_RULES",
            f"There are {OFFER_RULES_MAX:,} rules of offers, the most there can be; delete one, or name more products "
            "in one rule.",
        )
    rule = OfferRule.new(uid=uid)
    _assign(rule, message)
    return rule.insert()


@docstore.command(None)
def update(message: offer_rule_pb2.OfferRule, mask: FieldMask) -> OfferRule:
    """Changes what the mask names, under the message's etag if it has one.

    Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument.
    """
    rule = OfferRule.get(fields.uid(message.name))
    wanted = offer_rule_messages.offer_rule(rule)
    if masks.apply(mask, message, wanted):
        hold_references()
        _assign(rule, wanted)
    return rule.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Deletes a rule for good. Raises NotFound, Aborted ETAG_MISMATCH."""
    OfferRule.get(uid).purge(etag or None)
    return Empty()


def _assign(rule: OfferRule, message: offer_rule_pb2.OfferRule) -> None:
    rule.display_name = fields.display_name(message.display_name, "offer_rule.display_name")
    rule.products = _texts(message.product_ids, "product_ids", _PRODUCTS_MAX, _PRODUCT_ID_MAX)
    rule.prefixes = _texts(message.product_id_prefixes, "product_id_prefixes", _PREFIXES_MAX, PREFIX_MAX)
    rule.every = message.all_products
    if rule.every == bool(rule.products or rule.prefixes):
        problem = "Set it, or give product_ids or product_id_prefixes; not both." if rule.every else _WHAT
        raise _refusal("all_products", problem)
    rule.keys = keys_of(rule.products, rule.prefixes, every=rule.every)
    rule.start_time, rule.end_time = _instant(message, "start_time"), _instant(message, "end_time")
    if rule.start_time and rule.end_time and rule.end_time <= rule.start_time:
        raise _refusal("end_time", "Not after start_time: the rule would never hold.")
    rule.blocked = message.blocked
    rule.required_segments = _segments(message.required_segments, "required_segments")
    rule.excluded_segments = _segments(message.excluded_segments, "excluded_segments")
    rule.segments = sorted({*rule.required_segments, *rule.excluded_segments}) or None
    _check_segments(message)
    _assign_consent(rule, message)
    _assign_margins(rule, message)
    if not 0 <= message.max_offers <= OFFERS_MOST:
        raise _refusal("max_offers", f"1 to {OFFERS_MOST}, or leave it out for any number.")
    rule.max_offers = message.max_offers
    if not (rule.blocked or rule.segments or rule.consent_purpose or rule.unit or rule.max_offers):
        raise _refusal("blocked", "The rule says nothing of its products: set this, or what else is to hold for them.")


_WHAT = "Say which products the rule is about: give product_ids, product_id_prefixes, or set this for all."


def _assign_consent(rule: OfferRule, message: offer_rule_pb2.OfferRule) -> None:
    rule.consent_purpose = rule.consent_channel = None
    if not message.HasField("required_consent"):
        return
    asked = message.required_consent
    if not asked.purpose:
        raise _refusal("required_consent.purpose", "Name a purpose, such as purposes/news.")
    if not asked.channel:
        raise _refusal("required_consent.channel", "Name a channel; CHANNEL_NONE for a purpose without any.")
    rule.consent_purpose = asked.purpose
    rule.consent_channel = purpose_pb2.Channel.Name(asked.channel).removeprefix("CHANNEL_")


def _assign_margins(rule: OfferRule, message: offer_rule_pb2.OfferRule) -> None:
    rule.margin = rule.minimum_margin = rule.unit = None
    for field in ("margin", "minimum_margin"):
        if not message.HasField(field):
            continue
        value, unit = _margin(getattr(message, field), field)
        if rule.unit not in (None, unit):
            raise _differs(field, unit, "margin", rule.unit)
        setattr(rule, field, value)
        rule.unit = unit
    if rule.unit is None:
        return
    given = {"unit": {"$gt": "", "$ne": rule.unit}, "delete_time": None}
    other = next((each for each in OfferRule.find(given, limit=2) if each.uid != rule.uid), None)
    if other is not None:
        field = "margin" if message.HasField("margin") else "minimum_margin"
        raise _differs(field, rule.unit, other.name, other.unit)


def _margin(message: offer_rule_pb2.OfferMargin, field: str) -> tuple[int, str]:
    """The value and its unit."""
    match message.WhichOneof("kind"):
        case "amount":
            return money.to_minor(message.amount, f"offer_rule.{field}.amount"), message.amount.currency_code
        case "basis_points":
            if abs(message.basis_points) > _SHARE_MOST:
                problem = f"-{_SHARE_MOST:,} to {_SHARE_MOST:,} hundredths of a percent of the price."
                raise _refusal(f"{field}.basis_points", problem)
            return message.basis_points, BASIS_POINTS
    raise _refusal(field, "Empty: give an amount or basis_points.")


def _differs(field: str, unit: str, other: str, others: str) -> Exception:
    told, wanted = (
        "a share (basis_points)" if each == BASIS_POINTS else f"an amount of {each}" for each in (unit, others)
    )
    problem = f"Is {told}, {other} has {wanted}: give all margins in the same way, or change the others first."
    return fields.refusal("MARGINS_DIFFER", f"offer_rule.{field}", problem)


def _segments(names: Sequence[str], field: str) -> list[str]:
    if len(names) > _SEGMENTS_MAX:
        raise _refusal(field, f"Names more than {_SEGMENTS_MAX} segments; make one segment of them with OR.")
    return sorted({fields.uid(name) for name in names})


def _check_segments(message: offer_rule_pb2.OfferRule) -> None:
    """Raises InvalidArgument UNKNOWN_SEGMENT, naming them."""
    for field in ("required_segments", "excluded_segments"):
        uids = {fields.uid(name) for name in getattr(message, field)}
        known = {segment.uid for segment in Segment.find({"uid": {"$in": sorted(uids)}})} if uids else set()
        if unknown := sorted(uids - known):
            named = ", ".join(f"segments/{uid}" for uid in unknown[:_NAMED_MAX])
            problem = f"There is no {named}; create it first, or leave it out."
            raise fields.refusal("UNKNOWN_SEGMENT", f"offer_rule.{field}", problem)


def _texts(given: Sequence[str], field: str, most: int, longest: int) -> list[str]:
    if len(given) > most:
        raise _refusal(field, f"Names more than {most}; make several rules of it, or use prefixes.")
    for number, text in enumerate(given):
        if not 1 <= len(text) <= longest:
            raise _refusal(f"{field}[{number}]", f"1 to {longest} characters.")
    return sorted(set(given))


def _instant(message: offer_rule_pb2.OfferRule, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    found: datetime = getattr(message, field).ToDatetime(UTC)
    return found


def _refusal(field: str, problem: str) -> Exception:
    return fields.refusal("INVALID_OFFER_RULE", f"offer_rule.{field}", problem)
