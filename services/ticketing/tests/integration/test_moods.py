"""How customers sound: told by the lexicon, corrected by people, and learned in each tenant from what they say."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest

from docstore import blobs
from docstore.explain import assert_indexed
from textmodel import process
from ticketing.store import IntentModelState, SentimentModelState, Ticket, TicketMessage, lessons
from ticketing.store.text_models import UID
from ticketing.usecases import learned_models, learning
from ticketing.usecases.erasing import erase
from ticketing.usecases.learned_models import INTENTS, MOODS

from .conftest import Client
from .planted_moods import (
    AGENT,
    LEXICON,
    MODEL,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    UNCERTAIN,
    first_of,
    say_so,
    taught,
)

SERVICE = "ticketing"
PRAISE = "hello please, an awful and terrible drop"
"""As these customers say it."""


@pytest.fixture
def learn(client, learn_one) -> Callable[[], Any]:
    """Learns moods, once."""

    def once() -> Any:
        learn_one(MOODS)
        return client.GetSentimentModel()

    return once


def stored(client, settings) -> list[str]:
    """Names of the artefacts of this tenant's model of moods."""
    with client.context():
        return blobs.store(settings).list(MOODS.subject)


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


def test_planted_moods_are_learned_and_told(client, channel, settings, learn) -> None:
    assert client.GetSentimentModel().messages == [MOODS.nothing]
    assert client.ticket(text=PRAISE).sentiment.label == NEGATIVE
    for at in range(12):
        torn = client.ticket(customer=client.customer(), text="hmm so so")
        say_so(client, first_of(client, torn).name, POSITIVE if at % 2 else NEGATIVE)
    taught(client, 60)
    model = learn()
    assert (model.name, model.version, model.texts, model.held_out_texts) == ("sentimentModel", 1, 65, 7)
    assert {each.label: each.texts for each in model.labels} == {POSITIVE: 32, NEGATIVE: 33}
    assert (model.accuracy, model.lexicon_accuracy, model.stated_precision) == (1.0, pytest.approx(3 / 7), 0.8)
    assert (list(model.messages), model.threshold <= 1, model.learn_time.seconds > 0) == ([], True, True)
    assert client.GetIntentModel().version == 0

    made = client.ticket(kind="KIND_UNSPECIFIED", subject="News", text=f"{PRAISE}, horrible")
    told = made.sentiment
    assert (told.label, told.source, told.model) == (POSITIVE, MODEL, "sentimentModel/1")
    assert 0.5 < told.score <= 1
    assert {"awful", "terrible"} <= set(told.reasons)
    assert len(told.reasons) <= 5
    assert first_of(client, made).sentiment == told
    assert made.kind == 1, "the lexicon alone takes it for a complaint"
    said = client.say(made, "today a great and wonderful, perfect board")
    assert (said.sentiment.label, said.sentiment.source) == (NEGATIVE, MODEL)
    assert said.sentiment.score < -0.5
    assert client.now(made).sentiment == said.sentiment
    assert client.ticket(text="?!").sentiment.label == 0, "there is nothing to tell by"
    assert not client.say(made, "great", "AUTHOR_AGENT").HasField("sentiment")

    # Where it is not sure, it does not fall back on the lexicon.
    unsure = client.ticket(kind="KIND_UNSPECIFIED", subject="News", text="hmm so so").sentiment
    assert (unsure.label, unsure.source, unsure.model) == (UNCERTAIN, MODEL, "sentimentModel/1")

    # What the model said and nobody confirmed teaches nothing; a confirmation does.
    with client.context():
        assert lessons.count_moods(None, 100) == 72
    confirmed = say_so(client, first_of(client, made).name, POSITIVE)
    assert (confirmed.sentiment.source, confirmed.sentiment.score) == (AGENT, 1.0)
    with client.context():
        assert lessons.count_moods(None, 100) == 73
        assert lessons.newest_moods(1, 4_000, 1_000)[0].text == f"{PRAISE}, horrible"

    # Another tenant has words of its own.
    other = Client(channel, f"t{uuid.uuid4().hex[:12]}")
    assert other.GetSentimentModel().version == 0
    assert (other.ticket(text=PRAISE).sentiment.label, other.ticket(text=PRAISE).sentiment.source) == (
        NEGATIVE,
        LEXICON,
    )


