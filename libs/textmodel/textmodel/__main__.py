"""The process that `textmodel.process` starts: lessons on standard input, what came of them on standard output."""

import base64
import json
import math
import os
import sys
import traceback

_NICENESS = 10


def main() -> int:
    """Returns 0 once it has answered."""
    os.nice(_NICENESS)
    from textmodel.challenge import Lessons, learn
    from textmodel.terms import CuedText

    given = json.load(sys.stdin)
    in_place = given["in_place"]
    texts = [CuedText(text, tuple(cues)) for text, cues in zip(given["texts"], given["cues"], strict=True)]
    lessons = Lessons(texts, given["labels"], given["authors"], given["baseline"])
    found = learn(lessons, base64.b64decode(in_place) if in_place is not None else None, precision=given["precision"])
    judged = found.evaluation
    answer = {
        "artefact": base64.b64encode(found.artefact).decode() if found.artefact is not None else None,
        "labels": found.labels,
        "held_out_texts": judged.texts if judged else 0,
        "accuracy": judged.accuracy if judged else 0.0,
        "coverage": judged.coverage if judged else 0.0,
        "reached_precision": judged.precision if judged and not math.isnan(judged.precision) else None,
        "calibration_error": judged.calibration_error if judged else 0.0,
        "threshold": found.threshold,
        "messages": found.messages,
        "baseline_accuracy": found.baseline_accuracy,
    }
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may be somebody's
        places = (f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))
        print(type(error).__name__, *places, file=sys.stderr)
        code = 1
    sys.exit(code)
