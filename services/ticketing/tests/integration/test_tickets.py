"""Tickets and what is said in them, through the API."""

import uuid

import grpc
import pytest

from docstore.explain import assert_indexed
from eventing import tombstones
from ticketing.store import Agent, Queue, SlaPolicy, Ticket, TicketMessage, tickets

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


def test_a_ticket_is_changed_by_mask_and_etag(client, refused) -> None:
    made = client.ticket(customer=client.customer())
    changed = client.UpdateTicket(
        ticket={"name": made.name, "subject": "New", "priority": "PRIORITY_HIGH", "required_skills": ["b", "a", "b"]},
        update_mask={"paths": ["subject", "priority", "required_skills"]},
    )
    assert (changed.subject, changed.priority, list(changed.required_skills)) == ("New", 3, ["a", "b"])
    assert changed.customer == made.customer
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.UpdateTicket(ticket={"name": made.name, "subject": "Other", "etag": made.etag})
    for paths in (["state"], ["channel"], ["text"]):
        with refused("INVALID_UPDATE_MASK"):
            client.UpdateTicket(
                ticket={"name": made.name, "channel": "CHANNEL_PHONE", "text": "x"}, update_mask={"paths": paths}
            )
    cleared = client.UpdateTicket(ticket={"name": made.name}, update_mask={"paths": ["customer"]})
    assert cleared.customer == ""
    assert client.told_names(made.name) == ["TicketOpened", "TicketUpdated", "TicketUpdated"]
    with refused("NOT_FOUND"):
        client.UpdateTicket(ticket={"name": "tickets/none", "subject": "x"})


def test_a_kind_somebody_chose_has_no_reason(client) -> None:
    made = client.ticket(kind="KIND_UNSPECIFIED", text="How do I change my address?")
    assert (made.kind, bool(made.kind_reason)) == (1, True)
    renamed = client.UpdateTicket(ticket={"name": made.name, "subject": "Address"}, update_mask={"paths": ["subject"]})
    assert renamed.kind_reason == made.kind_reason
    chosen = client.UpdateTicket(ticket={"name": made.name, "kind": "KIND_TASK"}, update_mask={"paths": ["kind"]})
    assert (chosen.kind, chosen.kind_reason) == (4, "")


def test_states_and_who_may_change_them(client, refused) -> None:
    made = client.ticket()
    pending = client.PendTicket(name=made.name)
    assert pending.state == 3
    assert client.PendTicket(name=made.name) == pending
    opened = client.ReopenTicket(name=made.name)
    assert opened.state == 1
    assert client.ReopenTicket(name=made.name) == opened
    with refused("ETAG_MISMATCH"):
        client.ResolveTicket(name=made.name, etag=made.etag)
    resolved = client.ResolveTicket(name=made.name, etag=opened.etag)
    assert resolved.state == 4
    assert resolved.HasField("resolve_time")
    assert client.ResolveTicket(name=made.name) == resolved
    for call in (client.PendTicket, client.AssignTicket):
        with refused("TICKET_RESOLVED", grpc.StatusCode.FAILED_PRECONDITION):
            call(name=made.name)
    reopened = client.ReopenTicket(name=made.name)
    assert (reopened.state, reopened.HasField("resolve_time")) == (1, False)
    assert client.told_names(made.name) == [
        "TicketOpened", "TicketUpdated", "TicketUpdated", "TicketResolved", "TicketUpdated",
    ]  # fmt: skip


def test_a_word_of_the_customer_reopens(client) -> None:
    made = client.ticket()
    for close in (client.PendTicket, client.ResolveTicket):
        close(name=made.name)
        client.say(made, "Note", "AUTHOR_INTERNAL")
        client.say(made, "We wrote", "AUTHOR_AGENT")
        assert client.now(made).state in (3, 4)
        client.say(made, "This is awful, I am very angry.")
        ticket = client.now(made)
        assert ticket.state == 1
        assert ticket.sentiment.label == 3
    said = client.ListTicketMessages(parent=made.name).ticket_messages
    assert [each.author for each in said] == [3, 2, 1] * 2
    assert [each.principal for each in said] == ["principals/tester", "principals/tester", ""] * 2
    assert [each.sentiment.label for each in said] == [0, 0, 3] * 2


