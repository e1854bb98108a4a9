"""Who entered journeys that hold people out, and what these journeys brought."""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

from chassis.errors import NotFound
from docstore import due
from docstore.documents import InstantField
from docstore.records import Record

KEPT = timedelta(days=400)
"""Since an entry was heard of, on the real clock: as long as purchases are known for."""


class JourneyEntrant(Record):
    """One customer in one journey, by their first entry while it held people out; its uid is `uid_of` both.

    held_out: the group they were drawn into. percent: held out of a hundred then. snapshot: their scores as they stood
    at the entry, by names of `domain.journey_outcomes.FEATURES`; empty where there were none.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "journey_entrants",
        "indexes": [
            ["tenant", "journey", "id"],
            ["tenant", "customer"],
            {"fields": ["expire_time"], "expireAfterSeconds": 0, "platform": True},
        ],
    }
    journey: Any = me.StringField(required=True)
    """Uid of the journey."""
    customer: Any = me.StringField(required=True)
    """Resource name, as it was at the entry."""
    held_out: Any = me.BooleanField(required=True)
    percent: Any = me.IntField(required=True)
    entry_time: Any = InstantField(required=True)
    snapshot: Any = me.DictField()
    expire_time: Any = InstantField(required=True)

    @staticmethod
    def uid_of(journey: str, customer: str) -> str:
        """The uid of a customer (resource name) in the journey of that uid."""
        return f"{journey}.{customer.rpartition('/')[2]}"


class JourneyEffect(Record):
    """What a journey brought, as last computed; its uid is the journey's. Sums only: no person is in it.

    due: when it is computed again. windows: days -> `domain.journey_outcomes.report`. uplift: whom the journey moves,
    `usecases.journey_uplift`.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "journey_effects", "indexes": [due.INDEX]}
    due: Any = InstantField(required=True)
    lease: Any = me.DictField()
    compute_time: Any = InstantField()
    windows: Any = me.DictField()
    uplift: Any = me.DictField()

    @classmethod
    def of(cls, journey: str) -> "JourneyEffect":
        """The effect of the journey of that uid. Raises NotFound JOURNEY_NOT_MEASURED."""
        row = cls.rows().find_one({"uid": journey}, {"lease": 0})
        if row is None:
            raise NotFound(
                "JOURNEY_NOT_MEASURED",
                f"journeys/{journey}/effect does not exist: nobody has entered the journey while it held people out "
                "(its holdout_percent in the campaigns service).",
                metadata={"resource": f"journeys/{journey}/effect"},
            )
        return cls.from_row(row)
