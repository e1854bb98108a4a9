"""How a text sounds, as it is kept in tickets and messages."""

from typing import Any

import mongoengine as me
from rapport.ticketing.v1 import ticket_pb2

LEXICON, MODEL, AGENT = "SOURCE_LEXICON", "SOURCE_MODEL", "SOURCE_AGENT"
SCORES = {"LABEL_POSITIVE": 1.0, "LABEL_NEUTRAL": 0.0, "LABEL_NEGATIVE": -1.0}
"""What people can say, and how it counts."""


class Sentiment(me.EmbeddedDocument):
    """A judgement; `label` is a name of the contract's enum. source: of those from when there were only lexicons, none.
    model: none where a person said so."""

    label: Any = me.StringField(required=True, choices=ticket_pb2.Sentiment.Label.keys()[1:])
    score: Any = me.FloatField(required=True)
    reasons: Any = me.ListField(me.StringField())
    model: Any = me.StringField()
    source: Any = me.StringField(choices=[LEXICON, MODEL, AGENT])

    def message(self) -> ticket_pb2.Sentiment:
        """The judgement as the contract has it."""
        return ticket_pb2.Sentiment(
            label=self.label, score=self.score, reasons=self.reasons, model=self.model, source=self.source or LEXICON
        )


def said_by_somebody(label: str) -> Sentiment:
    """A person's word."""
    return Sentiment(label=label, score=SCORES[label], source=AGENT)
