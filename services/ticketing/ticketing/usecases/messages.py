"""What is said in tickets."""

from google.protobuf.message import Message
from rapport.ticketing.v1 import events_pb2, ticket_pb2

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import NotFound
from docstore import whole_milliseconds
from eventing import erasing
from sentiment import NONE, sentiment_of
from ticketing.store import Ticket, TicketMessage
from ticketing.store.messages import AGENT, CUSTOMER
from ticketing.store.sentiments import Sentiment
from ticketing.store.tickets import PENDING, RESOLVED, first_messages
from ticketing.usecases import assigning, lifecycle, outgoing
from ticketing.usecases.opening import Said

EMAIL = "CHANNEL_EMAIL"


def say(ticket_uid: str, said: Said) -> TicketMessage:
    """Says something in a ticket. Raises what `post` raises."""
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
    message = said_in(ticket, said, mood(said, ticket.language_code or ""))
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


def said_in(ticket: Ticket, said: Said, sentiment: Sentiment | None) -> TicketMessage:
    """The message, not stored yet; the ticket then knows how the customer sounds, if it told."""
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


def mood(said: Said, language_code: str) -> Sentiment | None:
    """How the customer sounds; None when it was nobody of them who spoke, or without words."""
    if said.author != CUSTOMER or said.automatic:
        return None
    found = sentiment_of(said.text, language_code)
    if found.label == NONE:
        return None
    return Sentiment(label=found.label, score=found.score, reasons=list(found.reasons), model=found.model)


def posted(ticket: Ticket, message: TicketMessage) -> Message:
    """The event that tells of a message."""
    return events_pb2.TicketMessagePosted(
        ticket_message=message.name,
        ticket=ticket.name,
        customer=ticket.customer,
        author=message.author,
        channel=message.channel,
        sentiment=message.sentiment.message() if message.sentiment else None,
        post_time=message.create_time,
    )
