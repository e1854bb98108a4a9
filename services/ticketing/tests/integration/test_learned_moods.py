"""A tenant's model of how its customers sound: learned from what people say, told, forgotten."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from docstore import blobs
from textmodel import process
from ticketing.store import IntentModelState, SentimentModelState, lessons
from ticketing.store.text_models import UID
from ticketing.usecases import learned_models
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
