"""The steps of a job that trains a model of lead conversion: what the program is told, and what comes of its result."""

from typing import Any

import docstore
from chassis import tenancy
from chassis.lifecycle import Stopping
from docstore import Row, aliases
from docstore.blobs import BlobStore
from eventing import tombstones
from scoring import decisions, parquet
from scoring.domain import gates, lead_gates
from scoring.settings import ScoringSettings
from scoring.store import Lead, Model, ScoringJob
from scoring.store.jobs import COMPUTING, EVALUATE, SCORE, TRAIN
from scoring.store.leads import score_all_anew
from scoring.store.models import LEAD_CONVERSION
from scoring.usecases import lead_scoring, loaded_models, models, propensity_models, released
from scoring.usecases.leased_jobs import Patience, RunnerStops, note
from scoring.usecases.preparing import PREPARED_PERCENT, program_task, url

MOST = 100_000
"""Leads that are learned from at most, the newest."""
RECENT_MOST = 20_000
"""Younger ones that are looked at, the newest."""
_FILE, _RECENT = "leads.parquet", "recent.parquet"
_READ = ("uid", "customer", "facts", "points", "create_time", "know_time", "convert_time")
_POLL_S = 0.2


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Learned from are only leads whose 30 days were over at `as_of`; younger ones tell what has moved. Each has its facts
    of its creation, and none is there whose customer consent refuses. Raises Unavailable when decisions cannot be had.
    """
    if job.task == SCORE:
        champion = released.required(LEAD_CONVERSION)
        docstore.in_transaction(score_all_anew)
        note(job, phase=COMPUTING, scorer=champion.uid, percent=PREPARED_PERCENT, message="Scores open leads.")
        return
    note(job, message="Asks consent who may be learned from.", files=True)
    over = job.as_of - lead_gates.WITHIN
    rows, younger = _newest({"$lte": over}, MOST), _newest({"$gt": over, "$lte": job.as_of}, RECENT_MOST)
    allowed = _allowed(job, settings, {row["customer"] for row in [*rows, *younger] if row.get("customer")})
    kept, recent = (
        [row for row in some if not row.get("customer") or row["customer"] in allowed] for some in (rows, younger)
    )
    for name, some in ((_FILE, kept), (_RECENT, recent)):
        blobs.put(job.subject, name, parquet.leads(_row(row, allowed) for row in some))
    spec: dict[str, Any] = {
        "task": program_task(job),
        "tenant": tenancy.tenant(),
        "as_of": job.as_of.isoformat(),
        "leads": url(settings, job.subject, _FILE),
        "recent": url(settings, job.subject, _RECENT),
        "models": propensity_models.known(settings, job, _usable),
        "consenting": len(kept) / len(rows) if rows else 1.0,
    }
    note(job, phase=COMPUTING, spec=spec, percent=PREPARED_PERCENT, refused=len(rows) - len(kept), message="Trains.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Gives the model its place; of a champion it waits until all open leads have its score. Returns what came of it.

    Of a training alone it does not wait, of a scoring there is no new model, of an evaluation neither.

    Raises Unavailable when the process stops or leads get no further, JobFailed when somebody changed the champion
    meanwhile.
    """
    if job.task == SCORE:
        return _scored(job)
    description = models.description_of(job, blobs)
    if job.task == EVALUATE:
        return released.evaluated(job, description["judgement"])
    models.register(job, description, blobs)
    if job.task == TRAIN:
        return models.came_of_training(job, "open leads follow it by themselves")
    made: Model = Model.get(job.uid)
    if made.state != gates.CHAMPION:
        return propensity_models.why_not_champion(job, made, description, "the points of leads stand")
    score_open(job, settings, blobs, stopping)
    return _scored(job)


def score_open(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> None:
    """Waits until all open leads have the champion's score, and helps with it.

    Raises Unavailable when the process stops or leads get no further, Cancelled when the job does not store yet.
    """
    loaded_models.load(Model.get(job.scorer), blobs)
    patience, looked = Patience(), ""
    while True:
        done, scored, after = lead_scoring.scanned()
        note(job, scored=scored)
        if done:
            return
        if after != looked:
            looked = after
            patience.renew()
        patience.check("open leads cannot be scored now; the log of role run says why.")
        if not lead_scoring.scan(settings, blobs) and stopping.wait(_POLL_S):
            raise RunnerStops


def _scored(job: ScoringJob) -> str:
    return f"{job.scored} open leads have new scores of {job.model}."


def _newest(create_time: Row, most: int) -> list[Row]:
    order = [("create_time", -1), ("_id", -1)]
    return list(Lead.rows().find({"create_time": create_time}, dict.fromkeys(_READ, 1), sort=order, limit=most))


def _usable(model: Model) -> bool:
    # numpy comes with it: only once there is a model.
    from scoring.models.lead_conversion import FEATURES

    return bool(dict(model.features) == FEATURES)


def _allowed(job: ScoringJob, settings: ScoringSettings, customers: set[str]) -> dict[str, str]:
    """Of those of the customers whom consent does not refuse and who were not erased, who stands for the profile."""
    names = sorted(customers)
    allowed: dict[str, str] = {}
    for start in range(0, len(names), decisions.BATCH):
        some = names[start : start + decisions.BATCH]
        canonicals = aliases.resolve(some)
        decided = decisions.decide(settings, sorted(set(canonicals.values())))
        erased = tombstones.erased(some)
        allowed |= {name: canonicals[name] for name in some if decided[canonicals[name]].allowed and name not in erased}
        note(job, percent=PREPARED_PERCENT * (start + len(some)) // len(names))
    return allowed


def _row(row: Row, canonicals: dict[str, str]) -> Row:
    return {
        "lead": row["uid"],
        # Leads of one person are not independent, under whichever names they came.
        "customer": canonicals.get(row.get("customer") or "", ""),
        "create_time": row["create_time"],
        "know_time": row["know_time"],
        "converted": lead_gates.converted(row["create_time"], row.get("convert_time")),
        "points": row["points"],
        "facts": row["facts"],
    }
