"""What customers may be offered next, and what is bought together."""

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record

RECENT_MOST = 100
"""Products bought since the last job that are kept of a customer, the newest."""


class CustomerOffers(Record):
    """The offers of one profile; its uid is that of the customer that stands for it. Written in bulk.

    offers: the best first, each {product, score, probability, low, high, bought_day, reason}; probabilities are None
    where none is known; bought_day: since 1970-01-01 UTC, absent for what was never bought. recent: {product, time} of
    what was bought since the job.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "customer_offers", "indexes": [["tenant", "job"]]}
    customer: Any = me.StringField(required=True)
    offers: Any = me.ListField(me.DictField())
    recent: Any = me.ListField(me.DictField())
    fallback: Any = me.BooleanField(required=True)
    horizon_days: Any = me.IntField(required=True)
    job: Any = me.StringField(required=True)
    model: Any = me.StringField(required=True)
    as_of: Any = InstantField(required=True)
    decision: Any = me.StringField(required=True)
    offer_time: Any = InstantField(required=True)


class ItemAssociation(Record):
    """One rule of what is bought together, as `jobs.associations` found it; rank: its place, from 0, the strongest."""

    meta: ClassVar[dict[str, Any]] = {
        "collection": "item_associations",
        "indexes": [["tenant", "rank", "id"], ["tenant", "antecedents", "rank", "id"]],
    }
    rank: Any = me.LongField(required=True)
    antecedents: Any = me.ListField(me.StringField())
    consequent: Any = me.StringField(required=True)
    both: Any = me.LongField(required=True)
    antecedent_count: Any = me.LongField(required=True)
    consequent_count: Any = me.LongField(required=True)
    baskets: Any = me.LongField(required=True)
    customers: Any = me.LongField(required=True)
    p_value: Any = me.FloatField(required=True)
    q_value: Any = me.FloatField(required=True)
    job: Any = me.StringField(required=True)
    as_of: Any = InstantField(required=True)

    @staticmethod
    def uid_of(antecedents: Sequence[str], consequent: str) -> str:
        """The same for the same products."""
        return hashlib.sha256("\x1f".join([*antecedents, consequent]).encode()).hexdigest()[:32]
