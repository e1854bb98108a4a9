"""From texts to weighted terms: words, pairs of words and pieces of words, weighed by TF-IDF.

Nothing personal stays in the vocabulary: addresses, links, handles and whatever holds a digit (numbers of phones,
orders, cards) become one placeholder each, and a term is kept only when `LEAST_AUTHORS` different people wrote it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from scoring.models.fitting import Floats

LEAST_AUTHORS = 5
"""A term fewer people wrote is not kept: it may be a name."""
MOST_WORD_TERMS = 20_000
MOST_CHARACTER_TERMS = 40_000
_TEXT_MAX = 5_000
_PIECES = (2, 3, 4, 5)
_WORD_MAX = 40

# In this order: an address holds a handle, and both may hold digits. Capitals, since texts are in lower case.
_PERSONAL = (
    (re.compile(r"\S+@\S+\.\S+"), " ADDRESS "),
    (re.compile(r"(?:https?://|www\.)\S+"), " LINK "),
    (re.compile(r"@\w+"), " HANDLE "),
    (re.compile(r"\S*\d\S*"), " NUMBER "),
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_MARK = re.compile(r"[?!]")


@dataclass(frozen=True)
class Vocabulary:
    """Terms in order: words and pairs (with a blank) first, `words` of them, then pieces of words."""

    terms: tuple[str, ...]
    words: int
    idf: Floats

    @cached_property
    def places(self) -> tuple[dict[str, int], dict[str, int]]:
        """Column of each word or pair, and of each piece; a word may be a piece of another one."""
        word_terms, pieces = self.terms[: self.words], self.terms[self.words :]
        return (
            {term: column for column, term in enumerate(word_terms)},
            {term: column for column, term in enumerate(pieces, self.words)},
        )

    def weights(self, texts: Sequence[str]) -> csr_matrix:
        """(texts, terms): (1 + ln count) * idf, words and pieces each of length 1 in every text."""
        columns: list[int] = []
        values: list[float] = []
        ends = [0]
        of_words, of_pieces = self.places
        for text in texts:
            words = words_of(text)
            for terms, places in ((word_terms(words), of_words), (all_pieces(words), of_pieces)):
                found = Counter(places[term] for term in terms if term in places)
                # Sorted, so that a sum never depends on the order of words.
                at = np.array(sorted(found), dtype=np.int64)
                weight = (1 + np.log([found[column] for column in at.tolist()])) * self.idf[at]
                length = float(np.sqrt(np.add.reduce(weight**2)))
                columns += at.tolist()
                values += (weight / length).tolist() if length > 0 else []
            ends.append(len(columns))
        return csr_matrix((values, columns, ends), shape=(len(texts), len(self.terms)))


def learn(texts: Sequence[str], authors: Sequence[int]) -> Vocabulary:
    """Terms that enough people wrote; beyond the bound those that the most texts hold, equal ones by alphabet."""
    parts: list[list[str]] = []
    idf: list[float] = []
    split = [words_of(text) for text in texts]
    for kind, most in ((word_terms, MOST_WORD_TERMS), (all_pieces, MOST_CHARACTER_TERMS)):
        texts_with: Counter[str] = Counter()
        written: Counter[str] = Counter()
        last: dict[str, int] = {}
        # By author: each counts once for a term however many texts they wrote.
        for row in sorted(range(len(texts)), key=lambda row: authors[row]):
            for term in set(kind(split[row])):
                texts_with[term] += 1
                if last.get(term) != authors[row]:
                    last[term] = authors[row]
                    written[term] += 1
        kept = sorted(
            (term for term in texts_with if written[term] >= LEAST_AUTHORS), key=lambda t: (-texts_with[t], t)
        )
        parts.append(sorted(kept[:most]))
        idf += [float(np.log((1 + len(texts)) / (1 + texts_with[term])) + 1) for term in parts[-1]]
    return Vocabulary((*parts[0], *parts[1]), len(parts[0]), np.array(idf))


def words_of(text: str) -> list[str]:
    """Words in lower case with placeholders for what is personal, question and exclamation marks as words."""
    text = text[:_TEXT_MAX].lower()
    for pattern, placeholder in _PERSONAL:
        text = pattern.sub(placeholder, text)
    return [word[:_WORD_MAX] for word in re.findall(f"{_WORD.pattern}|{_MARK.pattern}", text)]


def word_terms(words: Sequence[str]) -> Iterator[str]:
    """Words, and pairs of neighbours."""
    yield from words
    for first, second in pairwise(words):
        yield f"{first} {second}"


def all_pieces(words: Sequence[str]) -> Iterator[str]:
    """Pieces of all words."""
    for word in words:
        yield from pieces(word)


def pieces(word: str) -> Iterator[str]:
    """2 to 5 neighbouring characters of the word between blanks, which mark its ends."""
    padded = f" {word} "
    for size in _PIECES:
        if size >= len(padded):
            yield padded
            return
        for begin in range(len(padded) - size + 1):
            yield padded[begin : begin + size]
