"""The first step of a recompute of segments: writes what memberships are decided by into files, a file a call.

Customers are read by name, some hundred at a time. Those who come later are not in it: members are kept up to date by
`evaluating` from the first that is heard of somebody. Of those who may be in no segment (who objected, were merged or
deleted) only that is told, of the others what the segments can ask for.
"""

from typing import Any

from chassis import clock, ids, tenancy
from docstore import Conflict, Row
from docstore.blobs import BlobStore
from scoring import people_files
from scoring.domain.person_forms import Needs, written
from scoring.rulebook import Rulebook, rulebook
from scoring.settings import ScoringSettings
from scoring.store import Profile, ScoringJob
from scoring.store.jobs import COMPUTING
from scoring.usecases import preparing
from scoring.usecases.leased_jobs import note
from scoring.usecases.persons import Persons
from scoring.usecases.settling import Asked, milliseconds

CHUNK = 500
FILE_ROWS = 10_000
"""Customers in a file: a task takes a few seconds, and so long a runner does not hear that it is to stop."""
_FILE_BYTES = 32_000_000
_PURCHASES_PER_CUSTOMER = 20
"""So many fewer customers than purchases make starting a Ray worth while: with each there is more to do."""
_READ = {"series.i": 0, "series.o": 0, "traits_sequence": 0, "spread": 0}
"""What is not read of profiles."""
_FAR = ("after", "total")
"""How far it is: the uid of the last customer that is in a file, and about how many there are. Beside the program's
instructions, as it goes with these when the job ends.
"""


def prepare(job: ScoringJob, settings: ScoringSettings, blobs: BlobStore) -> None:
    """Writes the next file, or makes the program's instructions and brings the job to its next phase after the last.

    Raises Cancelled, and Conflict when somebody else holds the job.
    """
    if not job.spec:
        _begin(job, settings)
    spec = dict(job.spec)
    if spec["after"] is None:
        given = {name: spec[name] for name in spec if name not in _FAR}
        note(job, phase=COMPUTING, spec=given, percent=preparing.PREPARED_PERCENT, message="Starts the computation.")
        return
    book = rulebook(frozenset((segment["uid"], segment["expression"]) for segment in spec["segments"]))
    file = people_files.Writer()
    read, spec["after"] = _fill(file, spec["after"], book)
    # Under a name of its own: a runner that lost the job to another must not write into that one's files.
    name = f"people-{ids.uuid7()}.parquet"
    if file.rows:
        blobs.put(job.subject, name, file.content())
        part = {"name": name, "rows": file.rows, "chunk_bytes": file.chunk_bytes}
        spec["parts"] = [*spec["parts"], part]
    told = {**job.told, "customers": job.told["customers"] + read}
    percent = preparing.PREPARED_PERCENT * told["customers"] // max(spec["total"], told["customers"], 1)
    message = f"Writes what is known of customers into files: {told['customers']} of about {spec['total']}."
    try:
        note(job, spec=spec, told=told, percent=percent, message=message)
    except Conflict:
        # Nobody else would: the job may have ended, and its files be gone.
        blobs.delete(job.subject, name)
        raise


def _begin(job: ScoringJob, settings: ScoringSettings) -> None:
    """Notes what is asked of everybody, for all files, and that there is nothing yet."""
    asked = Asked.read()
    segments = [{"uid": uid, "expression": text} for uid, text in sorted(asked.expressions.items())]
    spec = {
        "tenant": tenancy.tenant(),
        "people": preparing.url(settings, job.subject),
        "segments": segments,
        "following": sorted(asked.following),
        "ray_from_customers": settings.ray_from_purchases // _PURCHASES_PER_CUSTOMER,
        "parts": [],
        "after": "",
        "total": Profile.rows().count({}),
    }
    told = {"customers": 0, "segments": len(segments), "differences": 0, "miscounted": 0}
    note(job, files=True, spec=spec, told=told, percent=0, message="Writes what is known of customers into files.")


def _fill(file: people_files.Writer, after: str, book: Rulebook) -> tuple[int, str | None]:
    """Puts the customers after one (uid) into a file, as many as it holds; returns how many it looked at, and the uid
    of the last, None at the end.
    """
    needs = Needs.of(book.conditions.values())
    read, last = 0, after
    while read < FILE_ROWS and file.size < _FILE_BYTES:
        place = {"_id": {"$gt": Profile.key(last), "$lt": f"{tenancy.tenant()}0"}}
        rows = list(Profile.rows().find(place, _READ, sort=[("_id", 1)], limit=CHUNK))
        file.add(_looked_at(rows, needs))
        read += len(rows)
        if len(rows) < CHUNK:
            return read, None
        last = rows[-1]["uid"]
    return read, last


def _looked_at(rows: list[Row], needs: Needs) -> list[Row]:
    """Rows of a file, of the customers of these profiles and of those who stand for them and have none."""
    known = {row["customer"]: row for row in rows}
    persons = Persons.load(known, known)
    # Only now: what has run out until then is known to be about to be looked at.
    now = milliseconds(clock.now())
    names = [name for name in known if name in persons.canonicals]
    names += sorted(persons.members.keys() - persons.rows.keys())
    return [_row(persons, name, now, needs) for name in names]


def _row(persons: Persons, customer: str, now: int, needs: Needs) -> dict[str, Any]:
    row = persons.rows.get(customer, {})
    belongs = persons.belongs(customer)
    scores = persons.scores.get(customer) or {}
    stale = scores.get("lifetime_value_minor") != row.get("value")
    if belongs:
        stale = stale or not row.get("known")
    else:
        stale = stale or row.get("due") is not None or row.get("known") is not None
    return {
        "customer": customer,
        "members": persons.members[customer][1:] if belongs else [],
        "instant": now,
        "segments": list(row.get("segments") or ()),
        "due": milliseconds(row["due"]) if row.get("due") else None,
        "stale": stale,
        "person": written(persons.person(customer, now), needs) if belongs else None,
    }
