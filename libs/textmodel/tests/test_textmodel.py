import io
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import textmodel
from textmodel import terms

TOPICS = {
    "refund": ("money back", "refund", "return the parcel", "reimburse me", "send it back"),
    "login": ("password", "log in", "reset my account", "sign in", "locked out"),
    "delivery": ("where is my order", "tracking", "courier", "has not arrived", "late parcel"),
}
FILLERS = ("hello", "please", "i want to ask", "can you help", "thanks", "about", "my", "the", "today", "again")


def tickets(n: int, seed: int, mixed: float = 0.1):
    """Texts of fillers around two phrases of their topic; a share has phrases of another one."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        topic = str(rng.choice(list(TOPICS)))
        spoken = str(rng.choice(list(TOPICS))) if rng.random() < mixed else topic
        words = [*rng.choice(TOPICS[spoken], 2), *rng.choice(FILLERS, 4)]
        texts.append(" ".join(rng.permutation(words)))
        labels.append(topic)
    return texts, labels


@pytest.fixture(scope="module")
def model():
    return textmodel.train(*tickets(900, 1), precision=0.9)


def test_tells_topics_with_probabilities_that_hold(model):
    new, truth = tickets(600, 2)
    found = textmodel.evaluate(model, new, truth)
    assert found.accuracy == pytest.approx(0.933, abs=0.03)
    assert found.calibration_error < 0.05
    assert found.precision >= 0.9
    assert found.coverage > 0.9


def test_abstains_so_that_the_stated_precision_is_kept():
    # A third of the texts say nothing of their topic: all answered, two of three would be right.
    texts, labels = tickets(1_500, 3, mixed=0.0)
    rng = np.random.default_rng(3)
    silent = rng.random(1_500) < 0.35
    texts = [" ".join(rng.choice(FILLERS, 5)) if hidden else each for each, hidden in zip(texts, silent, strict=True)]
    model = textmodel.train(texts[:900], labels[:900], precision=0.95)
    found = textmodel.evaluate(model, texts[900:], labels[900:])
    assert found.accuracy < 0.85
    assert found.precision >= 0.95
    assert 0.5 < found.coverage < 0.75
    prediction = textmodel.predict(model, ["hello please thanks", "refund money back"])
    assert prediction.label == (None, "refund")
    assert prediction.likeliest[0] is not None
    assert prediction.runner_up[1] != "refund"


def test_a_precision_out_of_reach_means_abstaining():
    rng = np.random.default_rng(4)
    texts = [" ".join(rng.choice(FILLERS, 5)) for _ in range(200)]
    model = textmodel.train(texts, [str(label) for label in rng.choice(["good", "bad"], 200)], precision=0.99)
    assert "out of reach" in model.messages[0]
    assert textmodel.predict(model, texts[:3]).label == (None, None, None)


def test_two_labels_are_a_mood():
    rng = np.random.default_rng(5)
    moods = {"negative": ("terrible", "angry", "broken"), "positive": ("great", "love", "happy")}
    labels = [str(each) for each in rng.choice(list(moods), 300)]
    texts = [f"{rng.choice(FILLERS)} {rng.choice(moods[label])} {rng.choice(FILLERS)}" for label in labels]
    model = textmodel.train(texts, labels)
    found = textmodel.predict(model, ["i love it", "so angry"])
    assert found.label == ("positive", "negative")
    assert found.runner_up == ("negative", "positive")
    assert (found.probability > 0.9).all()


def test_reasons_are_the_words_that_decided(model):
    (reasons,) = textmodel.explain(model, ["hello please zanzibar refund today"])
    assert reasons[0] == 'it says "refund"'
    assert not any("zanzibar" in reason for reason in reasons)
    (unknown,) = textmodel.explain(model, ["qqq xxx"])
    assert unknown == ("no word of it is known well: by the rest of what such texts say",)


def test_nothing_personal_stays_in_the_vocabulary():
    texts, labels = tickets(300, 6)
    personal = [
        f"{each} mail jane.doe@example.com or call +49 (170) 555-1234 order A-7781 card 4111111111111111 "
        f"see https://shop.example/jane @janedoe regards Janine Doeringer"
        for each in texts
    ]
    by_two = textmodel.train(personal, labels, authors=[row % 2 for row in range(300)])
    assert by_two.vocabulary.terms == ()
    assert "written by enough people" in by_two.messages[0]
    model = textmodel.train(personal, labels, authors=[row if "refund" in texts[row] else 0 for row in range(300)])
    whole = "\n".join(model.vocabulary.terms)
    assert "NUMBER" in whole
    for secret in ("jane.doe", "example", "555", "7781", "4111", "janedoe", "170", "@"):
        assert secret not in whole
    assert not any(character.isdigit() for character in whole)


def test_a_word_few_people_wrote_is_not_kept():
    texts, labels = tickets(200, 7)
    signed = [f"{each} yours muellerhuber" if row < 50 else each for row, each in enumerate(texts)]
    by_one = textmodel.train(signed, labels, authors=[0 if row < 50 else row for row in range(200)])
    assert "muellerhuber" not in by_one.vocabulary.terms
    assert not any("uell" in term for term in by_one.vocabulary.terms)
    assert b"muellerhuber" not in textmodel.dump(by_one)
    by_many = textmodel.train(signed, labels)
    assert "muellerhuber" in by_many.vocabulary.terms


@given(st.text(max_size=300))
def test_any_text_is_read(written):
    words = terms.words_of(written)
    assert not any(character.isdigit() for word in words for character in word if character.isascii())
    assert all(terms.pieces(word) for word in words if not terms.is_cue(word))


@pytest.mark.parametrize("unbroken", ["@", "a@", "a", "a.@", "www."])
def test_a_text_without_a_blank_is_read_in_no_time(unbroken):
    begun = time.process_time()
    terms.words_of(unbroken * 5_000)
    assert time.process_time() - begun < 0.1


def test_the_vocabulary_is_bounded(monkeypatch):
    monkeypatch.setattr(terms, "MOST_WORD_TERMS", 7)
    monkeypatch.setattr(terms, "MOST_CHARACTER_TERMS", 11)
    learnt = terms.learn(tickets(100, 8)[0], list(range(100)))
    assert learnt.words == 7
    assert len(learnt.terms) == len(learnt.idf) == 18


def test_weights_by_hand():
    vocabulary = terms.Vocabulary(("a", "b", " a "), 2, np.array([1.0, 2.0, 3.0]))
    weights = vocabulary.weights(["b a a", "zzz"]).toarray()
    twice = 1 + np.log(2)
    length = np.hypot(twice, 2.0)
    assert weights[0] == pytest.approx([twice / length, 2 / length, 1.0])
    assert (weights[1] == 0).all()


def test_read_back_it_predicts_bitwise_alike(model):
    artefact = textmodel.dump(model)
    again = textmodel.load(artefact)
    new, _ = tickets(50, 9)
    assert textmodel.predict(again, new).probability.tobytes() == textmodel.predict(model, new).probability.tobytes()
    assert textmodel.predict(again, new).label == textmodel.predict(model, new).label
    assert textmodel.dump(again) == artefact
    assert textmodel.dump(textmodel.train(*tickets(900, 1), precision=0.9)) == artefact
    assert len(textmodel.fingerprint(artefact)) == 64
    # One by one as all together.
    alone = [textmodel.predict(model, [each]).probability[0] for each in new]
    assert (np.array(alone) == textmodel.predict(model, new).probability).all()


@pytest.mark.parametrize("damage", ["cut", "pickle", "format", "shape"])
def test_what_is_no_model_is_refused(model, damage):
    artefact = textmodel.dump(model)
    with np.load(io.BytesIO(artefact)) as stored:
        parts = dict(stored)
    if damage == "pickle":
        parts["idf"] = np.array([{"a": 1}], dtype=object)
    if damage == "format":
        parts["head"] = np.frombuffer(b'{"format": 99}', dtype=np.uint8)
    if damage == "shape":
        parts["coefficients"] = parts["coefficients"][1:]
    written = io.BytesIO()
    np.savez(written, **parts)
    with pytest.raises(ValueError, match="text model"):
        textmodel.load(artefact[:1000] if damage == "cut" else written.getvalue())


def test_too_little_data_abstains_and_says_so():
    texts, labels = tickets(30, 10)
    model = textmodel.train(texts, labels)
    assert "abstains until then" in model.messages[0]
    assert textmodel.predict(model, ["refund"]).label == (None,)
    assert textmodel.explain(model, ["refund"]) == [model.messages]
    assert textmodel.load(textmodel.dump(model)).messages == model.messages
    texts, labels = tickets(200, 11)
    partly = textmodel.train([*texts, "odd"], [*labels, "odd"])
    assert "odd" not in partly.labels
    assert "fewer than 20 texts: 1" in partly.messages[0]


def test_wrong_input_is_told():
    with pytest.raises(ValueError, match="each text needs"):
        textmodel.train(["a"], [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        textmodel.train([], [], precision=1.0)
    with pytest.raises(ValueError, match="no texts"):
        textmodel.evaluate(textmodel.train([], []), [], [])


class TestCues:
    """What a lexicon says is a term beside the words, which nobody can write."""

    def test_a_cue_teaches_what_words_cannot(self) -> None:
        rng = random.Random(3)
        moods = [rng.choice(["GOOD", "BAD"]) for _ in range(200)]
        # Each text has words of its own.
        texts = [f"{''.join(rng.choices('abcdefghijklmnop', k=9))} delivery" for _ in moods]
        cued = [textmodel.CuedText(text, (f"LEXICON_{mood}",)) for text, mood in zip(texts, moods, strict=True)]
        model = textmodel.train(cued, moods)
        assert textmodel.evaluate(model, cued, moods).accuracy == 1.0
        found = textmodel.suggest(model, textmodel.CuedText("delivery", ("LEXICON_BAD",)))
        assert found is not None
        assert (found.label, found.sure) == ("BAD", True)
        assert "LEXICON_BAD" not in found.words, "words are those of the text"
        assert found.cues == ("LEXICON_BAD",)
        written = textmodel.predict(model, ["delivery lexicon_bad LEXICON_BAD", "delivery lexicon bad lexicon bad"])
        assert written.probability[0] == written.probability[1], "a text holds no cue, whatever is written"

    def test_a_cue_that_could_be_a_word_is_refused(self) -> None:
        with pytest.raises(ValueError, match="underscore"):
            textmodel.CuedText("delivery", ("GOOD",))
