"""Role `migrate`: indexes and numbered migrations of the service's database."""

import zlib
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

import docstore
from chassis.lifecycle import Stopping
from docstore import Row
from docstore.migration import Migration
from eventing.records import RECORDS
from scoring.domain import gates
from scoring.domain.histories import FORM
from scoring.settings import ScoringSettings
from scoring.store import DOCUMENTS
from scoring.store.histories import FORGOTTEN
from scoring.store.models import LIFETIME_VALUE

_CHUNK = 1_000


def _name_champions(database: Database[Row]) -> None:
    """Models of before there was a registry: the newest of each tenant scores, the others did."""
    models: Any = database["models"]
    newest = models.aggregate([{"$group": {"_id": "$tenant", "number": {"$max": "$number"}}}])
    for tenant in newest:
        old = {"tenant": tenant["_id"], "state": {"$exists": False}}
        of = {"$set": {"kind": LIFETIME_VALUE, "state": gates.RETIRED, "job": "$uid"}}
        scores = {"$set": {"kind": LIFETIME_VALUE, "state": gates.CHAMPION, "job": "$uid"}}
        # The newest last: a run that was broken off finds it without a state still.
        models.update_many({**old, "number": {"$lt": tenant["number"]}}, [of])
        models.update_one({**old, "number": tenant["number"]}, [scores])


def _keep_members_apart(database: Database[Row]) -> None:
    """Members were kept with the scores: they become profiles, and every segment is looked at once more."""
    profiles: Any = database["profiles"]
    fields = {"tenant": 1, "uid": 1, "customer": 1, "segments": 1, "lifetime_value_minor": 1}
    waiting: list[UpdateOne] = []

    def write() -> None:
        if waiting:
            profiles.bulk_write(waiting, ordered=False)
            waiting.clear()

    for row in database["scores"].find({}, fields):
        new = {
            "tenant": row["tenant"],
            "uid": row["uid"],
            "customer": row["customer"],
            "spread": zlib.crc32(row["customer"].encode()),
            "segments": row.get("segments", []),
            "value": row["lifetime_value_minor"],
        }
        waiting.append(UpdateOne({"_id": row["_id"]}, {"$setOnInsert": new}, upsert=True))
        if len(waiting) == _CHUNK:
            write()
    write()
    database["segments"].update_many({"purged": None}, {"$set": {"evaluation_due": True}})


def _check_results(database: Database[Row]) -> None:
    """Results that are kept of jobs were not checked against objections: those of before this are looked through."""
    database["profiling_objections"].update_many({}, {"$set": {"results_due": True}})


def _forget_older_forms(database: Database[Row]) -> None:
    """Histories of older forms did not tell all of the day of the oldest purchase, and would be kept for ever."""
    histories: Any = database["purchase_histories"]
    older = {"days": {"$exists": True}, "form": {"$ne": FORM}}
    histories.delete_many({**older, "due": {"$exists": False}})
    histories.update_many(older, FORGOTTEN)


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "Name each tenant's champion.", _name_champions),
    Migration(2, "Keep members of segments in profiles.", _keep_members_apart),
    Migration(3, "Take who has objected out of the results of jobs.", _check_results),
    Migration(4, "Have what was bought read anew where its oldest day is not known.", _forget_older_forms),
)

VERSION = len(MIGRATIONS)
"""The database version this code needs."""


def migrate(settings: ScoringSettings) -> None:
    """Brings the database up to `VERSION`; may be repeated."""
    docstore.migrate("scoring", [*DOCUMENTS, *RECORDS], MIGRATIONS, settings)


def role(settings: ScoringSettings, _stopping: Stopping) -> None:
    """Entry of role `migrate`."""
    migrate(settings)
