"""Runs a role of the sales service: `python -m sales serve|work|relay|run|migrate`."""

from chassis.lifecycle import run_role

run_role(
    "sales",
    "sales.settings:SalesSettings",
    {
        "serve": "sales.servicer:serve",
        "work": "eventing.work:run",
        "relay": "eventing.relay:run",
        "run": "sales.runner:run",
        "migrate": "sales.migrate:role",
    },
)
