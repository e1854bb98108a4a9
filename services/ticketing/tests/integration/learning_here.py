"""Learning without the process that the role `run` starts for it."""

import textmodel
from textmodel import challenge, process
from textmodel.challenge import Lessons
from textmodel.process import Learned


def learned_here(taught, in_place, *, precision, going_on) -> Learned:
    """What `learn_apart` returns, without its process."""
    del going_on  # It takes no time.
    texts = [textmodel.CuedText(each.text, each.cues) for each in taught]
    labels, authors = ([getattr(each, name) for each in taught] for name in ("label", "author"))
    found = challenge.learn(Lessons(texts, labels, authors, process.baseline_of(taught)), in_place, precision=precision)
    judged = found.evaluation
    figures = judged.texts, judged.accuracy, judged.coverage, judged.precision, judged.calibration_error
    return Learned(found.artefact, found.labels, *figures, found.threshold, found.messages, found.baseline_accuracy)
