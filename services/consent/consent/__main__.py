"""Runs a role of the consent service: `python -m consent serve|work|relay|run|migrate`."""

from chassis.lifecycle import run_role

run_role(
    "consent",
    "consent.settings:ConsentSettings",
    {
        "serve": "consent.servicer:serve",
        "work": "eventing.work:run",
        "relay": "eventing.relay:run",
        "run": "consent.runner:run",
        "migrate": "consent.migrate:role",
    },
)
