"""What tickets are about: learned in each tenant from resolved tickets, told of new ones, and corrected by people."""

import random
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pymongo.errors
import pytest

import docstore
import textmodel
from docstore import blobs
from docstore.explain import assert_indexed
from testkit import eventually
from textmodel import process
from textmodel.process import Learned
from ticketing.store import IntentModelState, Ticket, lessons
from ticketing.usecases import learned_models, learning, tickets
from ticketing.usecases.erasing import erase
from ticketing.usecases.learned_models import INTENTS
from ticketing.usecases.opening import Opening, Said

from .learning_here import learned_here

SERVICE = "ticketing"
AGENT, MODEL = 1, 2
TOPICS = {
    "refund": ("money back", "refund", "return the parcel", "reimburse me"),
    "login": ("password", "log in", "reset my account", "locked out"),
}
FILLERS = ("hello", "please", "can you help", "thanks", "about", "today", "again")
"""Words of no topic."""


def text_of(topic: str, rng: random.Random) -> str:
    words = [*rng.sample(TOPICS[topic], 2), *rng.sample(FILLERS, 3)]
    rng.shuffle(words)
    return " ".join(words)


def resolved(client, count: int, seed: int = 1, extra: str = "", customer: str = "") -> None:
    """Plants resolved tickets with an intent that somebody gave, as resolving leaves them."""
    rng = random.Random(seed)
    with client.context():
        for at in range(count):
            topic = list(TOPICS)[at % 2]
            made = client.ticket(customer=customer or client.customer(), intent=topic, text=text_of(topic, rng) + extra)
            client.ResolveTicket(name=made.name)


@pytest.fixture
def learn(client, learn_one) -> Callable[[], Any]:
    """Learns intents, once."""

    def once() -> Any:
        learn_one(INTENTS)
        return client.GetIntentModel()

    return once


@pytest.fixture
def artefacts(settings, client):
    """Names of what the blob store holds of this tenant's models."""

    def names() -> list[str]:
        with client.context():
            return blobs.store(settings).list(INTENTS.subject)

    return names


def test_planted_intents_are_learned_and_route_what_comes_next(client, settings, learn) -> None:
    assert client.GetIntentModel().messages == ["no resolved ticket has an intent that somebody gave"]
    client.queue("refunds", filter="intent = refund")
    assert client.ticket(text="refund please").intent_suggestion.intent == ""
    secret = client.customer()
    resolved(client, 6, seed=2, extra=" yours muellerhuber", customer=secret)
    resolved(client, 56)
    model = learn()
    assert (model.version, model.texts, model.held_out_texts) == (1, 56, 6)
    assert {each.intent: each.texts for each in model.labels} == {"login": 28, "refund": 28}
    assert (model.accuracy, model.stated_precision) == (1.0, 0.9)
    assert model.threshold <= 1
    with client.context():
        # What one person wrote, however often, is nowhere in it.
        (name,) = blobs.store(settings).list(INTENTS.subject)
        terms = "\n".join(textmodel.load(blobs.store(settings).get(INTENTS.subject, name)).vocabulary.terms)
    assert "refund" in terms
    assert "uellerhu" not in terms

    told = client.ticket(text="hello i want my money back, a refund please", customer=secret)
    assert (told.intent, told.intent_source, told.queue) == ("refund", MODEL, "queues/refunds")
    assert (told.intent_suggestion.intent, told.intent_suggestion.model_version) == ("refund", 1)
    assert told.intent_suggestion.probability >= model.threshold
    assert "refund" in told.intent_suggestion.reasons
    assert [event.ticket.intent for name, event in client.told(told.name) if name == "TicketOpened"] == ["refund"]
    unsure = client.ticket(subject="?", text="hello today")
    assert (unsure.intent, unsure.intent_source, unsure.queue) == ("", 0, "queues/default")
    assert unsure.intent_suggestion.intent in TOPICS
    given = client.ticket(text="a refund please", intent="other")
    assert (given.intent, given.intent_source, given.intent_suggestion.intent) == ("other", AGENT, "refund")
    assert [each.name for each in client.ListTickets(filter="intent = other").tickets] == [given.name]

    # A person's word stands and teaches; the model's own does not.
    corrected = client.UpdateTicket(ticket={"name": told.name, "intent": "login"}, update_mask={"paths": ["intent"]})
    assert (corrected.intent, corrected.intent_source, corrected.queue) == ("login", AGENT, "queues/default")
    assert corrected.intent_suggestion == told.intent_suggestion
    unreviewed = client.ticket(text="i want my money back, a refund please")
    confirmed = client.ticket(text="i want my money back, a refund please")
    again = client.UpdateTicket(ticket={"name": confirmed.name, "intent": "refund"}, update_mask={"paths": ["intent"]})
    assert (again.intent, again.intent_source) == ("refund", AGENT)
    for each in (corrected, unreviewed, confirmed):
        client.ResolveTicket(name=each.name)
    with client.context():
        teaching = {row["uid"] for row in Ticket.rows().find({"lesson": {"$exists": True}}, {"uid": 1})}
    assert {corrected.uid, confirmed.uid} <= teaching
    assert unreviewed.uid not in teaching
    client.ReopenTicket(name=confirmed.name)
    assert learn().version == 1, "too little came since"
    resolved(client, 6, seed=3)
    assert learn().version == 1, "it learned a moment ago"


