"""Runs a role of the scoring service: `python -m scoring serve|work|relay|run|migrate`."""

import os

from chassis.lifecycle import run_role

# Role `run` computes on small matrices: a thread for each core would mostly spin, waiting for its part. They are
# counted when numpy is loaded, which is later.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

run_role(
    "scoring",
    "scoring.settings:ScoringSettings",
    {
        "serve": "scoring.serve:serve",
        "work": "eventing.work:run",
        "relay": "eventing.relay:run",
        "run": "scoring.runner:run",
        "migrate": "scoring.migrate:role",
    },
)