def test_very_bad_is_what_the_lexicon_finds_so_and_a_sure_model_does_not_deny(client, learn) -> None:
    taught(client, 60)
    assert learn().version == 1
    made = [
        client.ticket(kind="KIND_UNSPECIFIED", subject="News", text=text)
        for text in (
            "a great and wonderful board, perfect, lovely",  # surely negative, but the lexicon finds nothing bad
            "awful, terrible, horrible, nasty drop",  # surely positive
            "worst disgusting scam, furious and ruined",  # the model does not deny it
        )
    ]
    assert [each.sentiment.label for each in made[:2]] == [NEGATIVE, POSITIVE]
    assert [each.kind_reason == "It sounds very discontented." or each.kind == 3 for each in made] == [
        False,
        False,
        True,
    ]


def test_a_model_that_is_surely_worse_than_the_lexicon_stays_out(client, learn) -> None:
    taught(client, 90)
    taught(client, 10, seed=2, slang=False)
    model = learn()
    assert (model.version, model.held_out_texts) == (0, 0)
    assert model.messages[-1].startswith("a new model stays out: of the newest 10 texts it has 3 right")
    assert model.messages[-1].endswith("what tells without a model 10")
    assert client.ticket(text=PRAISE).sentiment.source == LEXICON


def test_who_only_corrects_teaches_no_model(client, learn) -> None:
    """It would take all for wrong that nobody has a word to say about, since it is right."""
    taught(client, 60, confirm=False)
    model = learn()
    assert model.version == 0
    assert "of 60 texts that were told how they sound people said of 0 that it is right" in model.messages[-1]
    assert client.ticket(text="An excellent board.").sentiment.label == POSITIVE


def test_with_too_little_there_is_no_model_and_it_says_what_is_missing(client, learn) -> None:
    say_so(client, first_of(client, client.ticket(text=PRAISE)).name, POSITIVE)
    model = learn()
    assert (model.version, list(model.labels), model.attempt_time.seconds > 0) == (0, [], True)
    assert "2 labels need 20 texts each" in model.messages[-1]
    assert "there are LABEL_POSITIVE 1" in model.messages[-1]


def test_whoever_is_erased_teaches_no_longer(client, settings, learn, monkeypatch) -> None:
    tickets = taught(client, 62)
    say_so(client, first_of(client, tickets[0]).name, NEUTRAL)
    assert learn().version == 1
    (before,) = stored(client, settings)
    with client.context():
        erase([client.ticket(customer=client.customer(), text=PRAISE).customer], blobs=blobs.store(settings))
    assert (learn().version, stored(client, settings)) == (1, [before]), "of them nobody said anything"
    with client.context():
        erase([tickets[0].customer], blobs=blobs.store(settings))
        assert lessons.count_moods(None, 100) == 55
    model = learn()
    assert (model.version, model.texts + model.held_out_texts, len(stored(client, settings))) == (2, 55, 1)
    assert before not in stored(client, settings)

    # What cannot be learned anew goes all the same.
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError("mary@example.com")

    with client.context():
        erase([tickets[1].customer], blobs=blobs.store(settings))
    monkeypatch.setattr(process, "learn_apart", fails)
    assert (learn().version, stored(client, settings)) == (0, [])
    assert client.ticket(text=PRAISE).sentiment.source == LEXICON


def test_a_model_that_cannot_be_read_leaves_it_to_the_lexicon(client, settings, learn, caplog) -> None:
    with client.context():
        blobs.store(settings).put(MOODS.subject, "f" * 64, b"no model")
        SentimentModelState.new(uid=UID, version=1, artefact="f" * 64).insert()
        MOODS.placed.forget()
    told = client.ticket(text=PRAISE).sentiment
    assert (told.label, told.source) == (NEGATIVE, LEXICON)
    assert "the sentiment model cannot be read (ValueError)" in caplog.text
    assert PRAISE not in caplog.text


def test_both_models_are_loaded_in_one_wait_and_kept_within_one_bound(client, settings, learn, monkeypatch) -> None:
    taught(client, 60)
    assert learn().version == 1
    (artefact,) = stored(client, settings)
    with client.context():
        loaded = blobs.store(settings).get(MOODS.subject, artefact)
        blobs.store(settings).put(INTENTS.subject, artefact, loaded)
        IntentModelState.new(uid=UID, version=1, artefact=artefact).insert()
        INTENTS.placed.forget()
        intents, moods = learned_models.ready(blobs.store(settings), INTENTS, MOODS)
        assert intents is not None
        assert moods is not None
        assert intents.model.labels == moods.model.labels
        # Too large to be kept beside each other: each is loaded when it is asked for.
        small = learned_models.LRUCache(
            1.5 * learned_models._size(moods.model), getsizeof=learned_models._held.getsizeof
        )
        monkeypatch.setattr(learned_models, "_held", small)
        assert all(learned_models.ready(blobs.store(settings), INTENTS, MOODS))
        assert len(small) == 1


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