def test_whoever_is_erased_teaches_no_longer(client, settings, learn, artefacts, monkeypatch) -> None:
    store = blobs.store(settings)
    first, *others = (client.customer() for _ in range(5))
    for each in (first, *others):
        resolved(client, 2, extra=" yours", customer=each)
    resolved(client, 46)
    assert learn().version == 1
    (taught,) = artefacts()
    told = client.ticket(text="a refund please, my money back", customer=first, intent="login")
    assert told.intent_suggestion.reasons
    with client.context():
        erase([first], blobs=store)
    assert (client.now(told).intent, list(client.now(told).intent_suggestion.reasons)) == ("login", [])
    assert (learn().version, taught in artefacts(), len(artefacts())) == (2, False, 1)

    # Somebody is erased while it learns: what is learned is not used, and it is learned anew at once.
    def meanwhile(*given: Any, **options: Any) -> Learned:
        monkeypatch.setattr(process, "learn_apart", learned_here)
        with client.context():
            assert options["going_on"]()
            erase([others[1]], blobs=store)
            assert not options["going_on"]()
        return learned_here(*given, **options)

    with client.context():
        erase([others[0]], blobs=store)
    before = artefacts()
    monkeypatch.setattr(process, "learn_apart", meanwhile)
    assert learn().version == 2
    assert artefacts() != before
    model = learn()
    assert (model.version, model.texts + model.held_out_texts, len(artefacts())) == (3, 50, 1)

    # Also what somebody took an intent away from had taught the model in place.
    with client.context():
        (theirs, *_) = Ticket.find({"customer": others[2]})
        Ticket.rows().update_many({"customer": others[2], "uid": {"$ne": theirs.uid}}, {"$set": {"customer": None}})
    client.UpdateTicket(ticket={"name": theirs.name}, update_mask={"paths": ["intent"]})
    with client.context():
        erase([others[2]], blobs=store)
    assert learn().version == 4

    # The process ends once the new model is in place: whoever comes next deletes the old one.
    with client.context():
        erase([others[3]], blobs=store)
    (before,) = artefacts()
    with monkeypatch.context() as broken:
        broken.setattr(blobs.BlobStore, "list", ends)
        with pytest.raises(pymongo.errors.AutoReconnect):
            learn()
    assert before in artefacts()
    with client.context():
        IntentModelState.rows().update_one({"uid": "default"}, {"$unset": {"lease": ""}})
    assert learn().version == 6
    assert (before in artefacts(), len(artefacts())) == (False, 1)


def ends(*_: Any) -> Any:
    raise pymongo.errors.AutoReconnect


def fails(*_: Any, **__: Any) -> Any:
    raise OSError("mary@example.com")


def test_a_model_that_cannot_be_learned_anew_goes_all_the_same(client, settings, learn, artefacts, monkeypatch, caplog):
    with client.context():
        blobs.store(settings).put(INTENTS.subject, "f" * 64, b"of them")
        IntentModelState.new(uid="default", version=1, artefact="f" * 64, forget="somebody").insert()
    resolved(client, 46)
    monkeypatch.setattr(process, "learn_apart", fails)
    model = learn()
    assert (model.version, artefacts()) == (0, [])
    assert [each.partition(":")[0] for each in model.messages] == [
        "learning failed; it is tried again in 10 minutes",
        "the model is gone",
    ]
    assert "mary" not in caplog.text
    monkeypatch.setattr(process, "learn_apart", learned_here)
    assert (learn().version, len(artefacts())) == (2, 1)


def test_lessons_hold_the_first_words_and_tell_people_apart(client) -> None:
    one, other = client.customer(), client.customer()
    client.merge(other, one)
    uid = str(uuid.uuid4())
    with client.context():
        opening = Opening("By mail", "CHANNEL_EMAIL", intent="a", requester_email="Ann@example.com", uid=uid)
        said = Said("Words by mail", "AUTHOR_CUSTOMER", "CHANNEL_EMAIL", uid=uid)
        docstore.in_transaction(lambda: tickets.create(opening, said))
    made = [
        client.GetTicket(name=f"tickets/{uid}"),
        client.ticket(intent="b", customer=one, requester_email="ann@example.com", text="x" * 5000),
        client.ticket(intent="b", customer=other, text="ä" * 10),
        client.ticket(intent="c"),
        client.ticket(text="not resolved", intent="c"),
    ]
    for each in made[:4]:
        client.ResolveTicket(name=each.name)
    client.say(made[3], "more words")
    client.ResolveTicket(name=made[3].name)
    with client.context():
        found = lessons.newest_intents(10, 4_000, 10_000)
    assert [(each.text, each.label, each.author) for each in found] == [
        ("By mail\nWords by mail", "a", one),
        ("Where is it?\n" + "x" * 4_000, "b", one),
        ("Where is it?\n" + "ä" * 10, "b", one),
        ("Where is it?\n", "c", lessons.NOBODY_KNOWN),
    ]
    with client.context():
        assert [each.label for each in lessons.newest_intents(2, 4_000, 10_000)] == ["b", "c"]
        # "Where is it?" and an end of line three times, and ten letters of two of them.
        assert [each.label for each in lessons.newest_intents(10, 10, 59)] == ["b", "b", "c"]
        assert [each.label for each in lessons.newest_intents(10, 10, 58)] == ["b", "c"]


