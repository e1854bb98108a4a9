"""The benchmark of moods on rated texts that are generated here."""

from dataclasses import replace

import numpy as np
import pytest

from scoring.benchmarks import moods
from scoring.benchmarks.lines import Line
from sentiment import NEGATIVE, NEUTRAL, POSITIVE

# A mood by words that the lexicon knows, and by words that only this shop's customers use.
KNOWN = {
    POSITIVE: "a great and lovely shop",
    NEGATIVE: "an awful and useless shop",
    NEUTRAL: "a shop in the main street",
}
OWN = {POSITIVE: "it zings like my kettle", NEGATIVE: "it clunks like my toaster", NEUTRAL: "it stands beside my bed"}
RATINGS = {POSITIVE: 2.1, NEGATIVE: -1.7, NEUTRAL: 0.2}


@pytest.fixture(scope="module")
def rated() -> moods.Rated:
    """Reviews of two sentences of one mood; in every third review the lexicon knows none of the words."""
    lines = []
    for review in range(66):
        mood = (POSITIVE, NEGATIVE, NEUTRAL)[review % 3]
        spoken = OWN if review // 3 % 3 == 0 else KNOWN
        lines += [f"{review}_{sentence}\t{RATINGS[mood]}\tThey say {spoken[mood]} &amp; so" for sentence in (1, 2)]
    return moods.read("\n".join(lines))


def test_ratings_become_moods_and_entities_text() -> None:
    found = moods.read("7_1\t0.5\tA &amp; B\n7_2\t0.49\tno tab\n8_1\t-0.5\tC\twith a tab\n12_1\t-0.49\tD")
    assert found.moods.tolist() == [POSITIVE, NEUTRAL, NEGATIVE, NEUTRAL]
    assert found.texts == ["A & B", "no tab", "C\twith a tab", "D"]
    assert found.group.tolist() == [0, 0, 1, 2]
    assert found.unseen.tolist() == [False, False, True, True]


def test_no_review_is_on_both_sides_of_a_fold(rated: moods.Rated) -> None:
    fold = moods.folds(rated.group)
    assert all(len(set(fold[rated.group == group].tolist())) == 1 for group in range(66))
    assert np.bincount(fold).tolist() == [28, 26, 26, 26, 26]
    assert fold.tolist() == moods.folds(rated.group).tolist()


@pytest.fixture(scope="module")
def lines(rated: moods.Rated) -> list[Line]:
    return list(moods.compared("generated", rated, np.full(len(rated.texts), POSITIVE)))


def test_words_and_lexicon_are_right_where_either_is(rated: moods.Rated, lines: list[Line]) -> None:
    values = {line.metric: line.value for line in lines}
    peers = {(line.metric, line.peer): line.peer_value for line in lines}
    # What the lexicon does not know it takes for neutral: 8 of 22 reviews of each mood.
    assert values["accuracy, lexicon alone"] == pytest.approx(50 / 66)
    assert values["macro F1, lexicon alone"] == pytest.approx((2 * (2 * 14 / (14 + 22)) + 2 * 22 / (38 + 22)) / 3)
    assert values["accuracy, words alone"] == values["accuracy, words and lexicon"] == 1.0
    assert peers["accuracy, lexicon alone", "VADER 3.3.2"] == pytest.approx(1 / 3)
    assert peers["accuracy, words and lexicon", "lexicon alone"] == values["accuracy, lexicon alone"]
    for precision in ("0.8", "0.9"):
        assert values[f"share of texts answered when {precision} is stated"] == 1.0
        assert values[f"precision of answers when {precision} is stated"] == 1.0
    over = values["precision of answers over the 0.8 stated, standard errors"]
    assert over == pytest.approx(0.2 / (0.8 * 0.2 / len(rated.texts)) ** 0.5)


def test_every_mark_is_about_a_line_that_is_printed(lines: list[Line]) -> None:
    unmet = [mark for mark in moods.MARKS if not any(mark.about(replace(line, data=mark.data)) for line in lines)]
    assert unmet == []
