"""The events that contracts are known by, as clients send them by `track`.

They are kept as long as purchases are (`usecases.retention`): a contract of years would lose its start otherwise.
"""

STARTED, RENEWED = "Subscription Started", "Subscription Renewed"
CANCELLED, ENDED = "Subscription Cancelled", "Subscription Ended"
SUBSCRIPTION_EVENTS = (STARTED, RENEWED, CANCELLED, ENDED)
"""`Subscription Ended` says the same as `Subscription Cancelled`: the contract is not renewed any more."""
