"""The process of the access service: `python -m access ROLE`."""

from chassis.lifecycle import run_role

if __name__ == "__main__":
    run_role(
        "access",
        settings="access.settings:Settings",
        roles={"serve": "access.serve:serve", "relay": "eventing.relay:run", "migrate": "access.migrate:migrate"},
    )
