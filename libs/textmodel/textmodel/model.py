"""A linear support vector machine over TF-IDF terms, with calibrated probabilities, that abstains when unsure.

One machine for each label against the rest (Joachims 1998; Fan et al. 2008, liblinear). Margins become probabilities
by a softmax with one temperature (Guo et al. 2017), fitted on texts the machine has not seen; on the same ones the
threshold is chosen under which the model abstains, so that of the answers given the stated share is right.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from scipy.special import softmax  # type: ignore[import-untyped]

from textmodel import terms
from textmodel.terms import AnyText, Floats, Ints, Vocabulary, Weighed

_REASONS = 3
_BINS = 10


@dataclass(frozen=True)
class TextModel:
    """A model of one tenant. Without labels (too few texts) it abstains from everything."""

    labels: tuple[str, ...]
    vocabulary: Vocabulary
    coefficients: NDArray[np.float32]
    """(terms, labels)."""
    intercepts: Floats
    temperature: float
    threshold: float
    """Least probability that is answered; over 1 when the stated precision is out of reach."""
    precision: float
    """The stated one."""
    texts: int
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """One element a text."""

    label: tuple[str | None, ...]
    """None where the model abstains."""
    likeliest: tuple[str | None, ...]
    """Even where it abstains; None only when no label was learnt."""
    probability: Floats
    """Of the likeliest label."""
    runner_up: tuple[str | None, ...]


@dataclass(frozen=True)
class Suggestion:
    """What one text is about."""

    label: str
    """The likeliest."""
    probability: float
    sure: bool
    """False where the model abstains."""
    words: tuple[str, ...]
    """Up to three words that speak for it against the runner-up, the first most; only words of the vocabulary."""
    cues: tuple[str, ...]
    """Cues that do so too."""
    probabilities: tuple[float, ...]
    """Of all the model's labels, in their order."""


@dataclass(frozen=True)
class Evaluation:
    """On texts the model has not seen."""

    texts: int
    accuracy: float
    """Share of the likeliest labels that are right, abstentions counted too."""
    coverage: float
    """Share of texts answered."""
    precision: float
    """Share of the answers that are right; nan when there are none."""
    calibration_error: float
    """Expected calibration error over tenths of the probability."""


def predict(model: TextModel, texts: Sequence[AnyText]) -> Prediction:
    """Labels of texts; each text's answer is the same whatever others come along."""
    if not model.labels:
        nothing = (None,) * len(texts)
        return Prediction(nothing, nothing, np.zeros(len(texts)), nothing)
    probability = _probabilities(model, model.vocabulary.weights(texts))
    order = np.argsort(-probability, axis=1, kind="stable")[:, :2]
    best = probability[np.arange(len(texts)), order[:, 0]]
    likeliest = [model.labels[at] for at in order[:, 0].tolist()]
    return Prediction(
        tuple(label if p >= model.threshold else None for label, p in zip(likeliest, best.tolist(), strict=True)),
        tuple(likeliest),
        best,
        tuple(model.labels[at] for at in order[:, 1].tolist()),
    )


def explain(model: TextModel, texts: Sequence[AnyText]) -> list[tuple[str, ...]]:
    """Up to three words of each text that spoke most for its likeliest label against the runner-up, in sentences.

    Only words of the vocabulary are named: what few people write may be personal.
    """
    if not model.labels:
        return [model.messages] * len(texts)
    return [
        tuple(f'it says "{word}"' for word in found.words)
        or ("no word of it is known well: by the rest of what such texts say",)
        for text in texts
        if (found := suggest(model, text)) is not None
    ]


def suggest(model: TextModel, text: AnyText) -> Suggestion | None:
    """What one text is about, with the words that speak for it; None when no label was learnt."""
    if not model.labels:
        return None
    pieces_of: dict[str, Ints] = {}
    read = model.vocabulary.weigh(text, pieces_of)
    coefficients = model.coefficients[read.columns].astype(np.float64)
    # Added one after the other, as in `predict`: so they are bitwise the same.
    margins = np.add.reduce(read.values[:, np.newaxis] * coefficients, axis=0) + model.intercepts
    probability = softmax(margins[np.newaxis] / model.temperature, axis=1)[0]
    best, other = np.argsort(-probability, kind="stable")[:2].tolist()
    likely = float(probability[best])
    spoken = read.values * (coefficients[:, best] - coefficients[:, other])
    words, cues = _words(model.vocabulary.places[0], read, pieces_of, spoken)
    return Suggestion(model.labels[best], likely, likely >= model.threshold, words, cues, tuple(probability.tolist()))


def evaluate(model: TextModel, texts: Sequence[AnyText], labels: Sequence[str]) -> Evaluation:
    """Accuracy, coverage and precision on labelled texts. Raises ValueError without any."""
    if not texts:
        raise ValueError("there are no texts to evaluate on")
    found = predict(model, texts)
    right = np.array([told == label for told, label in zip(found.likeliest, labels, strict=True)])
    answered = np.array([label is not None for label in found.label])
    bins = np.minimum((found.probability * _BINS).astype(np.int64), _BINS - 1)
    gaps = [abs(float((found.probability - right)[bins == each].sum())) for each in range(_BINS)]
    return Evaluation(
        len(texts),
        float(right.mean()),
        float(answered.mean()),
        float(right[answered].mean()) if answered.any() else float("nan"),
        sum(gaps) / len(texts),
    )


def margins_of(weights: csr_matrix, coefficients: NDArray[np.float32], intercepts: Floats) -> Floats:
    """Of each text and label."""
    # Only the terms that the texts hold: a model has 60,000, a text a few hundred.
    held = np.unique(weights.indices)
    margins: Floats = np.asarray(weights[:, held] @ coefficients[held].astype(np.float64)) + intercepts
    return margins


def _probabilities(model: TextModel, weights: csr_matrix) -> Floats:
    found: Floats = softmax(margins_of(weights, model.coefficients, model.intercepts) / model.temperature, axis=1)
    return found


def _words(
    of_words: dict[str, int], read: Weighed, pieces_of: dict[str, Ints], spoken: Floats
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words and the cues that speak for it, most first.

    What a word adds: itself, half of its pairs, and its pieces, each shared among the words that have it.
    spoken: what each term adds.
    """
    counted = Counter(read.words)
    at = {word: index for index, word in enumerate(counted)}
    owners: list[int] = []
    columns: list[int] = []
    shares: list[float] = []
    for word, times in counted.items():
        found = pieces_of[word].tolist()
        found += [of_words[word]] if word in of_words else []
        columns += found
        owners += [at[word]] * len(found)
        shares += [float(times)] * len(found)
    for (first, second), times in Counter(terms.neighbours(read.words)).items():
        if (pair := of_words.get(f"{first} {second}")) is not None:
            columns += [pair, pair]
            owners += [at[first], at[second]]
            shares += [times / 2, times / 2]
    place, share = np.searchsorted(read.columns, columns), np.array(shares)
    whole = np.bincount(place, share, len(read.columns))
    added = np.bincount(owners, spoken[place] * share / whole[place], len(counted)).tolist()
    speaking = (word for word in sorted(counted, key=lambda word: (-added[at[word]], word)) if added[at[word]] > 0)
    told = [word for word in speaking if word in of_words]
    words = islice((word for word in told if not terms.is_cue(word)), _REASONS)
    return tuple(words), tuple(word for word in told if terms.is_cue(word))
