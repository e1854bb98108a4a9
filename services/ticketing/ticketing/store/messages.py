"""What was said in tickets."""

import hashlib
from typing import Any, ClassVar

import mongoengine as me

from docstore.documents import InstantField
from docstore.records import Record
from ticketing.store.sentiments import Sentiment

CUSTOMER, AGENT, INTERNAL = "AUTHOR_CUSTOMER", "AUTHOR_AGENT", "AUTHOR_INTERNAL"


class Attachment(me.EmbeddedDocument):
    """A file that came with a message; kept in the blob store by its hash unless `refusal` says why not."""

    filename: Any = me.StringField(required=True)
    content_type: Any = me.StringField(required=True)
    size_bytes: Any = me.LongField(required=True)
    sha256: Any = me.StringField()
    refusal: Any = me.StringField()


class TicketMessage(Record):
    """One thing said in a ticket. `ticket` is its uid.

    lesson: since when it teaches the model of moods, if it does: somebody said how it sounds. told: the label it had
    before anybody said so, if it had one.
    """

    meta: ClassVar[dict[str, Any]] = {
        "collection": "messages",
        "indexes": [
            ["tenant", "ticket", "create_time", "id"],
            {
                "fields": ["tenant", "message_id"],
                "partialFilterExpression": {"message_id": {"$exists": True}},
            },
            {"fields": ["tenant", "lesson", "id"], "partialFilterExpression": {"lesson": {"$exists": True}}},
        ],
    }
    ticket: Any = me.StringField(required=True)
    author: Any = me.StringField(required=True, choices=[CUSTOMER, AGENT, INTERNAL])
    text: Any = me.StringField(required=True)
    channel: Any = me.StringField(required=True)
    principal: Any = me.StringField()
    sentiment: Any = me.EmbeddedDocumentField(Sentiment)
    attachments: Any = me.EmbeddedDocumentListField(Attachment)
    message_id: Any = me.StringField()
    """The Message-ID (RFC 5322) of a message that came or went by e-mail."""
    send_time: Any = InstantField()
    create_time: Any = InstantField(required=True)
    lesson: Any = InstantField()
    told: Any = me.StringField()

    @property
    def name(self) -> str:
        """The resource name."""
        return f"tickets/{self.ticket}/messages/{self.uid}"

    @property
    def etag(self) -> str:
        """Tells what may change of it apart (AIP-154); quoted as in HTTP."""
        told = self.sentiment.message().SerializeToString(deterministic=True) if self.sentiment else b""
        sent = self.send_time.isoformat() if self.send_time else ""
        return f'"{hashlib.sha256(told + sent.encode()).hexdigest()[:16]}"'
