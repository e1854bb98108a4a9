"""Who is held out: by chance, always the same, nested in the percentage, independent between journeys."""

from itertools import pairwise

from campaigns.domain.holdout import is_held_out
from chassis import ids

PEOPLE = [f"customers/{number}" for number in range(10_000)]


def held_out(journey: str, percent: int, salt: str = "salt") -> set[str]:
    return {person for person in PEOPLE if is_held_out("shop", journey, person, salt, percent)}


def chi_square(a: set[str], b: set[str]) -> float:
    """Of the two by two table of being in a and in b; 3.84 is exceeded by chance in 5 of 100."""
    observed = (len(a & b), len(a - b), len(b - a), len(PEOPLE) - len(a | b))
    rows, columns = (len(a), len(PEOPLE) - len(a)), (len(b), len(PEOPLE) - len(b))
    expected = [row * column / len(PEOPLE) for row in rows for column in columns]
    return sum((seen - wanted) ** 2 / wanted for seen, wanted in zip(observed, expected, strict=True))


def test_the_share_is_as_asked_and_each_stays_where_they_are() -> None:
    assert held_out("a", 0) == set()
    for percent in (1, 20, 50):
        share = len(held_out("a", percent)) / len(PEOPLE)
        # Four standard errors of a fair draw.
        assert abs(share - percent / 100) < 4 * (percent / 100 * (1 - percent / 100) / len(PEOPLE)) ** 0.5
        assert held_out("a", percent) == held_out("a", percent)


def test_another_percentage_moves_only_those_it_must() -> None:
    groups = [held_out("a", percent) for percent in range(0, 51, 5)]
    assert all(fewer < more for fewer, more in pairwise(groups))


def test_groups_of_two_journeys_or_salts_are_independent() -> None:
    for percent in (10, 50):
        assert chi_square(held_out("a", percent), held_out("b", percent)) < 10.8
        assert chi_square(held_out("a", percent), held_out("a", percent, ids.uuid7())) < 10.8
    # The test would notice.
    assert chi_square(held_out("a", 10), held_out("a", 20)) > 1_000
