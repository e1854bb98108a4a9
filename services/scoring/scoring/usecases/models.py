"""The registry: a job's model gets its place beside the others.

What becomes of a candidate was decided where its customers are, in the job program (`jobs.judge`); here it is written,
all of it in one transaction.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock, metric_names, telemetry
from docstore.blobs import BlobStore
from scoring import model_messages
from scoring.domain import gates
from scoring.store import Model, ScoringJob
from scoring.store.models import ARTEFACT, LIFETIME_VALUE, artefact_of
from scoring.usecases import kept_models
from scoring.usecases.champions import score_anew, sentence, settle, take_back, tell_promoted
from scoring.usecases.leased_jobs import JobFailed, prove

OUTCOMES_MOST = 12
EARLIER_MOST = 2
"""Models that are no longer champion and are still held against what happens."""
Told = Mapping[str, Any]


def known(currency: str, as_of: datetime) -> list[tuple[str, Model]]:
    """The models a job measures, each with its role, the champion first (see `jobs.spec.KnownModel`).

    Those in another currency, or not kept whole, are of no use to it.
    """
    return known_of(LIFETIME_VALUE, as_of, lambda model: bool(model.currency == currency))


def known_of(kind: str, as_of: datetime, usable: Callable[[Model], bool]) -> list[tuple[str, Model]]:
    """The models of a kind that a job measures, with their roles: those that are `usable` and kept whole.

    To a job that looks from before what is known of the champion nobody is the one before it: it cannot take it back.
    """
    champion = Model.in_state(gates.CHAMPION, kind)
    found = [("champion", champion)] if champion else []
    if champion and champion.previous and as_of >= max(champion.watched, default=as_of):
        found += [("previous", model) for model in Model.get_many([champion.previous]).values()]
    if challenger := Model.in_state(gates.CHALLENGER, kind):
        found.append(("challenger", challenger))
    retired = Model.find({"state": gates.RETIRED, "kind": kind}, sort=[("number", -1)], limit=EARLIER_MOST + 1)
    there = {model.uid for _, model in found}
    found += [("earlier", model) for model in retired if model.uid not in there][:EARLIER_MOST]
    return [(role, model) for role, model in found if model.artefact_sha256 and usable(model)]


def register(job: ScoringJob, description: Told, blobs: BlobStore) -> Model:
    """Gives the model a job fitted its place; returns the one that scores. Done again it changes nothing.

    Where none passed its gates and none stands in, nothing scores: then it is the model that did not pass.
    `description` is the job program's model.json. Raises JobFailed when somebody changed the champion meanwhile.
    """
    if job.scorer:
        scorer: Model = Model.get(job.scorer)
        return scorer
    told = description["judgement"]
    whole = {job.uid: told}
    if "stand_in" in told:
        whole[_stand_in_uid(job)] = told["stand_in"]
    hashes = {uid: kept_models.keep(job, blobs, uid, part) for uid, part in whole.items()}
    made = docstore.in_transaction(lambda: _register(job, description, hashes))
    job.scorer = made.uid
    if artefact_of(job.kind) != ARTEFACT:
        kept_models.drop_oldest(job.kind, blobs)
    for outcome in (told["candidate"]["state"].lower(), *(["rolled_back"] if told["rollback"]["falls"] else [])):
        telemetry.counter(metric_names.SCORING_MODELS).add(1, {"rapport.scoring.outcome": outcome})
    return made


class MadeAnew(NamedTuple):
    """What came of a job of a kind of which each makes its own model (`store.models.MADE_ANEW`). told: the program's
    model.json. fallback: what stands in tells customers, as the model did not pass its gates.
    """

    told: Told
    model: Model
    fallback: bool


def register_anew(job: ScoringJob, blobs: BlobStore) -> MadeAnew:
    """Gives the model of a job of such a kind its place, as `register` does."""
    told = description_of(job, blobs)
    register(job, told, blobs)
    return MadeAnew(told, Model.get(job.uid), fallback=job.scorer != job.uid)


def description_of(job: ScoringJob, blobs: BlobStore) -> dict[str, Any]:
    """The job program's model.json (`jobs.description`)."""
    described: dict[str, Any] = json.loads(blobs.get(job.result_subject, "model.json"))
    return described


