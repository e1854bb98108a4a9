"""Who gets a ticket, and why."""

from itertools import permutations

import pytest

from ticketing.domain.assignment import Candidate, Need, choose, writes


def agent(name: str, load: int = 0, capacity: int = 10, skills: str = "", languages: str = "") -> Candidate:
    return Candidate(name, frozenset(skills.split()), tuple(languages.split()), capacity, load)


@pytest.mark.parametrize(
    ("need", "candidates", "chosen", "reason"),
    [
        (Need(()), [], None, "waits: nobody is available"),
        (Need(("refunds",)), [agent("ann")], None, "waits: nobody available has the skills refunds"),
        (Need(()), [agent("ann", 2, 2)], None, "waits: the only one who could take it has no room"),
        (Need(()), [agent("ann", 2, 2), agent("bob", 1, 1)], None, "waits: all 2 who could take it have no room"),
        (Need(()), [agent("ann", 3)], "ann", "3 of 10 tickets, the only one who could"),
        (
            Need(("complaints",)),
            [agent("ann", 3, skills="complaints"), agent("bob", 2, skills="complaints x"),
             agent("cid", 4, skills="complaints"), agent("dan")],
            "bob", "has the skills complaints; 2 of 10 tickets, the fewest of 3 who could",
        ),
        # The share in use counts, not the number; ties go by name.
        (Need(()), [agent("ann", 2, 4), agent("bob", 3, 10)], "bob", "3 of 10 tickets, the fewest of 2 who could"),
        (Need(()), [agent("bob", 1), agent("ann", 1)], "ann", "1 of 10 tickets, the fewest of 2 who could"),
        (
            Need((), "de-AT"), [agent("ann", 0, languages="en"), agent("bob", 5, languages="de en")],
            "bob", "writes de-AT; 5 of 10 tickets, the only one who could",
        ),
        (
            Need((), "fr"), [agent("ann", 1, languages="en"), agent("bob", 5, languages="de")],
            "ann", "nobody with room writes fr; 1 of 10 tickets, the fewest of 2 who could",
        ),
    ],
)  # fmt: skip
def test_choice(need, candidates, chosen, reason) -> None:
    for order in permutations(candidates):
        choice = choose(need, order)
        assert (choice.agent.name if choice.agent else None, choice.reason) == (chosen, reason)


def test_no_languages_are_all_languages() -> None:
    assert writes((), "fr")
    assert writes(("pt-BR",), "pt")
    assert not writes(("en",), "fr")
