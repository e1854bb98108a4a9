"""Text on BANKING77 (77 intents of bank customers' questions, the official split), and moods of texts (`moods`)."""

import csv
import time
from collections.abc import Iterator

import textmodel
from scoring.benchmarks import moods
from scoring.benchmarks.datasets import DataFolder, from_each
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Mark

_PRECISIONS = (0.95, 0.98)

_ACCURACY = 0.911
MARKS = (
    Mark(data="BANKING77", metric="accuracy", at_least=_ACCURACY, source="TF-IDF of words and characters, linear SVM"),
    Mark(data="BANKING77", metric="predicts bitwise alike when read back", equal=1, source="stated"),
    *(
        Mark(
            data="BANKING77",
            metric=f"precision of answers when {precision:g} is stated",
            at_least=precision,
            source="stated to the tenant",
        )
        for precision in _PRECISIONS
    ),
    *moods.MARKS,
)


def measure(data: DataFolder) -> Iterator[Line]:
    """Intents, and moods."""
    return from_each(data, _intents, moods.measure)


def _intents(data: DataFolder) -> Iterator[Line]:
    """Accuracy, calibration, and what abstaining costs and brings; a peer with logistic regression in the same run."""
    (texts, labels), (new, truth) = (_read(data, part) for part in ("train", "test"))

    def line(metric: str, value: float, **more: object) -> Line:
        return Line(task="text", data="BANKING77", metric=metric, value=value, **more)  # type: ignore[arg-type]

    for precision in _PRECISIONS:
        began = time.process_time()
        model = textmodel.train(texts, labels, precision=precision)
        trained = time.process_time() - began
        found = textmodel.evaluate(model, new, truth)
        if precision == _PRECISIONS[0]:
            logistic = _logistic(texts, labels, new, truth)
            yield line(
                "accuracy", found.accuracy, reference=_ACCURACY, peer="words, logistic regression", peer_value=logistic
            )
            yield line("expected calibration error", found.calibration_error)
            yield line("CPU seconds to train", trained, note=f"{len(texts)} texts, {len(model.labels)} intents")
            began = time.process_time()
            textmodel.predict(model, new)
            yield line("texts a CPU second", len(new) / (time.process_time() - began))
            artefact = textmodel.dump(model)
            note = f"{model.vocabulary.words} words and pairs, {len(model.vocabulary.terms)} terms"
            yield line("artefact, MB", len(artefact) / 1e6, note=note)
            told, read = (
                textmodel.predict(each, new).probability.tobytes() for each in (model, textmodel.load(artefact))
            )
            yield line("predicts bitwise alike when read back", int(told == read), reference=1)
        stated = f"when {precision:g} is stated"
        note = f"threshold {model.threshold:.3f}"
        yield line(f"precision of answers {stated}", found.precision, reference=precision, note=note)
        yield line(f"share of texts answered {stated}", found.coverage, note=note)


def _logistic(texts: list[str], labels: list[str], new: list[str], truth: list[str]) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    weights = words.fit_transform(texts)
    model = LogisticRegression(C=10.0, max_iter=200, tol=1e-3).fit(weights, labels)
    return float(model.score(words.transform(new), truth))


def _read(data: DataFolder, part: str) -> tuple[list[str], list[str]]:
    with data.file("banking77", f"{part}.csv").open(newline="") as source:
        rows = list(csv.DictReader(source))
    return [row["text"] for row in rows], [row["category"] for row in rows]
