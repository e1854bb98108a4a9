"""Domain events that cannot get lost: subscriptions, the worker, the relay, the topology, timers, dead letters."""
