"""Models: what a job fitted becomes the tenant's present model."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rapport.scoring.v1 import events_pb2

import docstore
from scoring.store import Model, ScoringJob


def promote(job: ScoringJob, description: Mapping[str, Any]) -> Model:
    """Keeps the model a job fitted and tells that scores come from it now; done again it changes nothing.

    `description` is the job program's model.json.
    """
    known: Model | None = Model.get_many([job.uid]).get(job.uid)
    return known or docstore.in_transaction(lambda: _insert(job, description))


def _insert(job: ScoringJob, description: Mapping[str, Any]) -> Model:
    model = Model.new(
        uid=job.uid,
        number=Model.next_number(),
        as_of=job.as_of,
        window_start_time=_instant(description["window_start"]),
        window_end_time=_instant(description["window_end"]),
        parameters=description["parameters"],
        metrics=description["metrics"],
        fallback=bool(description["fallback"]),
        message=description["message"] or None,
        customers=description["customers"],
        purchases=description["purchases"],
        fingerprint=description["version"],
    )
    model.emit(
        events_pb2.ModelPromoted(
            model=model.name, version=model.number, scoring_job=job.name, fallback=bool(model.fallback)
        )
    )
    return model.insert()


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
