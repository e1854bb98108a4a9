"""Makes the score of a lead again, from its facts as they were when it came and the stored model that told it:

    python -m scoring.lead_reproduction --tenant shop --lead leads/ID

Run it with the environment of role `run`. The new score is held against the stored one: bit for bit on the image and
the kind of processor it was made on, else within 1e-9. Prints one JSON object; exit codes: 0 equal, 1 not equal, 2 no
such score.
"""

import sys

from docstore.blobs import BlobStore
from scoring import tenant_command
from scoring.jobs.reproduce import Reproduced, tell
from scoring.models import lead_conversion
from scoring.settings import ScoringSettings
from scoring.store import Lead, Model
from scoring.usecases import loaded_models

_TOLD = ("probability", "low", "high", "percentile", "reasons")


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
    parser = tenant_command.parser("scoring.lead_reproduction", __doc__)
    parser.add_argument("--lead", required=True, help="resource name of the lead")
    given = parser.parse_args(arguments)

    def again(_: ScoringSettings, store: BlobStore) -> int:
        return tell(reproduce(given.lead, store), "this lead has no score")

    return tenant_command.run(given.tenant, "lead_reproduction", again)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
