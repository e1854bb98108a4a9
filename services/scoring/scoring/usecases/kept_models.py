"""Models as they are kept whole: stored by the job that made them, deleted when too many large ones have ended."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from docstore import Row
from docstore.blobs import BlobStore
from scoring.domain import gates
from scoring.store import Model, ScoringJob
from scoring.store.models import ARTEFACT, artefact_of

WHOLE_MOST = ScoringJob.results_most
"""Large models that have ended and are kept whole."""
_AT_ONCE = 1_000
_CHUNK = 1 << 20


def keep(job: ScoringJob, blobs: BlobStore, uid: str, part: Mapping[str, Any]) -> str:
    """Stores a model whole; returns the hash of its bytes, none where it is not kept: it may never tell anything.

    Large ones are in a file of the result. Without a document that names it, it is written again.
    """
    subject = f"{Model.resource}/{uid}"
    if "artefact" in part:
        body = json.dumps(part["artefact"], sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        blobs.put(subject, ARTEFACT, body)
        return hashlib.sha256(body).hexdigest()
    if "artefact_file" not in part:
        return ""
    with blobs.open(job.result_subject, part["artefact_file"]) as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        file.seek(0)
        blobs.put(subject, artefact_of(job.kind), file)
    return digest.hexdigest()


def drop_oldest(kind: str, blobs: BlobStore) -> None:
    """Deletes the files of models that ended before the newest WHOLE_MOST, those first that never were champion.

    Never of the one that may come back, nor of those that a kept result was made with.
    """
    rows = Model.rows()
    for row in _ended(kind):
        # It is no longer named before it is gone.
        change = {"$set": {"artefact_sha256": "", "files_left": True}, "$inc": {"version": 1}}
        rows.update_one({"uid": row["uid"], "version": row["version"]}, change)
    # Those, too, that a runner left which was killed here.
    for row in list(rows.find({"kind": kind, "files_left": True}, {"uid": 1}, limit=_AT_ONCE)):
        blobs.delete_subject(f"{Model.resource}/{row['uid']}")
        rows.update_one({"uid": row["uid"]}, {"$unset": {"files_left": ""}})


def _ended(kind: str) -> list[Row]:
    """The models that are kept whole no longer (uid, version)."""
    champion = Model.in_state(gates.CHAMPION, kind)
    results = {"kind": kind, "$or": [{"files": True}, {"result_until": {"$exists": True}}]}
    needed = {job["scorer"] for job in ScoringJob.rows().find(results, {"scorer": 1}) if job.get("scorer")}
    if champion and champion.previous:
        needed.add(champion.previous)
    ended = {"state": {"$in": [gates.RETIRED, gates.ROLLED_BACK]}, "kind": kind, "artefact_sha256": {"$gt": ""}}
    newest = [("was_champion", -1), ("state_time", -1)]
    found = list(Model.rows().find(ended, {"uid": 1, "version": 1}, sort=newest, limit=_AT_ONCE))
    others = [row for row in found if row["uid"] not in needed]
    return others[max(0, WHOLE_MOST - (len(found) - len(others))) :]
