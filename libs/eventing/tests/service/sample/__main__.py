from chassis.lifecycle import run_role

run_role(
    "sample",
    "sample.settings:SampleSettings",
    {"work": "eventing.work:run", "relay": "eventing.relay:run", "run": "sample.effects:run"},
)
