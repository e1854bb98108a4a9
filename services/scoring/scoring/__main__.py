"""Runs a role of the scoring service: `python -m scoring serve|work|relay|run|migrate`."""

from chassis.lifecycle import run_role

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
