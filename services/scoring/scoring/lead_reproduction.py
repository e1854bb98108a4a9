"""Makes the score of a lead again, from its facts as they were when it came and the stored model that told it:

    python -m scoring.lead_reproduction --tenant shop --lead leads/ID

Run it with the environment of role `run`. The new score is held against the stored one: bit for bit on the image and
the kind of processor it was made on, else within 1e-9. Prints one JSON object; exit codes: 0 equal, 1 not equal, 2 no
such score.
"""

import argparse
import json
import logging
import sys

import docstore
from chassis import tenancy
from chassis.errors import RapportError
from chassis.settings import ConfigurationError, load
from docstore import blobs
from docstore.blobs import BlobStore
from scoring.jobs.reproduce import Reproduced
from scoring.models import lead_conversion
from scoring.settings import ScoringSettings
from scoring.store import Lead, Model
from scoring.usecases import loaded_models

_TOLD = ("probability", "low", "high", "percentile", "reasons")
_UNKNOWN = 2


def reproduce(name: str, store: BlobStore) -> Reproduced | None:
    """Computes the score of a lead (resource name) of the current tenant again; None when it has none.

    Raises NotFound when its model is gone, Internal MODEL_DAMAGED when that is not what was stored.
    """
    row = Lead.rows().find_one({"uid": name.removeprefix("leads/")}, {"facts": 1, "score": 1})
    if row is None or not row.get("score"):
        return None
    model: Model = Model.get(row["score"]["model"])
    (told,) = lead_conversion.tell(loaded_models.load(model, store), [row["facts"]])
    reasons = [{"fact": fact, "points": points, "text": text} for fact, points, text in told.reasons]
    computed = {"probability": told.probability, "low": told.low, "high": told.high, "percentile": told.percentile}
    return Reproduced({name: row["score"][name] for name in _TOLD}, {**computed, "reasons": reasons})


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scoring.lead_reproduction", description=__doc__)
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--lead", required=True, help="resource name of the lead")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        settings = load(ScoringSettings, service="scoring", role="run")
        docstore.connect(settings)
        with tenancy.service_context(given.tenant, method="lead_reproduction"):
            found = reproduce(given.lead, blobs.store(settings))
    except (ConfigurationError, RapportError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if found is None:
        sys.stderr.write("this lead has no score\n")
        return _UNKNOWN
    told = {"equal": found.equal, "close": found.close, "recorded": found.recorded, "computed": found.computed}
    sys.stdout.write(f"{json.dumps(told)}\n")
    return 0 if found.equal else 1


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
