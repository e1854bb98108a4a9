"""From texts to weighted terms: words, pairs of words and pieces of words, weighed by TF-IDF.

Nothing personal stays in the vocabulary: addresses, links, handles and whatever holds a digit (numbers of phones,
orders, cards) become one placeholder each, and a term is kept only when `LEAST_AUTHORS` different people wrote it.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_AUTHORS = 5
"""A term fewer people wrote is not kept: it may be a name."""
MOST_WORD_TERMS = 20_000
MOST_CHARACTER_TERMS = 40_000
_TEXT_MAX = 5_000
_PIECES = (2, 3, 4, 5)
_WORD_MAX = 40

# In this order: an address holds a handle, and both may hold digits. Capitals, since texts are in lower case. Each is
# tried once where something begins and never goes back over it: anybody may write 5,000 characters without a blank.
_PERSONAL = (
    (re.compile(r"(?<!\S)\S[^\s@]*+@\S+\.\S+"), " ADDRESS "),
    (re.compile(r"(?:https?://|www\.)\S+"), " LINK "),
    (re.compile(r"@\w+"), " HANDLE "),
    (re.compile(r"(?<!\S)[^\s\d]*+\d\S*"), " NUMBER "),
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_MARK = re.compile(r"[?!]")


@dataclass(frozen=True, slots=True)
class CuedText:
    """A text with cues: what else is known of it, such as what a lexicon says, each a term like a word of its own.

    A cue holds an underscore, which no word does, so nobody can write one. Raises ValueError for one that does not.
    """

    text: str
    cues: tuple[str, ...]

    def __post_init__(self) -> None:
        if wrong := [cue for cue in self.cues if not is_cue(cue)]:
            raise ValueError(f"{wrong[0]!r} cannot be told from a word: cues hold an underscore")


AnyText = str | CuedText


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

    def weigh(self, text: AnyText, pieces_of: dict[str, Ints]) -> "Weighed":
        """The terms of a text. pieces_of: columns of the pieces of each word met before; new words are added."""
        of_words, of_pieces = self.places
        words = words_of(text)
        for word in words:
            if word not in pieces_of:
                pieces_of[word] = _places(pieces(word), of_pieces)
        parts: list[tuple[Ints, Floats]] = []
        for found in (_places(word_terms(words), of_words), _joined([pieces_of[word] for word in words])):
            # Sorted, so that a sum never depends on the order of words.
            at, counts = np.unique(found, return_counts=True)
            weight = (1 + np.log(counts)) * self.idf[at]
            if len(at):
                weight /= float(np.sqrt(np.add.reduce(weight**2)))
            parts.append((at, weight))
        (some, of_some), (others, of_others) = parts
        return Weighed(words, np.concatenate([some, others]), np.concatenate([of_some, of_others]))

    def weights(self, texts: Sequence[AnyText]) -> csr_matrix:
        """(texts, terms), as `weigh` has them."""
        columns, values, ends = array("i"), array("d"), array("q", [0])
        # Texts share most of their words.
        pieces_of: dict[str, Ints] = {}
        for text in texts:
            found = self.weigh(text, pieces_of)
            columns.frombytes(found.columns.astype(np.int32).tobytes())
            values.frombytes(found.values.tobytes())
            ends.append(len(columns))
        shape = (len(texts), len(self.terms))
        return csr_matrix(
            (np.frombuffer(values), np.frombuffer(columns, np.int32), np.frombuffer(ends, np.int64)), shape=shape
        )


@dataclass(frozen=True)
class Weighed:
    """A text: its words, cues last, and the columns of its terms, ascending, with their weights.

    A weight is (1 + ln count) * idf; words and pieces are each of length 1.
    """

    words: list[str]
    columns: Ints
    values: Floats


def learn(texts: Sequence[AnyText], authors: Sequence[int]) -> Vocabulary:
    """Terms that enough people wrote; beyond the bound those that the most texts hold, equal ones by alphabet."""
    words, of_pieces = _Counted(), _Counted()
    of_word: dict[str, Ints] = {}
    # By author: each counts once for a term however many texts they wrote.
    rows = sorted(range(len(texts)), key=lambda row: authors[row])
    for row in rows:
        split = words_of(texts[row])
        for word in split:
            if word not in of_word:
                of_word[word] = of_pieces.places(pieces(word))
        words.note(words.places(split), authors[row])
        of_pieces.note(_joined([of_word[word] for word in split]), authors[row])
    # Enough people wrote both words of a pair that enough people wrote: the others need not be counted.
    known = {word for word, _ in words.kept()}
    pairs = _Counted()
    for row in rows:
        split = words_of(texts[row])
        both = (f"{one} {other}" for one, other in neighbours(split) if one in known and other in known)
        pairs.note(pairs.places(both), authors[row])
    parts: list[list[tuple[str, int]]] = []
    for kept, most in (([*words.kept(), *pairs.kept()], MOST_WORD_TERMS), (of_pieces.kept(), MOST_CHARACTER_TERMS)):
        parts.append(sorted(sorted(kept, key=lambda each: (-each[1], each[0]))[:most]))
    chosen = [*parts[0], *parts[1]]
    idf = [float(np.log((1 + len(texts)) / (1 + texts_with)) + 1) for _, texts_with in chosen]
    return Vocabulary(tuple(term for term, _ in chosen), len(parts[0]), np.array(idf))


class _Counted:
    """In how many texts terms are, and how many people wrote them; texts must come author by author."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._texts, self._authors, self._last = (np.zeros(1024, dtype=np.int64) for _ in range(3))

    def places(self, terms: Iterable[str]) -> Ints:
        """The place of each term."""
        known = self._places
        return np.array([known.setdefault(term, len(known)) for term in terms], dtype=np.int64)

    def note(self, places: Ints, author: int) -> None:
        """One more text, with terms at these places."""
        while len(self._texts) < len(self._places):
            self._texts, self._authors, self._last = (
                np.concatenate([each, np.zeros(len(each), dtype=np.int64)])
                for each in (self._texts, self._authors, self._last)
            )
        at = np.unique(places)
        self._authors[at] += (self._texts[at] == 0) | (self._last[at] != author)
        self._texts[at] += 1
        self._last[at] = author

    def kept(self) -> list[tuple[str, int]]:
        """Terms that enough people wrote, each with the number of texts that hold it."""
        return [(term, int(self._texts[at])) for term, at in self._places.items() if self._authors[at] >= LEAST_AUTHORS]


