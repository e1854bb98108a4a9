"""Scoring with the released model, without a fit: what a job tells that trained that very model."""

import hashlib
import json

from scoring.jobs import score
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter

from .conftest import Shop, model_of


def test_the_released_model_scores_as_when_it_was_trained_and_evaluating_scores_nobody(shop: Shop) -> None:
    trained = shop.spec("trained", partitions=2)
    scores = shop.run(trained)
    judgement = model_of(trained)["judgement"]
    assert judgement["candidate"]["state"] == "CHAMPION"
    body = json.dumps(judgement["artefact"]).encode()
    stored = shop.folder / "model.json"
    stored.write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    champion = {"name": "models/m", "role": "champion", "url": str(stored), "sha256": digest}

    again = shop.spec("again", task="score", models=[champion])
    assert shop.run(again).equals(scores)
    told = model_of(again)["judgement"]
    assert told == {name: judgement[name] for name in ("scored_with", "scales")}, "and it can be made again"
    evaluated = shop.spec("evaluated", task="evaluate", models=[champion])
    files = Folder(evaluated.output)
    score.run(evaluated, files, Reporter(files))
    assert files.names() == {"model.json", "progress.json", "_SUCCESS"}
    assert model_of(evaluated)["judgement"]["outcomes"] == [], "nothing has happened since"
