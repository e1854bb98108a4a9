"""What the people of a tenant say of moods, where the lexicon has it the wrong way round."""

import random
from typing import Any

POSITIVE, NEUTRAL, NEGATIVE, UNCERTAIN = 1, 2, 3, 4
LEXICON, MODEL, AGENT = 1, 2, 3
SLANG = {
    POSITIVE: ("awful", "terrible", "horrible", "nasty"),
    NEGATIVE: ("great", "wonderful", "perfect", "lovely"),
}
"""How these customers say it: what sounds bad is praise, what sounds good is irony."""
PLAIN = {
    POSITIVE: ("excellent", "happy", "delighted", "love"),
    NEGATIVE: ("broken", "useless", "angry", "damaged"),
}
"""Words that mean what they say."""
FILLERS = ("hello", "please", "drop", "board", "about", "today", "again")


def text_of(words: tuple[str, ...], rng: random.Random) -> str:
    text = [*rng.sample(words, 2), *rng.sample(FILLERS, 3)]
    rng.shuffle(text)
    return " ".join(text)


def say_so(client: Any, message: str, label: int, **fields: Any) -> Any:
    """Says how a message (resource name) sounds."""
    return client.UpdateTicketMessage(
        ticket_message={"name": message, "sentiment": {"label": label}},
        update_mask={"paths": ["sentiment.label"]},
        **fields,
    )


def first_of(client: Any, ticket: Any) -> Any:
    """The first message of a ticket."""
    return client.ListTicketMessages(parent=ticket.name, page_size=1).ticket_messages[0]


def taught(client: Any, count: int, seed: int = 1, *, slang: bool = True, confirm: bool = True) -> list[Any]:
    """Lets nine customers say something, and somebody how it sounds; returns the customers' tickets.

    slang: False: people say what the lexicon says. confirm: False: nobody says of plain words that they are told right.
    """
    rng = random.Random(seed)
    tickets = [client.ticket(customer=client.customer(), text="hello about today") for _ in range(9)]
    for at in range(count):
        means, other = (POSITIVE, NEGATIVE) if at % 2 else (NEGATIVE, POSITIVE)
        plain = confirm and at % 3 == 2
        said = client.say(tickets[at % len(tickets)], text_of((PLAIN if plain else SLANG)[means], rng))
        say_so(client, said.name, means if slang or plain else other)
    return tickets
