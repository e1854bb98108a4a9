"""What is known of a language's words: how they sound, and how they change what stands near them."""

from collections.abc import Mapping
from dataclasses import dataclass

Weights = Mapping[float, str]
"""Entries by weight, from -3 (very bad) to 3 (very good)."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in a row, which count only together; courtesies and the like have no weight.

    opening: counts only where a sentence begins.
    """

    words: tuple[str, ...]
    weight: float = 0.0
    opening: bool = False


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What is known of one language; all of it is folded (`fold`).

    words: weight by whole word; stems: weight by beginning of a word; phrases: by their first word, long ones first.
    expected: what things and people are to do; it is bad if it is denied, and nothing else.
    negations turn what stands near them round, `negates_before` also what stands before them (as in "geht nicht");
    boosters and dampeners weigh what follows, and say nothing themselves then; contrasts make what follows count more
    than what went before.
    """

    words: Mapping[str, float]
    stems: Mapping[str, float]
    phrases: Mapping[str, tuple[Phrase, ...]]
    expected: frozenset[str]
    negations: frozenset[str]
    negates_before: bool
    boosters: frozenset[str]
    dampeners: frozenset[str]
    contrasts: frozenset[str]

    def weight(self, word: str) -> float:
        """Of a folded word; 0 when it is not known, of several stems the longest."""
        if word in self.words:
            return self.words[word]
        for length in range(len(word), 2, -1):
            if (weight := self.stems.get(word[:length])) is not None:
                return weight
        return 0.0

    def negates(self, word: str) -> bool:
        """Whether the folded word denies what stands near it."""
        return word in self.negations or word.endswith("n't")


def fold(text: str) -> str:
    """The text in lower case, with umlauts and sharp s written out and straight apostrophes."""
    return text.lower().translate(_FOLDING)


_FOLDING = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "\u2019": "'", "\u2018": "'", "`": "'"})


def words(listed: str) -> frozenset[str]:
    """Words that are listed with blanks between."""
    return frozenset(listed.split())


def lexicon(
    weights: Weights, *, negations: str, negates_before: bool, boosters: str, dampeners: str, contrasts: str,
    courtesies: tuple[str, ...], openings: tuple[str, ...] = (), phrases: Weights | None = None, expected: str = "",
) -> Lexicon:  # fmt: skip
    """A language's lexicon. Entries of weights that end in `*` stand for all words that begin so.

    courtesies: phrases that say nothing about the mood; openings: those that do so only where a sentence begins.
    phrases: weighed ones, with commas between.
    """
    whole: dict[str, float] = {}
    stems: dict[str, float] = {}
    for weight, listed in weights.items():
        for entry in listed.split():
            if entry.endswith("*"):
                stems[entry[:-1]] = float(weight)
            else:
                whole[entry] = float(weight)
    found = [Phrase(tuple(each.split())) for each in courtesies]
    found += [Phrase(tuple(each.split()), opening=True) for each in openings]
    for weight, listed in (phrases or {}).items():
        found += [Phrase(tuple(each.split()), float(weight)) for each in listed.split(",")]
    by_first: dict[str, list[Phrase]] = {}
    for phrase in sorted(found, key=lambda phrase: -len(phrase.words)):
        by_first.setdefault(phrase.words[0], []).append(phrase)
    return Lexicon(
        whole,
        stems,
        {first: tuple(of_first) for first, of_first in by_first.items()},
        words(expected),
        words(negations),
        negates_before,
        words(boosters),
        words(dampeners),
        words(contrasts),
    )
