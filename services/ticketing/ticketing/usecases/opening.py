"""What callers want said and opened, checked; plain values of the use cases."""

from collections.abc import Sequence
from dataclasses import dataclass

from ticketing.store.messages import Attachment
from ticketing.store.sentiments import Sentiment


@dataclass(frozen=True, slots=True)
class Opening:
    """A ticket to open. priority, kind, channel: names of the contract's enums; `kind` empty: found from the words,
    else `kind_reason` may say why it is that one. intent: empty: what the intent model is sure of. uid: of the new
    ticket, where it is to be a certain one.
    """

    subject: str
    channel: str
    kind: str = ""
    kind_reason: str = ""
    intent: str = ""
    priority: str = "PRIORITY_NORMAL"
    customer: str = ""
    requester_email: str = ""
    language_code: str = ""
    skills: Sequence[str] = ()
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Mood:
    """How a customer sounds. score: what kind and priority are found by: -1 is as bad as can be."""

    sentiment: Sentiment
    score: float


@dataclass(frozen=True, slots=True)
class Said:
    """Something to say in a ticket. author, channel: names of the contract's enums; principal: who wrote it, empty for
    the customer; uid, message_id, attachments: of what came by e-mail; automatic: no person wrote it, so
    it reopens nothing; mood: how the customer sounds in it, None where nobody does.
    """

    text: str
    author: str
    channel: str
    principal: str = ""
    uid: str | None = None
    message_id: str = ""
    attachments: Sequence[Attachment] = ()
    automatic: bool = False
    mood: Mood | None = None
