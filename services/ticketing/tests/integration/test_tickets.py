"""Tickets and what is said in them, through the API."""

import uuid

import grpc
import pytest

SERVICE = "ticketing"


def test_a_ticket_is_opened_with_its_first_words(client) -> None:
    customer = client.customer()
    made = client.CreateTicket(
        ticket={"subject": "Broken", "customer": customer, "channel": "CHANNEL_WEB", "language_code": "en",
                "text": "This is terrible. My lamp arrived broken and I want to complain!"}
    )  # fmt: skip
    assert (made.state, made.priority, made.channel) == (1, 2, 3)
    assert made.queue == "queues/default"
    assert made.kind == 3
    assert made.kind_reason
    assert made.sentiment.label == 3
    assert made.text == ""
    assert client.GetTicket(name=made.name) == made
    (message,) = client.ListTicketMessages(parent=made.name).ticket_messages
    assert (message.author, message.channel, message.principal) == (1, 3, "")
    assert message.text.startswith("This is terrible")
    assert message.sentiment == made.sentiment
    assert client.told_names(made.name) == ["ComplaintOpened", "TicketOpened", "TicketMessagePosted"]


def test_a_ticket_is_opened_once_per_request(client, refused) -> None:
    for text in ("", "Hello, where is my parcel?"):
        request_id = str(uuid.uuid4())
        ticket = {"subject": "Where?", "text": text}
        first = client.CreateTicket(ticket=ticket, request_id=request_id)
        assert client.CreateTicket(ticket=ticket, request_id=request_id) == first
        with refused("REQUEST_ID_REUSED"):
            client.CreateTicket(ticket=ticket | {"subject": "Other"}, request_id=request_id)
    assert len(client.ListTickets().tickets) == 2


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"subject": " "}, "INVALID_SUBJECT", "ticket.subject"),
        ({"subject": "x" * 301}, "INVALID_SUBJECT", "ticket.subject"),
        ({"customer": "customers/1"}, "INVALID_CUSTOMER", "ticket.customer"),
        ({"requester_email": "nobody"}, "INVALID_EMAIL", "ticket.requester_email"),
        ({"language_code": "xx-yy-zz"}, "INVALID_LANGUAGE", "ticket.language_code"),
        ({"required_skills": ["ok", "Not Ok"]}, "INVALID_SKILL", "ticket.required_skills[1]"),
        ({"required_skills": [f"s{n}" for n in range(21)]}, "INVALID_SKILL", "ticket.required_skills"),
        ({"text": " "}, "INVALID_TEXT", "ticket.text"),
    ],
)
def test_a_ticket_that_cannot_be_used_is_refused(client, refused, fields, reason, field) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.ticket(**fields)
    assert field in error.violations
