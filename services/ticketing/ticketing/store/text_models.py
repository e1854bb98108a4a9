"""The models of a tenant that tell what texts are about and how they sound: which are in place, when to learn anew."""

from datetime import datetime
from typing import Any, ClassVar

import mongoengine as me

from chassis import clock, ids
from docstore import Row, due, leases
from docstore.documents import InstantField
from docstore.records import Record

UID = "default"
"""Of the one model of its kind that a tenant has."""
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
    """A model of a tenant.

    due: when `run` looks next whether there is enough to learn anew. taught_until, taught: of the lessons when it
    last learned: the newest, and how many. version: of the model in place, or of the last one; artefact: its name in
    the blob store; without it there is none. labels (as the contract has them) and figures: of the model in place.
    forget: a mark that each erasure of somebody who taught sets anew: the model is to be learned without them.
    """

    meta: ClassVar[dict[str, Any]] = {"abstract": True}
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


class IntentModelState(TextModelState):
    """That of intents."""

    meta: ClassVar[dict[str, Any]] = {"collection": "intent_models", "indexes": [due.INDEX]}


class SentimentModelState(TextModelState):
    """That of moods. Processes that know only intents take whatever is due among those for one of them."""

    meta: ClassVar[dict[str, Any]] = {"collection": "sentiment_models", "indexes": [due.INDEX]}


State = type[IntentModelState] | type[SentimentModelState]


def current(state: State) -> TextModelState | None:
    """That of the current tenant; None where nothing has been there to learn from."""
    return state.get_many([UID]).get(UID)


def expect(state: State) -> bool:
    """Lets `run` look from now on whether there is something to learn from; False if it did before."""
    begun = {"due": clock.now(), "version": 0}
    return state.rows().update_one({"uid": UID}, {"$setOnInsert": begun}, upsert=True).upserted_id is not None


def forget_lessons(state: State) -> None:
    """Lets the model be learned anew without what it was taught so far by somebody who is erased."""
    state.rows().update_one({"uid": UID}, {"$set": {"forget": ids.uuid7(), "due": clock.now()}})


def change(state: State, row: Row, changes: Row) -> Row | None:
    """Changes the claimed model and returns it; None if somebody was erased, or the claim lost, since it was read."""
    update = {
        "$set": {name: value for name, value in changes.items() if value is not None},
        "$unset": {name: "" for name, value in changes.items() if value is None},
    }
    held = {**leases.held(row), "forget": row.get("forget")}
    return state.rows().find_one_and_update(held, {name: part for name, part in update.items() if part})


def settle(state: State, row: Row, due: datetime, *, forgotten: bool = False) -> None:
    """Gives the claimed model back, at once if somebody was erased since it was read.

    forgotten: whoever was erased before is in no model any more.
    """
    if change(state, row, {"due": due, "lease": None, **({"forget": None} if forgotten else {})}) is None:
        leases.release(state.rows(), row)
