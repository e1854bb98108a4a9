"""How a text sounds, as it is kept in tickets and messages."""

from typing import Any

import mongoengine as me
from rapport.ticketing.v1 import ticket_pb2


class Sentiment(me.EmbeddedDocument):
    """A judgement; `label` is a name of the contract's enum."""

    label: Any = me.StringField(required=True, choices=ticket_pb2.Sentiment.Label.keys()[1:])
    score: Any = me.FloatField(required=True)
    reasons: Any = me.ListField(me.StringField())
    model: Any = me.StringField(required=True)

    def message(self) -> ticket_pb2.Sentiment:
        """The judgement as the contract has it."""
        return ticket_pb2.Sentiment(label=self.label, score=self.score, reasons=self.reasons, model=self.model)