def test_a_message_is_said_once_per_request(client, refused) -> None:
    made = client.ticket()
    request_id = str(uuid.uuid4())
    first = client.say(made, request_id=request_id)
    assert client.say(made, request_id=request_id) == first
    with refused("REQUEST_ID_REUSED"):
        client.say(made, "Something else", request_id=request_id)
    for fields, reason in (
        ({"text": " "}, "INVALID_TEXT"),
        ({"text": "x" * 50_001}, "INVALID_TEXT"),
    ):
        with refused(reason):
            client.say(made, **fields)
    with refused("NOT_FOUND"):
        client.CreateTicketMessage(parent="tickets/none", ticket_message={"author": 1, "text": "x"})
    assert len(client.ListTicketMessages(parent=made.name).ticket_messages) == 1


def test_a_message_is_got_by_its_name_wherever_it_is_kept(client, refused) -> None:
    ticket, other = client.ticket(text="Where is it?"), client.ticket(text="Elsewhere")
    client.say(ticket, "Any news?")
    said = client.ListTicketMessages(parent=ticket.name).ticket_messages
    assert [each.text for each in said] == ["Where is it?", "Any news?"]
    assert [client.GetTicketMessage(name=each.name) for each in said] == list(said)
    for each in said:
        for parent in (other.name, "tickets/none"):
            with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
                client.GetTicketMessage(name=f"{parent}/messages/{each.name.rpartition('/')[2]}")


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("first", ["Number 0", ""])
def test_messages_come_in_pages(client, size, first) -> None:
    """The first one, which is kept within the ticket, too."""
    made, other = client.ticket(text=first), client.ticket(text="Elsewhere")
    client.say(other)
    texts = [f"Number {number}" for number in range(bool(first), 5)]
    for text in texts:
        client.say(made, text)
    found, token = [], ""
    while True:
        page = client.ListTicketMessages(parent=made.name, page_size=size, page_token=token)
        assert len(page.ticket_messages) <= size
        found += [each.text for each in page.ticket_messages]
        token = page.next_page_token
        if not token:
            break
    assert found == [*([first] if first else []), *texts]


def test_tickets_are_listed_by_what_they_are(client, refused) -> None:
    ann, bob = client.customer(), client.customer()
    first = client.ticket(customer=ann, priority="PRIORITY_HIGH")
    second = client.ticket(customer=bob, kind="KIND_COMPLAINT")
    third = client.ticket(customer=ann)
    client.ResolveTicket(name=third.name)
    client.agent("zoe")
    client.AssignTicket(name=first.name, agent="agents/zoe")

    def found(filter: str) -> list[str]:
        return [each.name for each in client.ListTickets(filter=filter).tickets]

    assert found("") == [first.name, second.name, third.name]
    assert found(f'customer = "{ann}"') == [first.name, third.name]
    assert found(f'customer = "{ann}" AND state = STATE_RESOLVED') == [third.name]
    assert found("priority = PRIORITY_HIGH OR kind = KIND_COMPLAINT") == [first.name, second.name]
    assert found('agent = "agents/zoe"') == [first.name]
    assert found('queue = "queues/default" AND state = STATE_NEW') == [second.name]
    assert found('create_time > "2030-01-01T00:00:00Z"') == []
    client.merge(bob, ann)
    assert found(f'customer = "{bob}"') == found(f'customer = "{ann}"') == [first.name, second.name, third.name]
    client.merge(bob, bob, sequence=2)
    assert found(f'customer = "{bob}"') == [second.name]
    page = client.ListTickets(page_size=2)
    assert [each.name for each in page.tickets] == [first.name, second.name]
    rest = client.ListTickets(page_token=page.next_page_token)
    assert [each.name for each in rest.tickets] == [third.name]
    with refused("INVALID_PAGE_TOKEN"):
        client.ListTickets(page_token=page.next_page_token, filter="state = STATE_NEW")
    for filter in ("color = red", "state = STATE_ODD", "state >"):
        with refused("INVALID_FILTER", grpc.StatusCode.INVALID_ARGUMENT):
            client.ListTickets(filter=filter)


