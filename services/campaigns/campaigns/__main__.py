"""Runs a role of the campaigns service: `python -m campaigns serve|work|relay|run|migrate`."""

from chassis.lifecycle import run_role

run_role(
    "campaigns",
    "campaigns.settings:CampaignsSettings",
    {
        "serve": "campaigns.servicer:serve",
        "work": "eventing.work:run",
        "relay": "eventing.relay:run",
        "run": "campaigns.runner:run",
        "migrate": "campaigns.migrate:role",
    },
)