def note_evaluation(job: ScoringJob, told: Told) -> Model:
    """Notes what became of the models without a new one; returns the one that is released then. Done again it changes
    nothing. Raises JobFailed when somebody changed the champion meanwhile.
    """
    if job.scorer:
        noted: Model = Model.get(job.scorer)
        return noted
    standing = docstore.in_transaction(lambda: _note_evaluation(job, told))
    job.scorer = standing.uid
    if told["rollback"]["falls"]:
        telemetry.counter(metric_names.SCORING_MODELS).add(1, {"rapport.scoring.outcome": "rolled_back"})
    return standing


def came_of_training(job: ScoringJob, released: str) -> str:
    """In words what came of the model a job made. released: what follows if it passed its gates."""
    made: Model = Model.get(job.uid)
    if made.state == gates.CHAMPION:
        return f"{made.name} passed its gates: {released}."
    stands = f"{job.model} is released" if job.scorer != made.uid else "none is released"
    return f"{made.name} did not pass its gates, {stands}: {'; '.join(made.failed) or made.state_message}."


def oldest_age() -> float:
    """Seconds since the instant that the oldest champion looks from; 0 without one."""
    oldest = Model.oldest_champion()
    return max(0.0, (clock.now() - oldest).total_seconds()) if oldest else 0.0


def drift_by_column(figure: str) -> list[tuple[float, dict[str, str]]]:
    """The most that each column of each kind of model has drifted, for metrics. figure: psi, or low, its lower end."""
    return [
        (row[figure], {"rapport.scoring.kind": row["kind"].lower(), "rapport.scoring.column": row["column"]})
        for row in Model.greatest_drifts()
    ]


def _register(job: ScoringJob, description: Told, hashes: Mapping[str, str]) -> Model:
    told = description["judgement"]
    board, standing = _looked_back(job, told)
    made = [_candidate(job, description, hashes)]
    if "stand_in" in told:
        made.append(_stand_in(job, description, hashes, made[0].number + 1))
    scorer = next((model for model in made if model.state == gates.CHAMPION), None)
    if scorer is not None:
        if standing is not None:
            scorer.previous = standing.uid
            settle(standing, gates.RETIRED, f"{scorer.name} took its place.")
        tell_promoted(scorer, job=job.name)
        score_anew(job.kind)
    if made[0].state in (gates.CHAMPION, gates.CHALLENGER):
        for model in board.values():
            if model.state == gates.CHALLENGER:
                settle(model, gates.RETIRED, f"{made[0].name} is measured in its place.")
    _save(board)
    for model in made:
        model.insert()
    found = scorer or standing or made[0]
    prove(job, {"$set": {"scorer": found.uid}})
    return found


def _note_evaluation(job: ScoringJob, told: Told) -> Model:
    board, standing = _looked_back(job, told)
    assert standing is not None
    _save(board)
    prove(job, {"$set": {"scorer": standing.uid}})
    return standing


def _looked_back(job: ScoringJob, told: Told) -> tuple[dict[str, Model], Model | None]:
    """The models that may change, with what happened since, and which of them stands; nothing is stored yet."""
    board = _board(told, job.kind)
    champion = next((model for model in board.values() if model.state == gates.CHAMPION), None)
    if told["champion"] and (champion is None or champion.name != told["champion"]):
        raise JobFailed("The champion was changed while the job was at work: start another job.")
    _note_outcomes(job, told, board)
    standing = champion
    if told["rollback"]["falls"]:
        assert champion is not None
        standing = board[_uid(told["standing"])]
        take_back(champion, standing, told["rollback"]["message"], job=job.name)
        score_anew(job.kind)
    if standing is not None:
        _note_drift(standing, job, told["drifts"])
    return board, standing


