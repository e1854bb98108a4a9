"""Makes the scores of a customer again as they are now, also those made online after a purchase:

    python -m scoring.score_reproduction --tenant shop --customer customers/ID

The value from the purchases that are stored with it, and the models and scales of the job that left them to score with;
the risk of leaving, where it was made online, from the features stored with it and its model. (What a job told, results
of jobs have: `scoring.jobs.reproduce`.) Run it with the environment of role `run`. The new scores are held against the
stored ones: bit for bit on the image and the kind of processor they were made on, else within 1e-9. Prints one JSON
object; exit codes: 0 equal, 1 not equal, 2 no such scores, or what they were made by is kept no longer.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from chassis.errors import NotFound
from docstore import Row
from docstore.blobs import BlobStore
from scoring import tenant_command
from scoring.domain.percentiles import Ranking
from scoring.jobs.reproduce import UNKNOWN, Reproduced
from scoring.models import churn, classifier
from scoring.settings import ScoringSettings
from scoring.store import Model, Scorer, ScoringJob
from scoring.store.scores import scores_by_any_name
from scoring.usecases import loaded_models, score_rows, what_if
from scoring.usecases.score_rows import Origin

_TOLD = (*score_rows.RANKED, "rfm", "intervals", "percentiles", "reasons", "monetary_minor")
_RISK = {churn.RISK: "probability", f"{churn.RISK}_low": "low", f"{churn.RISK}_high": "high", "reasons": "reasons"}


def value(customer: str, store: BlobStore) -> Reproduced | None:
    """Computes the lifetime value of a customer (resource name) of the current tenant again; None when there is none,
    or the job that left what it was made by is gone with its result.
    """
    row = scores_by_any_name(customer)
    if row is None or "repeat_revenue_minor" not in row:
        return None
    scorer = _scorer(row, store)
    if scorer is None:
        return None
    computed = what_if.computed(what_if.before_of(row), scorer, what_if.day_of(row))
    rankings = {name: Ranking(scorer["rankings"].get(name, ())) for name in score_rows.RANKED}
    origin = Origin(row["job"], row["model"], row["currency"], row["horizon_weeks"], row["as_of"], rankings)
    again = score_rows.values(computed | {"customer": customer}, origin, row["decision"])
    # Only what scores now is kept with its rankings.
    told = [name for name in _TOLD if name != "percentiles" or scorer["rankings"]]
    return Reproduced({name: row[name] for name in told}, {name: again[name] for name in told})


def risk(customer: str, store: BlobStore) -> Reproduced | None:
    """The same of the risk of leaving; None when there is none, or a job made it.

    Raises NotFound when its model is gone, Internal MODEL_DAMAGED when that is not what was stored.
    """
    row = scores_by_any_name(customer)
    told = (row or {}).get("churn", {})
    if "made_of" not in told:
        return None
    model: Model = Model.get(told["model"])
    of = {column.name: np.array([told["made_of"][column.name]]) for column in churn.COLUMNS}
    found = churn.told(loaded_models.load(model, store), classifier.Table.of(churn.COLUMNS, of))
    return Reproduced({name: told[name] for name in _RISK.values()}, {_RISK[name]: found[name][0] for name in _RISK})


def _scorer(row: Row, store: BlobStore) -> Mapping[str, Any] | None:
    """The models, scales and, if it is what scores now, rankings that a row was made by."""
    # A later job that left newer scores alone put its own name on them.
    made_by = row["made_by"] if "made_by" in row else row["job"]
    current = Scorer.current()
    if current and (current["job"], current["model"]) == (made_by, row["model"]):
        return current
    try:
        job: ScoringJob = ScoringJob.get(made_by)
        described = json.loads(store.get(job.result_subject, "model.json"))
    except NotFound:
        return None
    judgement = described["judgement"]
    return {"choice": judgement["scored_with"], "scales": judgement["scales"], "rankings": {}}


def _main(arguments: list[str]) -> int:
    parser = tenant_command.parser("scoring.score_reproduction", __doc__)
    parser.add_argument("--customer", required=True, help="resource name of the customer")
    given = parser.parse_args(arguments)

    def again(_: ScoringSettings, store: BlobStore) -> int:
        both = {"value": value(given.customer, store), "risk": risk(given.customer, store)}
        found = {name: each for name, each in both.items() if each is not None}
        if not found:
            sys.stderr.write("this customer has no scores that can be made again\n")
            return UNKNOWN
        sys.stdout.write(f"{json.dumps({name: each.to_dict() for name, each in found.items()})}\n")
        return 0 if all(each.equal for each in found.values()) else 1

    return tenant_command.run(given.tenant, "score_reproduction", again)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