@pytest.mark.parametrize(
    ("more", "taught", "after", "wanted"),
    [
        (0, 0, None, False),
        (1, 0, None, True),
        (6, 60, timedelta(minutes=9), False),
        (6, 60, timedelta(minutes=10), True),
        (6, 79, timedelta(minutes=10), False),
        (6, 79, timedelta(days=1), True),
        (0, 79, timedelta(days=1), False),
        (6, 20_000, timedelta(hours=23), False),
    ],
)
def test_is_learned_anew_after_enough_tickets_or_a_day(client, more, taught, after, wanted) -> None:
    resolved(client, more)
    now = datetime.now(UTC)
    row = {"taught": taught, "attempt_time": now - after if after else None, "version": 1}
    with client.context():
        assert learning.wanted(INTENTS, row, now) == wanted
        assert learning.wanted(INTENTS, row | {"taught_until": now + timedelta(hours=1)}, now) is False
        assert learning.wanted(INTENTS, row | {"forget": "somebody"}, now) is True
        # Without a model nobody needs to wait for the next look.
        assert learning.wanted(INTENTS, row | {"version": 0}, now) == (wanted or after == timedelta(minutes=9))


def test_with_too_little_there_is_no_model_and_it_says_what_is_missing(client, learn) -> None:
    made = client.ticket(customer=client.customer(), intent="refund", text="a refund please")
    client.ResolveTicket(name=made.name)
    model = learn()
    assert (model.version, list(model.labels)) == (0, [])
    assert model.attempt_time.seconds
    assert "2 intents need 20 texts each" in model.messages[-1]
    assert "there are refund 1" in model.messages[-1]
    assert client.ticket(text="a refund please").intent_suggestion.intent == ""


@pytest.mark.parametrize("intent", ["Refund", "a b", "-a", "a-", "x" * 64, "ä"])
def test_an_intent_is_a_slug(client, refused, intent) -> None:
    with refused("INVALID_INTENT", grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.ticket(intent=intent)
    assert list(error.violations) == ["ticket.intent"]


@pytest.mark.parametrize("given", ["intent = Refund", 'intent = ""', "NOT intent = a_b"])
def test_a_filter_asks_for_intents_that_can_be(client, refused, given) -> None:
    with refused("INVALID_FILTER", grpc.StatusCode.INVALID_ARGUMENT):
        client.ListTickets(filter=given)
    with refused("INVALID_FILTER", grpc.StatusCode.INVALID_ARGUMENT):
        client.queue("refunds", filter=given)


def test_an_intent_can_be_taken_away_for_good(client) -> None:
    made = client.ticket(intent="x" * 63)
    assert (made.intent, made.intent_source) == ("x" * 63, AGENT)
    taken = client.UpdateTicket(ticket={"name": made.name}, update_mask={"paths": ["intent"]})
    assert (taken.intent, taken.intent_source) == ("", AGENT)
    other = client.UpdateTicket(ticket={"name": made.name, "subject": "Other"}, update_mask={"paths": ["subject"]})
    assert (other.intent, other.intent_source) == ("", AGENT)


def test_a_model_that_cannot_be_read_keeps_no_ticket_from_being_opened(client, caplog) -> None:
    with client.context():
        IntentModelState.new(uid="default", version=1, artefact="f" * 64).insert()
        INTENTS.placed.forget()
    assert client.ticket(text="a refund please").intent == ""
    assert "cannot be read (NotFound)" in caplog.text


def test_no_ticket_waits_long_for_a_blob_store_that_hangs(client, settings, learn, monkeypatch) -> None:
    resolved(client, 46)
    assert learn().version == 1
    hanging, asked, get = threading.Event(), [], blobs.BlobStore.get

    def slow(*named: Any) -> bytes:
        asked.append(named)
        hanging.wait(20)
        return get(*named)

    monkeypatch.setattr(blobs.BlobStore, "get", slow)
    monkeypatch.setattr(learned_models, "WAIT_S", 0.05)
    try:
        assert [client.ticket(text="a refund please").intent_suggestion.intent for _ in range(3)] == ["", "", ""]
    finally:
        hanging.set()
    eventually(lambda: client.ticket(text="a refund please").intent_suggestion.intent, 10, "it is loaded")
    assert len(asked) == 1


def test_queries_for_intents_use_their_indexes(client) -> None:
    with client.context():
        assert_indexed(Ticket, {"delete_time": None, "intent": "refund"}, [("create_time", 1), ("_id", 1)], limit=50)
        newest = {"lesson": {"$gt": learning.clock.now() - timedelta(days=1)}}
        assert_indexed(Ticket, newest, [("lesson", -1), ("_id", -1)], limit=50)
