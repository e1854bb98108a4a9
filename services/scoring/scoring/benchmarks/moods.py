"""Moods of texts that twenty people rated each: tweets, and sentences of reviews (Hutto and Gilbert, ICWSM 2014, MIT).

A mean rating of 0.5 or more (of -4 to 4) is positive, -0.5 or less negative, what lies between neutral. What a lexicon
leaves open counts as wrong. Models are measured by five folds, in which all sentences of a review are on one side.

The errors on texts with an odd number (of the tweet, of the review) told which words our lexicon missed. Those with an
even number nobody looked at, and nobody shall: they tell what it reaches elsewhere. VADER's words were chosen and rated
for such tweets.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

import textmodel
from scoring.benchmarks.datasets import DataFolder, from_each
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark
from sentiment import NEGATIVE, NEUTRAL, POSITIVE, cues_of, sentiment_of
from textmodel import CuedText

Labels = NDArray[np.str_]

_FOLDER = "vader-icwsm2014"
_TWEETS, _REVIEWS = "rated tweets", "rated sentences of reviews"
_FILES = {_TWEETS: "tweets_GroundTruth.txt", _REVIEWS: "amazonReviewSnippets_GroundTruth.txt"}
_MOODS = (POSITIVE, NEUTRAL, NEGATIVE)
_RATED = 0.5
_FOLDS = 5
_SEED = 0
_PRECISIONS = (0.8, 0.9)
_FEW = (200, 500)
_LEXICON, _WORDS, _BOTH, _VADER = "lexicon alone", "words alone", "words and lexicon", "VADER 3.3.2"
_VADER_DIRECTION = 0.05
"""What its authors call positive, and below zero negative."""


_UNSEEN = "texts nobody looked at"
_REACHED = {
    (_TWEETS, f"accuracy, {_BOTH}"): (0.811, 0.799),
    (_REVIEWS, f"accuracy, {_BOTH}"): (0.712, 0.697),
    (_TWEETS, f"accuracy, {_LEXICON}, {_UNSEEN}"): (0.778, 0.76),
    (_REVIEWS, f"accuracy, {_LEXICON}, {_UNSEEN}"): (0.607, 0.584),
}
"""What was first measured, and that less two standard errors."""


def _over(precision: float) -> str:
    return f"precision of answers over the {precision:g} stated, standard errors"


MARKS = (
    *(
        Mark(data=name, metric=metric, at_least=least, source=f"{first}, less two standard errors")
        for (name, metric), (first, least) in _REACHED.items()
    ),
    *(
        Mark(
            data=name, metric=f"accuracy, {_BOTH}{taught}", peer=peer, at_least=1.0, times_peer=True, source="same run"
        )
        for name in _FILES
        for taught, peers in (("", (_LEXICON, _WORDS)), *((f", {few} texts taught", (_WORDS,)) for few in _FEW))
        for peer in peers
    ),
    *(
        Mark(
            data=_REVIEWS,
            metric=f"accuracy, {who}",
            peer=_VADER,
            at_least=1.0,
            times_peer=True,
            source="the published reference, same run",
        )
        for who in (_BOTH, f"{_LEXICON}, {_UNSEEN}")
    ),
    *(
        Mark(
            data=name,
            metric=_over(precision),
            at_least=-2.0,
            source="stated to the tenant; binomial error of the answers",
        )
        for name in _FILES
        for precision in _PRECISIONS
    ),
)


@dataclass(frozen=True)
class Rated:
    """Texts with their moods; group: equal for sentences of one review; unseen: those that nobody looked at."""

    texts: Sequence[str]
    moods: Labels
    group: NDArray[np.int64]
    unseen: NDArray[np.bool_]


def measure(data: DataFolder) -> Iterator[Line]:
    """Lexicon, words, and words with what the lexicon says, on both sets; VADER in the same run."""
    return from_each(data, *(partial(_of_set, name) for name in _FILES))


def _of_set(name: str, data: DataFolder) -> Iterator[Line]:
    rated = read(data.file(_FOLDER, _FILES[name]).read_text("utf-8"))
    return compared(name, rated, np.array(list(map(_vader(), rated.texts))))


def read(table: str) -> Rated:
    """Lines with tabs: a number (of a sentence its review's, an underscore and its own), a mean rating and a text."""
    rows = [line.split("\t", 2) for line in table.splitlines()]
    ratings = np.array([float(rating) for _, rating, _ in rows])
    moods = np.where(ratings >= _RATED, POSITIVE, np.where(ratings <= -_RATED, NEGATIVE, NEUTRAL))
    number = [int(each.split("_")[0]) for each, _, _ in rows]
    numbers, group = np.unique(number, return_inverse=True)
    return Rated([html.unescape(text) for _, _, text in rows], moods, group, (numbers % 2 == 0)[group])


def compared(name: str, rated: Rated, peer: Labels) -> Iterator[Line]:
    """The lines of a set. peer: what VADER says of each text."""
    found = [sentiment_of(text, "en") for text in rated.texts]
    cued = [CuedText(text, cues_of(said)) for text, said in zip(rated.texts, found, strict=True)]
    told: dict[str, Labels] = {_LEXICON: np.array([said.label for said in found]), _VADER: peer}
    words, both = _in_folds(rated.texts, rated, _PRECISIONS[0]), _in_folds(cued, rated, _PRECISIONS[0])
    told |= {_WORDS: words.likeliest, _BOTH: both.likeliest}
    right = {who: float((said == rated.moods).mean()) for who, said in told.items()}
    elsewhere = {who: float((said == rated.moods)[rated.unseen].mean()) for who, said in told.items()}
    even = {who: _macro_f1(said, rated.moods) for who, said in told.items()}

    def line(metric: str, value: float, **more: object) -> Line:
        return Line(task="text", data=name, metric=metric, value=value, **more)  # type: ignore[arg-type]

    for who in (_LEXICON, _WORDS, _BOTH):
        for other in (_VADER, *((_LEXICON, _WORDS) if who == _BOTH else ())):
            yield line(f"accuracy, {who}", right[who], peer=other, peer_value=right[other])
        yield line(f"macro F1, {who}", even[who], peer=_VADER, peer_value=even[_VADER])
    for who in (_LEXICON, _BOTH):
        yield line(f"accuracy, {who}, {_UNSEEN}", elsewhere[who], peer=_VADER, peer_value=elsewhere[_VADER])
    for precision in _PRECISIONS:
        answers = both if precision == _PRECISIONS[0] else _in_folds(cued, rated, precision)
        yield from _abstaining(line, answers.answered, rated.moods, precision)
    for few in _FEW:
        of_words, of_both = (
            float((_in_folds(texts, rated, _PRECISIONS[0], few).likeliest == rated.moods).mean())
            for texts in (rated.texts, cued)
        )
        yield line(f"accuracy, {_BOTH}, {few} texts taught", of_both, peer=_WORDS, peer_value=of_words)


def _abstaining(line: Callable[..., Line], answered: Labels, truth: Labels, precision: float) -> Iterator[Line]:
    given = answered != ""
    stated, answers = f"when {precision:g} is stated", int(given.sum())
    yield line(f"share of texts answered {stated}", answers / len(truth))
    if answers:
        reached = float((answered == truth)[given].mean())
        yield line(f"precision of answers {stated}", reached, reference=precision, note=f"{answers} answers")
        error = float(np.sqrt(precision * (1 - precision) / answers))
        yield line(_over(precision), (reached - precision) / error, note=f"one is {error:.4f}")


@dataclass(frozen=True)
class _Told:
    """One element a text; answered: empty where the model abstains."""

    likeliest: Labels
    answered: Labels


def folds(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold of each text: one for all of a group."""
    return (np.random.default_rng(_SEED).permutation(int(group.max()) + 1) % _FOLDS)[group]


def _in_folds(texts: Sequence[str | CuedText], rated: Rated, precision: float, few: int | None = None) -> _Told:
    """What models say of texts of a fold that learned from the others, or from a few texts of those."""
    fold = folds(rated.group)
    order = np.random.default_rng(_SEED).permutation(len(texts))
    likeliest, answered = (np.full(len(texts), "", dtype=rated.moods.dtype) for _ in range(2))
    for held_out in range(_FOLDS):
        taught = order[fold[order] != held_out][:few].tolist()
        asked = np.flatnonzero(fold == held_out)
        model = textmodel.train(
            [texts[at] for at in taught],
            rated.moods[taught].tolist(),
            authors=rated.group[taught].tolist(),
            precision=precision,
        )
        said = textmodel.predict(model, [texts[at] for at in asked.tolist()])
        likeliest[asked] = [label or "" for label in said.likeliest]
        answered[asked] = [label or "" for label in said.label]
    return _Told(likeliest, answered)


def _macro_f1(told: Labels, truth: Labels) -> float:
    """The mean over the moods of the harmonic mean of precision and recall."""
    return float(
        np.mean(
            [
                2 * ((told == mood) & (truth == mood)).sum() / ((told == mood).sum() + (truth == mood).sum())
                for mood in _MOODS
            ]
        )
    )


def _vader() -> Callable[[str], str]:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    judge = SentimentIntensityAnalyzer()

    def mood(text: str) -> str:
        score = judge.polarity_scores(text)["compound"]
        return POSITIVE if score >= _VADER_DIRECTION else NEGATIVE if score <= -_VADER_DIRECTION else NEUTRAL

    return mood
