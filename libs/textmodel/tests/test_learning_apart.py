"""A new model takes the place of the old one only if it is not worse; it is learned in a process of its own."""

import time
from dataclasses import replace

import numpy as np
import pytest

import textmodel
from textmodel import process
from textmodel.challenge import Lessons, learn
from textmodel.process import LearningError, Lesson, learn_apart

from .test_textmodel import FILLERS, TOPICS, tickets


def lessons(n: int, seed: int) -> Lessons:
    texts, labels = tickets(n, seed, mixed=0.0)
    return Lessons(texts, labels, list(range(n)))


def test_a_new_model_is_judged_on_the_newest_tenth_and_has_not_seen_it() -> None:
    given = lessons(300, 1)
    found = learn(given, None, precision=0.9)
    assert found.artefact is not None
    model = textmodel.load(found.artefact)
    assert (model.texts, found.evaluation.texts) == (270, 30)
    assert (sum(found.labels.values()), sorted(found.labels)) == (270, sorted(TOPICS))
    assert found.evaluation == textmodel.evaluate(model, given.texts[270:], given.labels[270:])
    assert learn(given, found.artefact, precision=0.9).artefact == found.artefact


def test_a_model_that_is_surely_worse_does_not_take_the_place() -> None:
    good = learn(lessons(300, 2), None, precision=0.9)
    given = lessons(300, 3)
    # What it learns from says nothing; what it is judged on does.
    rng = np.random.default_rng(3)
    noise = [" ".join(rng.choice(FILLERS, 5)) for _ in range(270)]
    found = learn(Lessons([*noise, *given.texts[270:]], given.labels, given.authors), good.artefact, precision=0.9)
    assert found.artefact is None
    assert "stays out" in found.messages[-1]
    assert "the one in place 30" in found.messages[-1]


@pytest.mark.parametrize(
    ("rights", "stays_out"), [(30, False), (29, False), (12, True)], ids=["as good", "not surely worse", "worse"]
)
def test_a_model_that_is_surely_worse_than_what_learns_nothing_stays_out(rights, stays_out) -> None:
    given = lessons(300, 3)
    rng = np.random.default_rng(3)
    # As many of the newest texts as it shall not know say nothing.
    newest = [text if at < rights else " ".join(rng.choice(FILLERS, 5)) for at, text in enumerate(given.texts[270:])]
    texts = [*given.texts[:270], *newest]
    found = learn(Lessons(texts, given.labels, given.authors, given.labels), None, precision=0.9)
    assert (found.artefact is None) == stays_out
    assert found.baseline_accuracy == 1.0
    assert ("what tells without a model 30" in "".join(found.messages)) == stays_out
    nothing = learn(Lessons(texts, given.labels, given.authors, ["none"] * 300), None, precision=0.9)
    assert (nothing.artefact is None, nothing.baseline_accuracy) == (False, 0.0)


def test_a_model_that_would_be_sure_of_nothing_stays_out_where_something_else_tells() -> None:
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(FILLERS, 5)) for _ in range(100)]
    labels, authors = ["one", "other"] * 50, list(range(100))
    assert learn(Lessons(texts, labels, authors), None, precision=0.9).artefact is not None
    found = learn(Lessons(texts, labels, authors, ["none"] * 100), None, precision=0.9)
    assert found.artefact is None
    assert found.messages[-1] == "a new model stays out: it is sure of 0 of the newest 10 texts, and one of 4 is needed"


def test_a_model_that_would_withhold_nearly_all_stays_out_where_something_else_tells() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(["one", "other"], 400).tolist()
    texts = [
        " ".join([*rng.choice(FILLERS, 5), f"says{label}" if at % 8 == 0 else "nothing"])
        for at, label in enumerate(labels)
    ]
    assert learn(Lessons(texts, labels, list(range(400))), None, precision=0.8).threshold < 1
    found = learn(Lessons(texts, labels, list(range(400)), ["none"] * 400), None, precision=0.8)
    assert found.artefact is None
    assert found.messages[-1] == "a new model stays out: it is sure of 4 of the newest 40 texts, and one of 4 is needed"


def test_without_two_labels_there_is_no_model() -> None:
    found = learn(Lessons(["a b"] * 30, ["one"] * 30, list(range(30))), None, precision=0.9)
    assert (found.artefact, found.labels, found.evaluation) == (None, {}, None)
    assert "1 labels have 20 texts" in found.messages[0]


def test_a_process_learns_the_same_and_can_be_ended(monkeypatch) -> None:
    given = lessons(300, 1)
    # More than a pipe holds, and looked after before the process has begun to read.
    given = Lessons([text.ljust(1_000) for text in given.texts], given.labels, given.authors)
    monkeypatch.setattr(process, "_LOOK_S", 0.01)
    until = time.monotonic() + 60
    given = replace(given, baseline=given.labels[1:] + given.labels[:1])
    there = [
        Lesson(text, label, author, baseline=baseline)
        for text, label, author, baseline in zip(given.texts, given.labels, given.authors, given.baseline, strict=True)
    ]
    found = learn_apart(there, None, precision=0.9, going_on=lambda: time.monotonic() < until)
    assert found is not None, "it never ends"
    here = learn(given, None, precision=0.9)
    assert (found.artefact, found.labels, found.accuracy) == (here.artefact, here.labels, here.evaluation.accuracy)
    assert found.baseline_accuracy == here.baseline_accuracy
    assert learn_apart(there, None, precision=0.9, going_on=lambda: False) is None
    monkeypatch.setattr(process, "_MOST_S", 0.0)
    with pytest.raises(LearningError, match="did not end"):
        learn_apart(there, None, precision=0.9, going_on=lambda: True)


def test_a_failure_tells_no_text() -> None:
    with pytest.raises(LearningError) as error:
        learn_apart([Lesson("secret", "secret", 1)] * 50, b"secret", precision=7.0, going_on=lambda: True)
    assert "ValueError" in str(error.value)
    assert "secret" not in str(error.value)


def test_one_text_is_told_as_many_are() -> None:
    model = textmodel.load(learn(lessons(300, 1), None, precision=0.9).artefact)
    told = textmodel.suggest(model, "hello please zanzibar refund money back")
    all_told = textmodel.predict(model, ["hello please zanzibar refund money back"])
    assert (told.label, told.probability, told.sure) == ("refund", all_told.probability[0], True)
    assert told.words[0] == "refund"
    assert dict(zip(model.labels, told.probabilities, strict=True))["refund"] == told.probability
    assert sum(told.probabilities) == pytest.approx(1.0)
    assert not textmodel.suggest(model, "qqq xxx").sure
    assert textmodel.suggest(model, "").words == ()
    assert textmodel.suggest(textmodel.train([], []), "refund") is None
