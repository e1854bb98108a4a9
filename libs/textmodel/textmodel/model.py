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
from scipy.special import logsumexp, softmax  # type: ignore[import-untyped]

from textmodel import terms
from textmodel.terms import AnyText, Floats, Ints, Vocabulary, Weighed

LEAST_TEXTS = 20
"""Labels with fewer texts are not learnt; texts of theirs are told by nobody."""
_PENALTY = 0.6
_FOLDS = 3
_REASONS = 3
_SURE = 1.2815515655446004
"""The stated precision holds with 90 percent: the lower end of Wilson's interval reaches it."""
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


def train(
    texts: Sequence[AnyText],
    labels: Sequence[str],
    *,
    authors: Sequence[int] | None = None,
    precision: float = 0.9,
    seed: int = 0,
) -> TextModel:
    """Learns labels, such as intents or moods, from texts that people have labelled.

    authors: who wrote each text; without it each text has an author of its own. precision: share of the answers that
    must be right. Raises ValueError for lists of different lengths or a precision outside (0, 1).
    """
    authors = list(range(len(texts))) if authors is None else authors
    if not len(texts) == len(labels) == len(authors):
        raise ValueError(
            f"{len(texts)} texts, {len(labels)} labels, {len(authors)} authors: each text needs one of both"
        )
    if not 0 < precision < 1:
        raise ValueError("precision must be between 0 and 1")
    names, code, counts = np.unique(np.array(labels, dtype=np.str_), return_inverse=True, return_counts=True)
    learnt = np.flatnonzero(counts >= LEAST_TEXTS)
    if len(learnt) < 2:
        return _abstaining(
            len(texts),
            precision,
            f"{len(learnt)} labels have {LEAST_TEXTS} texts or more, two are needed: the model abstains until then",
        )
    kept = np.flatnonzero(np.isin(code, learnt))
    target = np.searchsorted(learnt, code[kept])
    some = [texts[row] for row in kept.tolist()]
    vocabulary = terms.learn(some, [authors[row] for row in kept.tolist()])
    if not vocabulary.terms:
        return _abstaining(len(texts), precision, "no term was written by enough people: the model abstains until then")
    weights = vocabulary.weights(some)
    margins = _out_of_fold(weights, target, seed)
    temperature = _temperature(margins, target)
    probability = softmax(margins / temperature, axis=1)
    threshold = _threshold(probability.max(axis=1), probability.argmax(axis=1) == target, precision)
    messages = []
    if len(learnt) < len(names):
        messages.append(
            f"labels not learnt yet, since they have fewer than {LEAST_TEXTS} texts: {len(names) - len(learnt)}"
        )
    if threshold > 1:
        messages.append(f"a precision of {precision:g} is out of reach with these texts: the model abstains")
    coefficients, intercepts = _fit(weights, target, len(learnt), seed)
    return TextModel(
        tuple(names[learnt].tolist()),
        vocabulary,
        coefficients,
        intercepts,
        temperature,
        threshold,
        precision,
        len(texts),
        tuple(messages),
    )


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


def _abstaining(texts: int, precision: float, message: str) -> TextModel:
    nothing = Vocabulary((), 0, np.zeros(0))
    return TextModel((), nothing, np.zeros((0, 0), np.float32), np.zeros(0), 1.0, 2.0, precision, texts, (message,))


def _fit(weights: csr_matrix, target: Ints, labels: int, seed: int) -> tuple[NDArray[np.float32], Floats]:
    """Coefficients and intercepts of one machine a label."""
    from sklearn.svm import LinearSVC  # loaded only where a model is trained

    machine = LinearSVC(C=_PENALTY, random_state=seed, max_iter=10_000).fit(weights, target)
    coefficients, intercepts = machine.coef_.T, machine.intercept_
    if labels == 2:
        # One machine tells two labels apart: half of its margin for the one, against the other.
        coefficients = np.hstack([-coefficients, coefficients]) / 2
        intercepts = np.array([-intercepts[0], intercepts[0]]) / 2
    return np.ascontiguousarray(coefficients, dtype=np.float32), intercepts


def _margins(weights: csr_matrix, coefficients: NDArray[np.float32], intercepts: Floats) -> Floats:
    # Only the terms that the texts hold: a model has 60,000, a text a few hundred.
    held = np.unique(weights.indices)
    margins: Floats = np.asarray(weights[:, held] @ coefficients[held].astype(np.float64)) + intercepts
    return margins


def _out_of_fold(weights: csr_matrix, target: Ints, seed: int) -> Floats:
    """Margins of each text by machines that have not seen it; folds hold each label alike."""
    labels = int(target.max()) + 1
    folds = np.empty(len(target), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for label in range(labels):
        of = np.flatnonzero(target == label)
        folds[rng.permutation(of)] = np.arange(len(of)) % _FOLDS
    margins = np.empty((len(target), labels))
    for fold in range(_FOLDS):
        seen, new = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        margins[new] = _margins(weights[new], *_fit(weights[seen], target[seen], labels, seed))
    return margins


def _temperature(margins: Floats, target: Ints) -> float:
    """The one that makes the right labels likeliest."""
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # loaded only where a model is trained

    def loss(log_temperature: float) -> float:
        scaled = margins / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(target)), target]).mean())

    return float(f"{np.exp(minimize_scalar(loss, bounds=(-5.0, 3.0), method='bounded').x):.8e}")


def _threshold(probability: Floats, right: NDArray[np.bool_], precision: float) -> float:
    """The least probability from which on answers are surely right often enough; 2 if there is none."""
    order = np.argsort(-probability, kind="stable")
    n = np.arange(1, len(order) + 1)
    share = np.cumsum(right[order]) / n
    low = (share + _SURE**2 / (2 * n) - _SURE * np.sqrt(share * (1 - share) / n + _SURE**2 / (4 * n**2))) / (
        1 + _SURE**2 / n
    )
    # Answers of equal probability are given or withheld together.
    last = np.append(np.diff(probability[order]) != 0, True)
    good = np.flatnonzero((low >= precision) & last)
    return float(probability[order[good[-1]]]) if len(good) else 2.0


def _probabilities(model: TextModel, weights: csr_matrix) -> Floats:
    found: Floats = softmax(_margins(weights, model.coefficients, model.intercepts) / model.temperature, axis=1)
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