def test_a_complaint_pauses_marketing_until_it_is_resolved(client) -> None:
    ann, bob = client.customer(), client.customer()
    made = client.ticket(kind="KIND_COMPLAINT", customer=ann)
    steps = [
        lambda: client.say(made),
        lambda: client.PendTicket(name=made.name),
        lambda: client.ResolveTicket(name=made.name),
        lambda: client.say(made, "It still is broken."),
        lambda: client.UpdateTicket(ticket={"name": made.name, "customer": bob}, update_mask={"paths": ["customer"]}),
        lambda: client.UpdateTicket(ticket={"name": made.name, "kind": "KIND_TASK"}, update_mask={"paths": ["kind"]}),
    ]
    told = [_complaints(client, made)]
    for step in steps:
        before = len(_complaints(client, made))
        step()
        told.append(_complaints(client, made)[before:])
    assert told == [
        [("ComplaintOpened", ann, True)],
        [],
        [],
        [("ComplaintClosed", ann, False)],
        [("ComplaintOpened", ann, True)],
        [("ComplaintClosed", ann, False), ("ComplaintOpened", bob, True)],
        [("ComplaintClosed", bob, False)],
    ]
    anonymous = client.ticket(kind="KIND_COMPLAINT")
    assert _complaints(client, anonymous) == []


def _complaints(client, ticket) -> list[tuple[str, str, bool]]:
    return [
        (name, event.complaint.customer, event.complaint.open)
        for name, event in client.told(ticket.name)
        if name.startswith("Complaint")
    ]


def test_events_name_the_people_they_are_about(client) -> None:
    ann = client.customer()
    made = client.ticket(customer=ann, kind="KIND_COMPLAINT", text="I want to complain")
    client.ResolveTicket(name=made.name)
    with client.context():
        rows = list(Ticket.rows().find({"uid": made.uid}, {"outbox": 1}))
    assert {tuple(entry["datasubjects"]) for entry in rows[0]["outbox"]} == {(ann,)}
    assert all(entry["subject"] == made.name for entry in rows[0]["outbox"])


def test_nothing_is_kept_of_the_erased(client, refused) -> None:
    ann = client.customer()
    made = client.ticket(customer=ann)
    other = client.ticket()
    with client.context():
        tombstones.erase([ann])
    calls = [
        lambda: client.ticket(customer=ann),
        lambda: client.say(made),
        lambda: client.ReopenTicket(name=made.name),
        lambda: client.UpdateTicket(ticket={"name": other.name, "customer": ann}, update_mask={"paths": ["customer"]}),
    ]
    for call in calls:
        with refused("CUSTOMER_ERASED", grpc.StatusCode.FAILED_PRECONDITION):
            call()


def test_nothing_is_done_without_permission_nor_in_another_tenant(client, channel, refused) -> None:
    made = client.ticket()
    stranger = type(client)(channel, client.tenant, ("ticketing.tickets.list",))
    with refused("PERMISSION_MISSING", grpc.StatusCode.PERMISSION_DENIED):
        stranger.ticket()
    elsewhere = type(client)(channel, f"{client.tenant}x")
    with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        elsewhere.GetTicket(name=made.name)
    assert list(elsewhere.ListTickets().tickets) == []


def test_every_query_runs_on_an_index(client) -> None:
    ann = client.customer()
    with client.context():
        for _ in range(60):
            client.ticket(customer=client.customer(), kind="KIND_TASK")
        client.ticket(customer=ann)
        order = [("create_time", 1), ("_id", 1)]
        for filter in ({}, {"customer": {"$in": [ann]}}, {"state": "STATE_NEW"}, {"priority": "PRIORITY_LOW"},
                       {"kind": "KIND_TASK"}, {"queue": "default"}, {"agent": {"$eq": "ann"}}):  # fmt: skip
            assert_indexed(Ticket, {"delete_time": None, **filter}, order, limit=50)
        assert_indexed(TicketMessage, {"ticket": "x"}, order)
        assert_indexed(Agent, {"available": True})
        for cls in (Queue, SlaPolicy):
            assert_indexed(cls, {"delete_time": None}, [("order", 1), ("_id", 1)])
        waiting = [("rank", 1), ("term", 1), ("_id", 1)]
        assert_indexed(Ticket, {"state": "STATE_NEW"}, waiting, limit=20)
        assert_indexed(Ticket, {"state": "STATE_NEW", "need": {"$nin": ["a"]}}, waiting, limit=20)
        assert_indexed(Ticket, {"agent": {"$in": ["ann", "bob"]}, "state": {"$in": ["STATE_OPEN", "STATE_PENDING"]}})
        tickets.explain_waiting("*", "waits")
        assert_indexed(Ticket, {"state": "STATE_NEW", "need": "*", "assign_reason": {"$ne": "waits"}})
