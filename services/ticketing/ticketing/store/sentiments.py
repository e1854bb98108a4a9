"""How a text sounds, as it is kept in tickets and messages."""

from typing import Any, ClassVar

import mongoengine as me
from rapport.ticketing.v1 import ticket_pb2

LEXICON, MODEL, AGENT = "SOURCE_LEXICON", "SOURCE_MODEL", "SOURCE_AGENT"
SENTIMENT_MODEL = "sentimentModel"
"""Name of the tenant's own model."""
SCORES = {"LABEL_POSITIVE": 1.0, "LABEL_NEUTRAL": 0.0, "LABEL_NEGATIVE": -1.0}
"""What people can say, and how it counts."""


class Sentiment(me.EmbeddedDocument):
    """A judgement; `label` is a name of the contract's enum. model: with its version; empty where a person said so.

    Who says so follows from the model: a field of its own would keep processes of versions without it from reading.
    """

    meta: ClassVar[dict[str, Any]] = {"strict": False}
    label: Any = me.StringField(required=True, choices=ticket_pb2.Sentiment.Label.keys()[1:])
    score: Any = me.FloatField(required=True)
    reasons: Any = me.ListField(me.StringField())
    model: Any = me.StringField(required=True)

    @property
    def source(self) -> str:
        """Who says so, as the contract names it."""
        if not self.model:
            return AGENT
        return MODEL if self.model.startswith(f"{SENTIMENT_MODEL}/") else LEXICON

    def message(self) -> ticket_pb2.Sentiment:
        """The judgement as the contract has it."""
        return ticket_pb2.Sentiment(
            label=self.label, score=self.score, reasons=self.reasons, model=self.model, source=self.source
        )


def said_by_somebody(label: str) -> Sentiment:
    """A person's word."""
    return Sentiment(label=label, score=SCORES[label], model="")
