"""Runs a role of the ticketing service: `python -m ticketing serve|work|relay|run|migrate`."""

from chassis.lifecycle import run_role

run_role(
    "ticketing",
    "ticketing.settings:TicketingSettings",
    {
        "serve": "ticketing.servicer:serve",
        "work": "eventing.work:run",
        "relay": "eventing.relay:run",
        "run": "ticketing.runner:run",
        "migrate": "ticketing.migrate:role",
    },
)