def _places(terms: Iterable[str], places: dict[str, int]) -> Ints:
    return np.array([places[term] for term in terms if term in places], dtype=np.int64)


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def words_of(read: AnyText) -> list[str]:
    """Words in lower case with placeholders for what is personal, question and exclamation marks; then cues."""
    written, cues = (read.text, read.cues) if isinstance(read, CuedText) else (read, ())
    text = written[:_TEXT_MAX].lower()
    for pattern, placeholder in _PERSONAL:
        text = pattern.sub(placeholder, text)
    return [*(word[:_WORD_MAX] for word in re.findall(f"{_WORD.pattern}|{_MARK.pattern}", text)), *cues]


def word_terms(words: Sequence[str]) -> Iterator[str]:
    """Words, and pairs of neighbours."""
    yield from words
    for first, second in neighbours(words):
        yield f"{first} {second}"


def neighbours(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of words that stand side by side; a cue stands nowhere."""
    return ((first, second) for first, second in pairwise(words) if not is_cue(second))


def is_cue(word: str) -> bool:
    """Whether a word of `words_of` is a cue."""
    return "_" in word


def pieces(word: str) -> list[str]:
    """2 to 5 neighbouring characters of the word between blanks, which mark its ends; none of a cue."""
    if is_cue(word):
        return []
    padded = f" {word} "
    found: list[str] = []
    for size in _PIECES:
        if size >= len(padded):
            return [*found, padded]
        found += [padded[begin : begin + size] for begin in range(len(padded) - size + 1)]
    return found
