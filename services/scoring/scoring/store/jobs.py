"""Scoring jobs: batches that role `run` leases and carries through."""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

import docstore
from docstore import batches
from docstore.connection import Row
from scoring.store.models import (
    CHURN,
    CLUSTERS,
    LEAD_CONVERSION,
    LIFETIME_VALUE,
    NEXT_OFFER,
    RENEWAL,
    RESPONSE,
    SEND_TIME,
    USAGE,
)

PREPARING, COMPUTING, STORING = "PREPARING", "COMPUTING", "STORING"
SUCCEEDED, FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
FEATURES, BACKFILL, SEGMENT = "FEATURES", "BACKFILL", "SEGMENT"
TRAIN, SCORE, EVALUATE = "TRAIN", "SCORE", "EVALUATE"
"""Tasks; a job without one trains and scores."""
FEATURE_TABLES, SEGMENTS = "FEATURE_TABLES", "SEGMENTS"
"""What jobs are of that make no models, in the place of a model's kind."""
KIND_OF_TASK = {FEATURES: FEATURE_TABLES, BACKFILL: FEATURE_TABLES, SEGMENT: SEGMENTS}
ACTIVE: dict[str, Any] = {"state": {"$in": [batches.PENDING, batches.APPLYING]}}
"""Matches jobs that have not ended; by index there is at most one of each kind for each tenant."""


def replaces_results(task: str | None, kind: str) -> bool:
    """Whether such jobs put results that look from their instant in the place of those that stand.

    Leads are scored as they are now, from whenever their model looks.
    """
    return task in (None, SCORE) and kind not in (FEATURE_TABLES, SEGMENTS, LEAD_CONVERSION)


class ScoringJob(docstore.Batch):
    """One scoring of all customers, or another task.

    phase: what a runner goes on with. outcome: how it ended, once the batch is done. stored: how many chunks of the
    result are stored; written in the transaction that stores one. changes: counted up by whoever takes scores away
    while the job stores, so that both cannot happen unseen by each other.
    """

    resource: ClassVar[str] = "scoringJobs"
    kept_for: ClassVar[timedelta] = timedelta(days=400)
    max_attempts: ClassVar[int] = 5
    result_kept_for: ClassVar[timedelta] = timedelta(days=30)
    """So long a score can be made again from what it was made of."""
    results_most: ClassVar[int] = 31
    """Results kept for a tenant."""
    payload_fields: ClassVar[tuple[str, ...]] = ("spec", "expected_end_time")

    meta: ClassVar[dict[str, Any]] = {
        "collection": "scoring_jobs",
        "indexes": [
            {"fields": ["tenant", "kind"], "unique": True, "partialFilterExpression": ACTIVE, "name": "one_active"},
            ["tenant", "-create_time", "-id"],
            {"fields": ["files"], "partialFilterExpression": {"files": True}, "platform": True},
            {"fields": ["tenant", "result_until"], "partialFilterExpression": {"result_until": {"$exists": True}}},
        ],
    }

    task: Any = me.StringField(choices=(FEATURES, BACKFILL, SEGMENT, TRAIN, SCORE, EVALUATE))
    kind: Any = me.StringField(
        required=True,
        choices=(
            LIFETIME_VALUE,
            CHURN,
            LEAD_CONVERSION,
            RESPONSE,
            NEXT_OFFER,
            SEND_TIME,
            CLUSTERS,
            USAGE,
            RENEWAL,
            FEATURE_TABLES,
            SEGMENTS,
        ),
        default=LIFETIME_VALUE,
    )
    as_of: Any = docstore.InstantField(required=True)
    instants: Any = me.ListField(docstore.InstantField())
    """Of TASK_BACKFILL, in order; `as_of` is the last."""
    horizon_weeks: Any = me.IntField(required=True)
    discount_basis_points: Any = me.IntField(required=True)
    usage_events: Any = me.ListField(me.StringField())
    """Of USAGE: names of the events that count; none are all."""
    replace_newer: Any = me.BooleanField(default=False)
    """Whether results that look from later than `as_of` give way."""
    phase: Any = me.StringField(required=True, choices=(PREPARING, COMPUTING, STORING), default=PREPARING)
    outcome: Any = me.StringField(choices=(SUCCEEDED, FAILED, CANCELLED))
    end_time: Any = docstore.InstantField()
    cancel_requested: Any = me.BooleanField()
    message: Any = me.StringField()
    percent: Any = me.IntField(default=0)
    computed: Any = me.LongField(default=0)
    """Rows that the job program has finished."""
    scored: Any = me.LongField(default=0)
    refused: Any = me.LongField(default=0)
    conversion: Any = me.DictField()
    """Of purchases in other currencies than the `currency` of the scores: how many were `converted`, and `left_out`."""
    expected_end_time: Any = docstore.InstantField()
    spec: Any = me.DictField()
    """What the job program was told."""
    files: Any = me.BooleanField()
    """True while the blob store may hold files of the job, but for its result after it has ended."""
    result_until: Any = docstore.InstantField()
    """Until when the result is kept, once the job has succeeded."""
    scorer: Any = me.StringField()
    """Uid of the model the scores come from; set in the transaction that gives the job's own model its place."""
    stored: Any = me.IntField(default=0)
    changes: Any = me.IntField(default=0)
    compute_begin_time: Any = docstore.InstantField()
    told: Any = me.DictField()
    """What the task came to, as far as it is: see `usecases.feature_tables` and `usecases.recompute_inputs`."""

    def write_guard(self) -> Row:
        """A job is written in the phase it was read in: it cannot be cancelled while it begins to store."""
        return {**super().write_guard(), "phase": self.phase}

    @property
    def subject(self) -> str:
        """Where the blob store keeps the job's files."""
        return self.name

    @property
    def result_subject(self) -> str:
        """Where the blob store keeps the result; the job program goes on with what it finds there."""
        return f"{self.subject}/result"

    @property
    def model(self) -> str:
        """Name of the model the scores come from: the job's own, unless it did not pass its gates."""
        return f"models/{self.scorer or self.uid}"
