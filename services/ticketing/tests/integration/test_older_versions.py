"""Processes of the version before share the database while the platform is brought up to date."""

import docstore
from ticketing.store import Ticket

from .planted_moods import AGENT, LEXICON, NEGATIVE, POSITIVE, first_of, say_so

SERVICE = "ticketing"


def test_who_learns_intents_only_finds_nothing_else_to_learn(client) -> None:
    say_so(client, first_of(client, client.ticket(text="What a wonderful board.")).name, POSITIVE)
    with client.context():
        assert docstore.collection("intent_models").find_one({"tenant": client.tenant}) is None
        assert docstore.collection("sentiment_models").find_one({"tenant": client.tenant}, {"uid": 1}) is not None


def test_how_something_sounds_is_kept_as_older_versions_read_it(client) -> None:
    """They refuse fields they do not know, and to write a ticket whose sentiment has no model."""
    made = client.ticket(text="What a wonderful board.")
    told = [made.sentiment.source]
    for label in (POSITIVE, NEGATIVE):
        with client.context():
            row = Ticket.rows().find_one({"uid": made.uid}, {"sentiment": 1, "first.sentiment": 1}) or {}
        for kept in (row["sentiment"], row["first"]["sentiment"]):
            assert set(kept) <= {"label", "score", "reasons", "model"}
            assert isinstance(kept["model"], str)
        told.append(say_so(client, first_of(client, made).name, label).sentiment.source)
    assert told == [LEXICON, AGENT, AGENT]


def test_what_a_newer_version_adds_keeps_nobody_from_reading(client) -> None:
    made = client.ticket(text="What a wonderful board.")
    with client.context():
        Ticket.rows().update_one(
            {"uid": made.uid}, {"$set": {"sentiment.certainty": 1, "first.sentiment.certainty": 1}}
        )
    assert client.now(made).sentiment == made.sentiment == first_of(client, made).sentiment
