"""Learns a `textmodel.model` from texts that people have labelled.

The temperature and the threshold are fitted on texts that the machines have not seen.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from scipy.special import logsumexp, softmax  # type: ignore[import-untyped]

from textmodel import terms
from textmodel.model import TextModel, margins_of
from textmodel.terms import AnyText, Floats, Ints, Vocabulary

LEAST_TEXTS = 20
"""Labels with fewer texts are not learnt; texts of theirs are told by nobody."""
_PENALTY = 0.6
_FOLDS = 3
_SURE = 1.2815515655446004
"""The stated precision holds with 90 percent: the lower end of Wilson's interval reaches it."""


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
        margins[new] = margins_of(weights[new], *_fit(weights[seen], target[seen], labels, seed))
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
