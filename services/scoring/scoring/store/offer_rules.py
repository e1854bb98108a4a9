"""Rules of offers: what is asked of products and of those they are offered to. Nothing of persons."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

import docstore
from docstore.documents import InstantField
from scoring.domain.offer_rules import EVERY, Rule, keys_about, keys_of

OFFER_RULES_MAX = 1_000
"""The most rules of one tenant: all may be about the same products, and then are read with each customer's offers."""
OFFER_RULES_PAGE_MOST = 20
"""The most that surely fit into an answer (4 MiB): each may name 200 products by 200 characters of four bytes."""


class OfferRule(docstore.Aggregate):
    """One rule. keys: what it is found by (`domain.offer_rules.keys_of`); uids of segments.

    unit: that of margin and minimum_margin, a currency or BASIS_POINTS; absent without any.
    """

    resource: ClassVar[str] = "offerRules"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "offer_rules",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "keys", "create_time", "id"],
            {"fields": ["tenant", "segments"], "partialFilterExpression": {"segments": {"$exists": True}}},
            {"fields": ["tenant", "unit"], "partialFilterExpression": {"unit": {"$exists": True}}},
        ],
    }

    display_name: Any = me.StringField(required=True)
    products: Any = me.ListField(me.StringField())
    prefixes: Any = me.ListField(me.StringField())
    every: Any = me.BooleanField(default=False)
    keys: Any = me.ListField(me.StringField())
    start_time: Any = InstantField()
    end_time: Any = InstantField()
    blocked: Any = me.BooleanField(default=False)
    required_segments: Any = me.ListField(me.StringField())
    excluded_segments: Any = me.ListField(me.StringField())
    segments: Any = me.ListField(me.StringField())
    """Those of both kinds; absent without any."""
    consent_purpose: Any = me.StringField()
    consent_channel: Any = me.StringField()
    unit: Any = me.StringField()
    margin: Any = me.LongField()
    minimum_margin: Any = me.LongField()
    max_offers: Any = me.IntField(default=0)


BASIS_POINTS = "BASIS_POINTS"
_READ = {"requests": 0, "outbox": 0, "keys": 0}


def rules_about(products: Collection[str], now: datetime) -> list[Rule]:
    """The rules about any of these few products that hold now, in the order of their creation."""
    rows = OfferRule.rows().find({"keys": {"$in": keys_about(products)}, "delete_time": None}, _READ)
    found = sorted(rows, key=lambda row: (row["create_time"], row["uid"]))
    return [rule for rule in map(_rule, found) if rule.holds(now)]


def all_rules(now: datetime) -> list[Rule]:
    """All rules that hold now, in the order of their creation: where there are many products, their keys are more."""
    order = [("create_time", 1), ("_id", 1)]
    rows = OfferRule.rows().find({"delete_time": None}, _READ, sort=order, limit=OFFER_RULES_MAX)
    return [rule for rule in map(_rule, rows) if rule.holds(now)]


def blocked_keys(now: datetime) -> list[str]:
    """Keys (`domain.offer_rules.keys_of`) of the products that are offered to nobody now, but for those of all."""
    blocked = (rule for rule in all_rules(now) if rule.blocked)
    keys = (keys_of(rule.products, rule.prefixes, every=rule.every) for rule in blocked)
    return sorted({key for found in keys for key in found} - {EVERY})


def _rule(row: docstore.Row) -> Rule:
    purpose = row.get("consent_purpose")
    return Rule(
        uid=row["uid"],
        products=frozenset(row.get("products") or ()),
        prefixes=tuple(row.get("prefixes") or ()),
        every=row.get("every", False),
        start=row.get("start_time"),
        end=row.get("end_time"),
        blocked=row.get("blocked", False),
        required=frozenset(row.get("required_segments") or ()),
        excluded=frozenset(row.get("excluded_segments") or ()),
        consent=(purpose, row["consent_channel"]) if purpose else None,
        margin=row.get("margin"),
        minimum=row.get("minimum_margin"),
        most=row.get("max_offers", 0),
    )
