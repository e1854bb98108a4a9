"""Models, as fitted by jobs: what each is, what it passed, and what became of it."""

from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

import docstore
from docstore import Row
from scoring.domain import gates

LIFETIME_VALUE, CHURN, LEAD_CONVERSION = "LIFETIME_VALUE", "CHURN", "LEAD_CONVERSION"
NEXT_OFFER, SEND_TIME, CLUSTERS, RESPONSE, USAGE = "NEXT_OFFER", "SEND_TIME", "CLUSTERS", "RESPONSE", "USAGE"
RENEWAL = "RENEWAL"
KINDS = (LIFETIME_VALUE, CHURN, LEAD_CONVERSION, RESPONSE, NEXT_OFFER, SEND_TIME, CLUSTERS, USAGE, RENEWAL)
MADE_ANEW = (SEND_TIME, CLUSTERS, USAGE, RENEWAL)
"""Kinds of which each job tells by the model it makes itself; none is promoted or taken back by hand."""
_CHAMPION: dict[str, Any] = {"state": gates.CHAMPION}
_LEFT: dict[str, Any] = {"files_left": True}
ARTEFACT = "model.json"
"""Name of the file that holds the model whole, under its own name in the blob store."""


class Model(docstore.Aggregate):
    """What a job fitted; its uid is the job's, so that a repeated step makes no second one.

    Of each kind a tenant has at most one CHAMPION, which scores, and one CHALLENGER, which is measured beside it.
    """

    resource: ClassVar[str] = "models"
    schema: ClassVar[int] = 2
    meta: ClassVar[dict[str, Any]] = {
        "collection": "models",
        "indexes": [
            {"fields": ["tenant", "-number"], "unique": True},
            {
                "fields": ["tenant", "kind"],
                "unique": True,
                "partialFilterExpression": _CHAMPION,
                "name": "one_champion",
            },
            ["tenant", "state", "kind", "-number"],
            {"fields": ["tenant", "kind"], "partialFilterExpression": _LEFT, "name": "files_left"},
            {"fields": ["as_of"], "partialFilterExpression": _CHAMPION, "platform": True, "name": "champions"},
        ],
    }

    number: Any = me.LongField(required=True)
    """Which in order it is of the tenant's models, from 1."""
    kind: Any = me.StringField(required=True, choices=KINDS, default=LIFETIME_VALUE)
    state: Any = me.StringField(required=True, choices=gates.STATES)
    state_message: Any = me.StringField()
    """Why it is in that state."""
    state_time: Any = docstore.InstantField()
    job: Any = me.StringField()
    """Uid of the job that made it."""
    as_of: Any = docstore.InstantField(required=True)
    window_start_time: Any = docstore.InstantField()
    window_end_time: Any = docstore.InstantField()
    parameters: Any = me.DictField()
    metrics: Any = me.DictField()
    fallback: Any = me.BooleanField(required=True)
    message: Any = me.StringField()
    customers: Any = me.LongField(required=True)
    purchases: Any = me.LongField(required=True)
    fingerprint: Any = me.StringField(required=True)
    currency: Any = me.StringField()
    """Its spending is in; a job in another one cannot score with it."""
    features: Any = me.DictField()
    """Name -> version of the definition."""
    gates: Any = me.ListField(me.DictField())
    """`Gate.to_dict` of each."""
    test: Any = me.DictField()
    """How it did on purchases it was not fitted to, beside the champion of then: see `jobs.judge`."""
    was_champion: Any = me.BooleanField()
    """True once it was champion and is no more."""
    artefact_sha256: Any = me.StringField()
    """Of the file that holds it whole; empty without one."""
    files_left: Any = me.BooleanField()
    """True while it is kept whole no longer and its file may still be there."""
    consenting: Any = me.FloatField()
    """Share of customers who may be profiled."""
    previous: Any = me.StringField()
    """Uid of the champion before it."""
    outcomes: Any = me.ListField(me.DictField())
    """What happened since, that of the latest instant first."""
    drifts: Any = me.ListField(me.DictField())
    """How far customers and scores have moved, as the job of the latest instant measured it."""
    drifts_as_of: Any = docstore.InstantField()
    """That instant."""

    @classmethod
    def upcast(cls, row: Row) -> Row:
        """Models of before there was a registry: each was champion until the next one came (migration 1 says which is
        the last); they were not kept whole.
        """
        if row.get("schema_version", 1) >= cls.schema:
            return row
        known = {"kind": LIFETIME_VALUE, "state": gates.RETIRED, "job": row["uid"]}
        return known | row | {"schema_version": cls.schema}

    @classmethod
    def next_number(cls) -> int:
        """The number after the newest model's."""
        newest = cls.rows().find_one({}, {"number": 1}, sort=[("number", -1)])
        return int(newest["number"]) + 1 if newest else 1

    @classmethod
    def in_state(cls, state: str, kind: str = LIFETIME_VALUE) -> "Model | None":
        """The newest model of a kind in that state."""
        found = cls.find({"state": state, "kind": kind}, sort=[("number", -1)], limit=1)
        return found[0] if found else None

    @classmethod
    def oldest_champion(cls) -> datetime | None:
        """The instant that the oldest of all tenants' champions looks from; for metrics."""
        with docstore.platform_scope():
            found = docstore.platform_collection(cls).find_one(_CHAMPION, {"as_of": 1}, sort=[("as_of", 1)])
        return found["as_of"] if found else None

    @classmethod
    def greatest_drifts(cls) -> list[Row]:
        """The most that each column has drifted from any tenant's champion: kind, column, psi, low; for metrics."""
        with docstore.platform_scope():
            found = docstore.platform_collection(cls).aggregate(
                [
                    {"$match": _CHAMPION},
                    {"$unwind": "$drifts"},
                    {
                        "$group": {
                            "_id": {"kind": "$kind", "column": "$drifts.feature"},
                            **{figure: {"$max": f"$drifts.{figure}"} for figure in ("psi", "low")},
                        }
                    },
                ],
                hint="champions",
            )
            return [{**row["_id"], "psi": row["psi"], "low": row["low"]} for row in found]

    @property
    def failed(self) -> list[str]:
        """The gates it did not pass, in words."""
        return [gate["message"] for gate in self.gates if not gate["passed"]]

    @property
    def watched(self) -> list[datetime]:
        """The latest instants that its outcomes and its drifts are of; none before there are any."""
        latest = [*(outcome["as_of"] for outcome in self.outcomes[:1]), self.drifts_as_of]
        return [instant for instant in latest if instant]

    @property
    def subject(self) -> str:
        """Where the blob store keeps it."""
        return str(self.name)

    @property
    def artefact(self) -> str:
        """Name of the file there that holds it whole."""
        return artefact_of(self.kind)


def artefact_of(kind: str) -> str:
    """Name of the file that holds a model of that kind whole: one of offers has a number for every two products."""
    return "model.npz" if kind == NEXT_OFFER else ARTEFACT
