"""The steps of a job that makes offers: what its program is told, and what comes of its result."""

import json
from collections.abc import Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from chassis.errors import Unavailable
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.blobs import BlobStore
from scoring import parquet
from scoring.decisions import Decision
from scoring.domain import offer_gates
from scoring.settings import ScoringSettings
from scoring.store import CustomerOffers, ItemAssociation, Model, ScoringJob
from scoring.store.features import ORDER_LINES, manifest_files, subject_of
from scoring.store.jobs import COMPUTING, EVALUATE, SCORE, TRAIN
from scoring.store.offer_rules import blocked_keys
from scoring.store.scores import tell
from scoring.usecases import customer_offers, flushing, models, preparing, propensity_models, released, results
from scoring.usecases.leased_jobs import JobFailed, note, prove
from scoring.usecases.results import Result

_ASSOCIATIONS = "associations.json"
_BLOCKED = "blocked.parquet"
_TOLD = 10
_COLUMNS = ("score", "probability", "low", "high")


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Makes the job program's instructions and brings the job to its next phase.

    Raises JobFailed without products of orders, FailedPrecondition without a released model where the task takes one,
    Unavailable while files or decisions cannot be had.
    """
    note(job, message="Writes the orders into files.", files=True)
    if flushing.flush(settings, blobs) is None:
        raise Unavailable("FILES_BUSY", "Another runner writes the purchases; this is tried again.", retry_after_s=1.0)
    # Before consent is asked about everybody with purchases: whose lines come later is not asked about.
    lines = manifest_files(ORDER_LINES)
    if not lines:
        raise JobFailed("No products of orders are known: send `products` with `Order Completed` events first.")
    given = preparing.purchases(job, settings, blobs)
    blobs.put(job.subject, _BLOCKED, parquet.strings({"key": blocked_keys(clock.now())}))
    spec = {
        **{name: given[name] for name in ("tenant", "as_of", "aliases", "exclude", "consenting")},
        "task": preparing.program_task(job),
        "models": propensity_models.known(settings, job, _usable),
        "blocked": preparing.url(settings, job.subject, _BLOCKED),
        "inputs": [preparing.url(settings, subject_of(file["bucket"], ORDER_LINES), file["name"]) for file in lines],
    }
    note(job, phase=COMPUTING, spec=spec, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")


def store(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore, stopping: Stopping) -> str:
    """Makes the tenant's offers and associations those of the job's result; returns what came of it.

    Of a task that offers nothing it notes what was found. Raises Unavailable when consent does not answer or the
    process stops, Conflict when somebody else holds the job, JobFailed when somebody changed the champion meanwhile.
    """
    description = models.description_of(job, blobs)
    if job.task == EVALUATE:
        return released.evaluated(job, description["judgement"])
    if job.task != SCORE:
        models.register(job, description, blobs)
    if job.task == TRAIN:
        return models.came_of_training(job, "offers are made by it from the next job on")
    by: Model = Model.get(job.scorer)
    result = Result.unranked(blobs, job.result_subject, "offers-", description["customers"])
    # Programs of an earlier version told it of the model they fitted only, not of what is popular in its place.
    offered = {**description.get("parameters", {}).get("offers", {}), **by.parameters["offers"]}
    horizon = offered["horizon_days"]

    def put(rows: list[Row], decided: Mapping[str, Decision]) -> None:
        _put([_values(job, row, by.fallback, horizon, decided[row["customer"]]) for row in rows], job)

    def remove(rows: list[Row]) -> None:
        customer_offers.remove([row["customer"] for row in rows])

    results.store(job, settings, result, stopping, put)
    results.remove_earlier(job, stopping, CustomerOffers, "job", remove)
    rules = json.loads(blobs.get(job.result_subject, _ASSOCIATIONS))
    docstore.in_transaction(lambda: _replace_associations(job, rules))
    what = f"{job.scored} customers have new offers, {len(rules['rules'])} associations of products were found"
    if limits := rules.get("message"):
        what += f" ({limits})"
    # Programs of an earlier version offered no products that came after the model had learned.
    if newcomers := description.get("newcomers"):
        what += f", products that came after {by.name} had learned ({newcomers}) are offered by how many buy them"
    return f"{what}. {_came_of(job, by, description)}"


def _came_of(job: ScoringJob, by: Model, description: Row) -> str:
    """In words by what offers were made, and why not by the job's own model."""
    if by.uid == job.uid or job.task == SCORE:
        return f"Offered by {by.name}."
    made: Model = Model.get(job.uid)
    if by.fallback:
        return f"All are offered what is popular: {'; '.join(filter(None, [*made.failed, made.message]))}."
    why = propensity_models.why_not_champion(job, made, description, "what is popular is offered")
    return f"Offered by {by.name}. {why}"


def _usable(model: Model) -> bool:
    return bool(dict(model.features) == offer_gates.FEATURES)


def _values(job: ScoringJob, row: Row, fallback: bool, horizon: int, decision: Decision) -> Row:
    offers = []
    for place, product in enumerate(row["products"]):
        offer = {"product": product, **{name: row[name][place] for name in _COLUMNS}, "reason": row["reasons"][place]}
        if row["bought_day"][place] >= 0:
            offer["bought_day"] = row["bought_day"][place]
        offers.append(offer)
    return {
        "customer": row["customer"],
        "offers": offers,
        "fallback": fallback,
        "horizon_days": horizon,
        "job": job.uid,
        "model": job.scorer,
        "as_of": job.as_of,
        "decision": decision.name,
        "offer_time": docstore.whole_milliseconds(clock.now()),
    }


def _put(rows: Sequence[Row], job: ScoringJob) -> None:
    """Puts new offers in the place of the old ones and tells; part of a transaction."""
    if not rows:
        return
    CustomerOffers.rows().bulk_write(
        UpdateOne({"uid": row["customer"].rpartition("/")[2]}, {"$set": row}, upsert=True) for row in rows
    )
    as_of = Timestamp()
    as_of.FromDatetime(job.as_of)
    event = events_pb2.OffersUpdated(scoring_job=job.name, as_of=as_of, offers=map(_told, rows))
    tell([(event, [row["customer"] for row in rows])])


def _told(row: Row) -> events_pb2.CustomerOffersState:
    new = [offer["product"] for offer in row["offers"] if "bought_day" not in offer]
    return events_pb2.CustomerOffersState(
        customer=row["customer"],
        product_ids=new[:_TOLD],
        fallback=row["fallback"],
        model=f"models/{row['model']}",
        decision=row["decision"],
    )


def _replace_associations(job: ScoringJob, found: Row) -> None:
    prove(job)
    ItemAssociation.rows().delete_many({})
    rows = [
        {
            **rule,
            "uid": ItemAssociation.uid_of(rule["antecedents"], rule["consequent"]),
            "rank": rank,
            "baskets": found["baskets"],
            "job": job.uid,
            "as_of": job.as_of,
        }
        for rank, rule in enumerate(found["rules"])
    ]
    if rows:
        ItemAssociation.rows().insert_many(rows)
