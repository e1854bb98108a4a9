"""What is said in tickets, and what people say of how it sounds."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from rapport.ticketing.v1 import events_pb2, ticket_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import Aborted, FailedPrecondition, NotFound
from docstore import masks, whole_milliseconds
from docstore.blobs import BlobStore
from eventing import erasing
from ticketing import answers, inputs
from ticketing.store import Ticket, TicketMessage, sentiments
from ticketing.store.messages import AGENT, CUSTOMER
from ticketing.store.sentiments import Sentiment, said_by_somebody
from ticketing.store.tickets import PENDING, RESOLVED, first_messages, is_last_word, keep_mood, language_code
from ticketing.usecases import assigning, hearing, lifecycle, outgoing, routing
from ticketing.usecases.learned_models import MOODS
from ticketing.usecases.opening import Said

EMAIL = "CHANNEL_EMAIL"


def say(ticket_uid: str, said: Said, blobs: BlobStore) -> TicketMessage:
    """Says something in a ticket. Raises what `post` raises."""
    if said.author == CUSTOMER:
        said = hearing.words(said, language_code(ticket_uid), blobs)
    return TicketMessage.get(fields.uid(_say(ticket_uid, said).name))


def named(name: str) -> TicketMessage:
    """The message of that resource name, wherever it is kept. Raises NotFound."""
    _, ticket_uid, _, uid = name.split("/")
    said = TicketMessage.get_many([uid]).get(uid)
    if said is not None and said.ticket == ticket_uid:
        return said
    for row in first_messages(ticket_uid):
        if row["uid"] == uid:
            return TicketMessage.from_row(row)
    raise NotFound("NOT_FOUND", f"{name} does not exist.", metadata={"resource": name})


@docstore.command(None, replay=ticket_pb2.TicketMessage.FromString)
def _say(ticket_uid: str, said: Said) -> ticket_pb2.TicketMessage:
    return ticket_pb2.TicketMessage(name=post(ticket_uid, said).name)


def post(ticket_uid: str, said: Said) -> TicketMessage:
    """Says something in a ticket, inside a transaction. Raises NotFound, FailedPrecondition CUSTOMER_ERASED.

    A word of the customer reopens a pending or resolved ticket; an agent's answer is the first response if there was
    none, and is left for sending by e-mail where the ticket has an address.
    """
    ticket = Ticket.get(ticket_uid)
    if ticket.customer:
        erasing.require_not_erased(ticket.customer)
    now, had_agent = whole_milliseconds(clock.now()), lifecycle.holder(ticket)
    message = said_in(ticket, said)
    if said.author == CUSTOMER and not said.automatic and ticket.state in (PENDING, RESOLVED):
        assigning.reopen(ticket, now)
    elif said.author == AGENT:
        lifecycle.answered(ticket, now)
        if ticket.requester_email:
            message.channel = EMAIL
            outgoing.queue_answer(ticket, message)
    message.insert()
    lifecycle.conclude(ticket, now, events_pb2.TicketUpdated(), had_agent=had_agent)
    ticket.publish(posted(ticket, message))
    ticket.save()
    return message


def said_in(ticket: Ticket, said: Said) -> TicketMessage:
    """The message, not stored yet; the ticket then knows how the customer sounds, if it told."""
    sentiment = said.mood.sentiment if said.mood else None
    ticket.sentiment = sentiment or ticket.sentiment
    return TicketMessage.new(
        uid=said.uid,
        ticket=ticket.uid,
        author=said.author,
        text=said.text,
        channel=said.channel,
        principal=said.principal or None,
        message_id=said.message_id or None,
        attachments=list(said.attachments),
        sentiment=sentiment,
        create_time=clock.now(),
    )


def update(message: ticket_pb2.TicketMessage, mask: FieldMask) -> TicketMessage:
    """Says how a message of the customer sounds: a person's word, even with the label it has.

    Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument INVALID_SENTIMENT and what `masks.apply` raises,
    FailedPrecondition NOT_SAID_BY_CUSTOMER, CUSTOMER_ERASED.
    """
    name = _update(message, mask).name
    # Not within the transaction: what it has not stored in the end, a cache must not take for stored.
    MOODS.expected.get()
    return named(name)


@docstore.command(None, replay=ticket_pb2.TicketMessage.FromString)
def _update(given: ticket_pb2.TicketMessage, mask: FieldMask) -> ticket_pb2.TicketMessage:
    message = named(given.name)
    wanted = answers.ticket_message(message)
    masks.apply(mask, given, wanted)
    label = inputs.mood(given, mask)
    if message.author != CUSTOMER:
        raise FailedPrecondition(
            "NOT_SAID_BY_CUSTOMER",
            f"{message.name} was not said by the customer: only what customers say has a sentiment.",
            metadata={"resource": message.name},
        )
    if given.etag and given.etag not in (message.etag, "*"):
        raise Aborted(
            "ETAG_MISMATCH",
            f"{message.name} has changed since it was read; read it again and say how it sounds now.",
            metadata={"resource": message.name},
        )
    ticket = Ticket.get(message.ticket)
    if ticket.customer:
        erasing.require_not_erased(ticket.customer)
    said = message.sentiment
    if said is None or said.label != label or said.source != sentiments.AGENT:
        _note_mood(ticket, message, said_by_somebody(label))
    return ticket_pb2.TicketMessage(name=message.name)


def _note_mood(ticket: Ticket, message: TicketMessage, sentiment: Sentiment) -> None:
    now, had_agent = whole_milliseconds(clock.now()), lifecycle.holder(ticket)
    if message.lesson is None and message.sentiment is not None:
        message.told = message.sentiment.label
    message.sentiment, message.lesson, ticket.mood_said = sentiment, now, True
    keep_mood(message)
    ticket.publish(events_pb2.TicketMessageUpdated(**_told(ticket, message)))
    if is_last_word(message):
        ticket.sentiment = sentiment
        lifecycle.tick(ticket, now)
        routing.rules.get().agree(ticket, now)
        lifecycle.conclude(ticket, now, events_pb2.TicketUpdated(), had_agent=had_agent)
    ticket.save()


def posted(ticket: Ticket, message: TicketMessage) -> Message:
    """The event that tells of a message."""
    return events_pb2.TicketMessagePosted(**_told(ticket, message))


def _told(ticket: Ticket, message: TicketMessage) -> dict[str, Any]:
    return {
        "ticket_message": message.name,
        "ticket": ticket.name,
        "customer": ticket.customer,
        "author": message.author,
        "channel": message.channel,
        "sentiment": message.sentiment.message() if message.sentiment else None,
        "post_time": message.create_time,
    }
