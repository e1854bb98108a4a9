"""How customers sound: told by the lexicon, corrected by people."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest

from docstore import blobs
from docstore.explain import assert_indexed
from ticketing.store import Ticket, TicketMessage, lessons
from ticketing.usecases import learning
from ticketing.usecases.erasing import erase

from .conftest import Client
from .planted_moods import AGENT, LEXICON, NEGATIVE, NEUTRAL, POSITIVE, first_of, say_so

SERVICE = "ticketing"


def test_what_people_say_stands_and_is_told(client, settings, refused) -> None:
    client.queue("angry", filter="sentiment = LABEL_NEGATIVE")
    made = client.ticket(customer=client.customer(), text="What a wonderful board.")
    first = first_of(client, made)
    assert (made.sentiment.label, made.sentiment.source, made.queue) == (POSITIVE, LEXICON, "queues/default")
    assert made.sentiment == first.sentiment
    told = say_so(client, first.name, NEGATIVE)
    assert (told.name, told.text, told.author) == (first.name, first.text, first.author)
    assert (told.sentiment.label, told.sentiment.score, told.sentiment.source) == (NEGATIVE, -1.0, AGENT)
    assert (list(told.sentiment.reasons), told.sentiment.model) == ([], "")
    assert client.GetTicketMessage(name=first.name) == told
    now = client.now(made)
    assert (now.sentiment, now.queue, now.kind) == (told.sentiment, "queues/angry", made.kind)
    names = client.told_names(made.name)
    assert names == ["TicketOpened", "TicketMessagePosted", "TicketMessageUpdated", "TicketUpdated"]
    (*_, (_, message), (_, ticket)) = client.told(made.name)
    assert (message.ticket_message, message.ticket, message.customer) == (first.name, made.name, made.customer)
    assert (message.sentiment, message.post_time, message.author) == (told.sentiment, first.create_time, 1)
    assert (ticket.ticket.sentiment, ticket.ticket.ticket) == (told.sentiment, made.name)
    assert say_so(client, first.name, NEGATIVE) == told, "it is said already"
    assert client.now(made).etag == now.etag
    assert say_so(client, first.name, NEUTRAL).sentiment.score == 0.0, "people may think better of it"
    # The ticket goes by the customer's last word.
    client.say(made, "On it.", "AUTHOR_AGENT")
    later = client.say(made, "This is terrible.")
    say_so(client, first.name, POSITIVE)
    assert client.now(made).sentiment == later.sentiment
    assert client.told_names(made.name)[-1] == "TicketMessageUpdated"
    assert say_so(client, later.name, POSITIVE).sentiment == client.now(made).sentiment
    assert [each.sentiment.label for each in client.ListTicketMessages(parent=made.name).ticket_messages] == [
        POSITIVE,
        0,
        POSITIVE,
    ]
    # Whoever is erased is spoken of no more.
    with client.context():
        erase([made.customer], blobs=blobs.store(settings))
    with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        say_so(client, first.name, NEGATIVE)


@pytest.mark.parametrize(
    ("message", "paths", "reason", "field"),
    [
        ({"sentiment": {"label": 4}}, ["sentiment.label"], "INVALID_SENTIMENT", "ticket_message.sentiment.label"),
        ({"sentiment": {"label": 0}}, ["sentiment"], "INVALID_SENTIMENT", "ticket_message.sentiment.label"),
        ({"sentiment": {"label": 1}}, ["text"], "INVALID_SENTIMENT", "ticket_message.sentiment.label"),
        ({}, [], "INVALID_SENTIMENT", "ticket_message.sentiment.label"),
        ({"sentiment": {"label": 9}}, [], "INVALID_FIELDS", "ticket_message.sentiment.label"),
        ({"sentiment": {"label": 1}, "text": "Other"}, ["sentiment", "text"], "INVALID_UPDATE_MASK", "update_mask"),
        ({"sentiment": {"label": 1}, "text": "Other"}, [], "INVALID_UPDATE_MASK", "update_mask"),
        ({"sentiment": {"label": 1}, "author": 2}, [], "INVALID_UPDATE_MASK", "update_mask"),
        ({"sentiment": {"label": 1, "score": 0.5}}, ["sentiment.score"], "INVALID_UPDATE_MASK", "update_mask"),
        ({"sentiment": {"label": 1}}, ["sentiment.source"], "INVALID_UPDATE_MASK", "update_mask"),
        ({"sentiment": {"label": 1}}, ["principal"], "INVALID_UPDATE_MASK", "update_mask"),
        ({"sentiment": {"label": 1}}, ["mood"], "INVALID_UPDATE_MASK", "update_mask"),
    ],
)  # fmt: skip
def test_what_nobody_can_say_is_refused_by_field(client, refused, message, paths, reason, field) -> None:
    made = client.ticket(text="What a wonderful board.")
    first = first_of(client, made)
    message = {"name": first.name, **message}
    if "author" not in message:
        message["author"] = first.author
    if "text" not in message:
        message["text"] = first.text
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.UpdateTicketMessage(ticket_message=message, update_mask={"paths": paths})
    assert list(error.violations) == [field]
    assert (first_of(client, made), client.now(made).etag) == (first, made.etag)


def test_only_customers_sound_like_something_and_only_here(client, channel, refused) -> None:
    made = client.ticket(text="What a wonderful board.")
    first = first_of(client, made)
    for author in ("AUTHOR_AGENT", "AUTHOR_INTERNAL"):
        with refused("NOT_SAID_BY_CUSTOMER", grpc.StatusCode.FAILED_PRECONDITION):
            say_so(client, client.say(made, "Thank you.", author).name, POSITIVE)
    for name in (f"{made.name}/messages/none", f"tickets/none/messages/{first.name[-36:]}"):
        with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            say_so(client, name, POSITIVE)
    with refused("INVALID_FIELDS", grpc.StatusCode.INVALID_ARGUMENT):
        say_so(client, made.name, POSITIVE)
    with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        say_so(Client(channel, f"t{uuid.uuid4().hex[:12]}"), first.name, POSITIVE)
    for permission in ("ticketing.tickets.update", "ticketing.ticketMessages.create"):
        with refused("PERMISSION_MISSING", grpc.StatusCode.PERMISSION_DENIED):
            say_so(Client(channel, client.tenant, (permission,)), first.name, POSITIVE)
    assert first_of(client, made) == first
    may = Client(channel, client.tenant, ("ticketing.ticketMessages.update",))
    assert say_so(may, first.name, NEUTRAL).sentiment.source == AGENT


def test_a_repeat_changes_nothing_more(client, refused) -> None:
    made = client.ticket(text="What a wonderful board.")
    first, request = first_of(client, made), str(uuid.uuid4())
    assert say_so(client, first.name, NEGATIVE, request_id=request).sentiment.label == NEGATIVE
    say_so(client, first.name, POSITIVE)
    before = client.now(made), client.told_names(made.name)
    assert say_so(client, first.name, NEGATIVE, request_id=request).sentiment.label == POSITIVE
    assert (client.now(made), client.told_names(made.name)) == before
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        say_so(client, first.name, NEUTRAL, request_id=request)


def test_who_has_not_seen_the_last_word_does_not_overrule_it(client, refused) -> None:
    first = first_of(client, client.ticket(text="What a wonderful board."))

    def say_as_seen(label: int, etag: str) -> Any:
        return client.UpdateTicketMessage(
            ticket_message={"name": first.name, "etag": etag, "sentiment": {"label": label}}
        )

    told = say_as_seen(NEGATIVE, first.etag)
    assert told.etag != first.etag
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        say_as_seen(NEUTRAL, first.etag)
    assert client.GetTicketMessage(name=first.name) == told
    assert say_as_seen(NEUTRAL, told.etag).sentiment.label == NEUTRAL


@pytest.mark.parametrize("kept_within_the_ticket", [True, False])
def test_of_people_who_speak_at_once_one_is_heard_and_the_ticket_follows(client, kept_within_the_ticket) -> None:
    made = client.ticket(text="What a wonderful board.")
    said = first_of(client, made) if kept_within_the_ticket else client.say(made, "What a wonderful board.")

    def say_as_seen(label: int) -> int | str:
        message = {"name": said.name, "etag": said.etag, "sentiment": {"label": label}}
        try:
            return int(client.UpdateTicketMessage(ticket_message=message).sentiment.label)
        except grpc.RpcError as error:
            return str(error.code().name)

    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(say_as_seen, (NEUTRAL, NEGATIVE) * 2))
    (heard,) = (each for each in answers if each != "ABORTED")
    assert client.GetTicketMessage(name=said.name).sentiment.label == heard
    assert client.now(made).sentiment.label == heard
    with ThreadPoolExecutor(4) as people:
        speaking = [people.submit(say_so, client, said.name, label) for label in (POSITIVE, NEUTRAL, NEGATIVE)]
        last = people.submit(client.say, made, "This is terrible.").result()
        assert {each.result().name for each in speaking} == {said.name}
    assert client.now(made).sentiment == last.sentiment


def test_lessons_come_newest_first_from_wherever_they_are_kept(client) -> None:
    one, other = client.customer(), client.customer()
    client.merge(other, into=one)
    first = client.ticket(customer=one, text="x" * 5_000, language_code="de")
    second = client.ticket(customer=other, text="second")
    nobody = client.ticket(text="nobody's")
    say_so(client, first_of(client, first).name, POSITIVE)
    say_so(client, client.say(second, "third").name, NEUTRAL)
    say_so(client, first_of(client, second).name, NEGATIVE)
    say_so(client, first_of(client, nobody).name, NEGATIVE)
    client.say(first, "untold")
    with client.context():
        found = lessons.newest_moods(10, 4_000, 10_000)
        assert [(each.text, each.label, each.author, each.language_code) for each in found] == [
            ("x" * 4_000, "LABEL_POSITIVE", one, "de"),
            ("third", "LABEL_NEUTRAL", one, ""),
            ("second", "LABEL_NEGATIVE", one, ""),
            ("nobody's", "LABEL_NEGATIVE", lessons.NOBODY_KNOWN, ""),
        ]
        assert [each.text for each in lessons.newest_moods(2, 4_000, 10_000)] == ["second", "nobody's"]
        assert [each.text for each in lessons.newest_moods(10, 10, 19)] == ["third", "second", "nobody's"]
        assert lessons.count_moods(found[1].since, 100) == 2
        assert lessons.count_moods(None, 3) == 3
    # Another word is news, and there is one lesson of a message.
    say_so(client, first_of(client, first).name, NEGATIVE)
    with client.context():
        assert [each.label for each in lessons.newest_moods(1, 10, 100)] == ["LABEL_NEGATIVE"]
        assert lessons.count_moods(None, 100) == 4


def test_queries_for_lessons_use_their_indexes(client) -> None:
    with client.context():
        since = learning.clock.now() - timedelta(days=1)
        newest: list[tuple[Any, str]] = [(TicketMessage, "lesson"), (Ticket, "first.lesson")]
        for cls, field in newest:
            assert_indexed(cls, {field: {"$gt": since}}, [(field, -1), ("_id", -1)], limit=50)
        said = {"ticket": "t", "sentiment": {"$exists": True}}
        assert_indexed(TicketMessage, said, [("create_time", -1), ("_id", -1)], limit=1)
