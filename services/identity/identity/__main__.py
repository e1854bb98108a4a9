"""`python -m identity ROLE`."""

from chassis.lifecycle import run_role

run_role(
    "identity",
    settings="identity.settings:IdentitySettings",
    roles={
        "serve": "identity.serve:serve",
        "work": "eventing.work:run",
        "relay": "eventing.relay:run",
        "run": "identity.runner:run",
        "migrate": "identity.migrate:migrate",
    },
)