def _save(board: Mapping[str, Model]) -> None:
    # There is one champion at any time: the old one goes before the new one comes.
    for model in sorted(board.values(), key=lambda model: model.state == gates.CHAMPION):
        model.save()


def _board(told: Told, kind: str) -> dict[str, Model]:
    """The models that may change, by uid."""
    named = [_uid(outcome["model"]) for outcome in told["outcomes"]]
    named += [_uid(told["standing"])] if told["standing"] else []
    standing = Model.find({"state": {"$in": [gates.CHAMPION, gates.CHALLENGER]}, "kind": kind})
    return Model.get_many(named) | {model.uid: model for model in standing}


def _stand_in_uid(job: ScoringJob) -> str:
    """Of the mean rates that stand in when a job's model did not pass: the same every time."""
    return str(uuid.uuid5(uuid.UUID(job.uid), "stand-in"))


def _note_outcomes(job: ScoringJob, told: Told, board: Mapping[str, Model]) -> None:
    for outcome in told["outcomes"]:
        model = board[_uid(outcome["model"])]
        noted = [{**outcome, "job": job.uid, "as_of": job.as_of}, *model.outcomes]
        model.outcomes = sorted(noted, key=lambda each: each["as_of"], reverse=True)[:OUTCOMES_MOST]


def _note_drift(champion: Model, job: ScoringJob, drifts: list[dict[str, Any]]) -> None:
    """Older drifts replace nothing; nor do none, which come of too few rows."""
    if not drifts or (champion.drifts_as_of and champion.drifts_as_of > job.as_of):
        return
    champion.drifts, champion.drifts_as_of = drifts, job.as_of
    drifted = [model_messages.model_drift(drift) for drift in drifts if drift["drifted"]]
    if drifted:
        champion.emit(
            events_pb2.FeatureDriftDetected(model=champion.name, scoring_job=job.name, as_of=job.as_of, drifts=drifted)
        )


def _candidate(job: ScoringJob, description: Told, hashes: Mapping[str, str]) -> Model:
    told = description["judgement"]
    failed = [gate["message"] for gate in told["candidate"]["gates"] if not gate["passed"]]
    passed = "mean rates, which need no proof" if description["fallback"] else "passed all its gates"
    revenue = (told["test"] or {}).get("revenue")
    return Model.new(
        uid=job.uid,
        **_common(job, description, told["candidate"]["state"], "; ".join(failed) or passed, hashes[job.uid]),
        number=Model.next_number(),
        parameters=description["parameters"],
        metrics={**description["metrics"], **({"revenue": revenue} if revenue else {})},
        fallback=bool(description["fallback"]),
        message=description["message"] or None,
        gates=told["candidate"]["gates"],
        test=told["test"],
    )


def _stand_in(job: ScoringJob, description: Told, hashes: Mapping[str, str], number: int) -> Model:
    found = description["judgement"]["stand_in"]
    uid = _stand_in_uid(job)
    why = f"stands in, because models/{job.uid} did not pass its gates"
    return Model.new(
        uid=uid,
        **_common(job, description, gates.CHAMPION, why, hashes[uid]),
        number=number,
        parameters=found["parameters"],
        metrics=found.get("metrics", {}),
        fallback=True,
        message=found["message"],
    )


def _common(job: ScoringJob, description: Told, state: str, why: str, sha256: str) -> dict[str, Any]:
    told = description["judgement"]
    return {
        "job": job.uid,
        "kind": job.kind,
        "state": state,
        "state_message": sentence(why),
        "state_time": clock.now(),
        "as_of": job.as_of,
        "window_start_time": _instant(description["window_start"]),
        "window_end_time": _instant(description["window_end"]),
        "customers": description["customers"],
        "purchases": description["purchases"],
        "fingerprint": description["version"],
        "currency": description["currency"],
        "features": told["features"],
        "artefact_sha256": sha256,
        "consenting": told["consenting"],
    }


def _uid(name: str) -> str:
    return name.rpartition("/")[2]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
