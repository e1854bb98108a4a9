"""The process of the gateway: `python -m gateway ROLE`."""

from chassis.lifecycle import run_role

if __name__ == "__main__":
    run_role("gateway", settings="gateway.settings:Settings", roles={"serve": "gateway.serve:serve"})
