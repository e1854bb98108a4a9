"""The models of a tenant that tell what texts are about and how they sound: which are in place, when to learn anew."""

from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

from chassis import clock, ids
from docstore import Row, due, leases
from docstore.documents import InstantField
from docstore.records import Record

INTENTS, MOODS = "default", "moods"
"""Uids of the models. That of intents was alone once."""
FIGURES = (
    "held_out_texts",
    "accuracy",
    "coverage",
    "reached_precision",
    "calibration_error",
    "threshold",
    "lexicon_accuracy",
)


class TextModelState(Record):
    """One model of a tenant, of intents or of moods.

    due: when `run` looks next whether there is enough to learn anew. taught_until, taught: of the lessons when it
    last learned: the newest, and how many. version: of the model in place, or of the last one; artefact: its name in
    the blob store; without it there is none. labels (as the contract has them) and figures: of the model in place.
    forget: a mark that each erasure of somebody who taught sets anew: the model is to be learned without them.
    """

    meta: ClassVar[dict[str, Any]] = {"collection": "intent_models", "indexes": [due.INDEX]}
    due: Any = InstantField()
    taught_until: Any = InstantField()
    taught: Any = me.IntField()
    attempt_time: Any = InstantField()
    messages: Any = me.ListField(me.StringField())
    forget: Any = me.StringField()

    version: Any = me.IntField(required=True, default=0)
    artefact: Any = me.StringField()
    learn_time: Any = InstantField()
    texts: Any = me.IntField()
    labels: Any = me.ListField(me.DictField())
    held_out_texts: Any = me.IntField()
    accuracy: Any = me.FloatField()
    coverage: Any = me.FloatField()
    reached_precision: Any = me.FloatField()
    calibration_error: Any = me.FloatField()
    threshold: Any = me.FloatField()
    lexicon_accuracy: Any = me.FloatField()


def current(uid: str) -> TextModelState | None:
    """That of the current tenant; None where nothing has been there to learn from."""
    return TextModelState.get_many([uid]).get(uid)


def expect(uid: str) -> bool:
    """Lets `run` look from now on whether there is something to learn from; False if it did before."""
    begun = {"due": clock.now(), "version": 0}
    return TextModelState.rows().update_one({"uid": uid}, {"$setOnInsert": begun}, upsert=True).upserted_id is not None


def forget_lessons(uid: str) -> None:
    """Lets the model be learned anew without what it was taught so far by somebody who is erased."""
    TextModelState.rows().update_one({"uid": uid}, {"$set": {"forget": ids.uuid7(), "due": clock.now()}})


def change(row: Row, changes: Row) -> Row | None:
    """Changes the claimed model and returns it; None if somebody was erased, or the claim lost, since it was read."""
    update = {
        "$set": {name: value for name, value in changes.items() if value is not None},
        "$unset": {name: "" for name, value in changes.items() if value is None},
    }
    held = {**leases.held(row), "forget": row.get("forget")}
    return TextModelState.rows().find_one_and_update(held, {name: part for name, part in update.items() if part})


def settle(row: Row, due: datetime, *, forgotten: bool = False) -> None:
    """Gives the claimed model back, at once if somebody was erased since it was read.

    forgotten: whoever was erased before is in no model any more.
    """
    if change(row, {"due": due, "lease": None, **({"forget": None} if forgotten else {})}) is None:
        leases.release(TextModelState.rows(), row)
