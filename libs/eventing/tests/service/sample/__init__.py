"""A small service for the tests of eventing: it relays, consumes and has timers."""
