"""Processes of the version before share the database while the platform is brought up to date."""

import docstore

from .planted_moods import POSITIVE, first_of, say_so

SERVICE = "ticketing"


def test_who_learns_intents_only_finds_nothing_else_to_learn(client) -> None:
    say_so(client, first_of(client, client.ticket(text="What a wonderful board.")).name, POSITIVE)
    with client.context():
        assert docstore.collection("intent_models").find_one({"tenant": client.tenant}) is None
        assert docstore.collection("sentiment_models").find_one({"tenant": client.tenant}, {"uid": 1}) is not None
