"""A new model held against the one in place, on the newest tenth of the texts, which neither has learned from.

The model that is judged is the one that is used: it learns from the older nine tenths. So the one in place has not
seen what is newest now, and figures are told of the very model that answers. Where something that learns nothing, such
as a lexicon, tells the labels too, that is the least a model has to reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc  # type: ignore[import-untyped]

from textmodel.artefact import dump, load
from textmodel.model import Evaluation, TextModel, evaluate, predict
from textmodel.terms import AnyText
from textmodel.training import train

_HELD_OUT = 10
"""One of so many texts is held out."""
_ANSWERED = 4
"""One of so many held-out texts must be answered: what withholds more is no good in the place of what tells most."""
_SURELY = 0.05
"""A new model is worse if one as good would lose as many of the texts the two differ on less often than this."""


@dataclass(frozen=True)
class Lessons:
    """Labelled texts, the oldest first, and who wrote each. baseline: what the labels are without any model."""

    texts: Sequence[AnyText]
    labels: Sequence[str]
    authors: Sequence[int]
    baseline: Sequence[str] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of learning."""

    artefact: bytes | None
    """The new model; None where it shall not be used."""
    labels: dict[str, int]
    """Texts that taught each label of the new model, the most first."""
    evaluation: Evaluation | None
    threshold: float
    messages: tuple[str, ...]
    baseline_accuracy: float | None = None
    """Share of the held-out texts that the baseline has right; None without one."""


def learned_from(texts: int) -> int:
    """How many of so many texts, the oldest ones, teach; the others are held out."""
    return texts - texts // _HELD_OUT


def learn(lessons: Lessons, in_place: bytes | None, *, precision: float) -> Outcome:
    """Learns a model; it is not to be used if it knows no label, or is surely worse than the one in place.

    Nor, where there is a baseline, if it is surely worse than that, or sure of hardly anything.
    in_place: its artefact. precision: share of the answers that must be right.
    Raises ValueError as `train` and `load` do.
    """
    cut = learned_from(len(lessons.texts))
    older, newest = slice(None, cut), slice(cut, None)
    model = train(lessons.texts[older], lessons.labels[older], authors=lessons.authors[older], precision=precision)
    if not model.labels or cut == len(lessons.texts):
        return Outcome(None, {}, None, model.threshold, model.messages)
    texts, truth = lessons.texts[newest], lessons.labels[newest]
    right = _right(model, texts, truth)
    rivals: list[tuple[str, NDArray[np.bool_]]] = []
    if in_place is not None:
        rivals.append(("the one in place", _right(load(in_place), texts, truth)))
    baseline = None
    if lessons.baseline is not None:
        baseline = np.array([told == label for told, label in zip(lessons.baseline[newest], truth, strict=True)])
        rivals.append(("what tells without a model", baseline))
    reasons = [
        f"a new model stays out: of the newest {len(texts)} texts it has {int(right.sum())} right, {name} "
        f"{int(theirs.sum())}"
        for name, theirs in rivals
        if _worse(right, theirs)
    ]
    judged = evaluate(model, texts, truth)
    sure = round(judged.coverage * len(texts))
    if baseline is not None and sure * _ANSWERED < len(texts):
        reasons.append(
            f"a new model stays out: it is sure of {sure} of the newest {len(texts)} texts, and one of {_ANSWERED} is "
            "needed"
        )
    taught = [label for label in lessons.labels[older] if label in set(model.labels)]
    names, counts = np.unique(np.array(taught, dtype=np.str_), return_counts=True)
    order = np.argsort(-counts, kind="stable").tolist()
    return Outcome(
        None if reasons else dump(model),
        {str(names[at]): int(counts[at]) for at in order},
        judged,
        model.threshold,
        (*model.messages, *reasons),
        None if baseline is None else float(baseline.mean()),
    )


def _worse(right: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> bool:
    """Whether the new one is surely worse, by a sign test (McNemar) on the texts that one of the two has right."""
    lost, won = int((theirs & ~right).sum()), int((right & ~theirs).sum())
    return lost > won and float(bdtrc(lost - 1, lost + won, 0.5)) < _SURELY


def _right(model: TextModel, texts: Sequence[AnyText], truth: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([told == label for told, label in zip(predict(model, texts).likeliest, truth, strict=True)])
