"""The names of exchanges and queues on the broker; nothing outside `eventing` knows them."""

EVENTS_EXCHANGE = "rapport.events"

RETRY_DELAYS_MS = {"1s": 1_000, "10s": 10_000, "60s": 60_000}
"""How long a failed message waits before its next attempt: the first, second and third time."""


def queue(service: str, *, urgent: bool = False) -> str:
    """The queue a service's worker consumes."""
    return f"{service}.urgent" if urgent else service


def dead_queue(service: str) -> str:
    """The queue of a service's dead letters."""
    return f"{service}.dead"


def retry_exchange(delay: str) -> str:
    """The exchange that takes messages to be delivered again after `delay`, a key of RETRY_DELAYS_MS."""
    return f"rapport.retry.{delay}"


def retry_queue(service: str, delay: str) -> str:
    """The queue in which a service's messages wait for `delay`."""
    return f"{service}.retry.{delay}"


def marker_exchange(version: str) -> str:
    """The exchange whose existence says that the topology of this version is declared."""
    return f"rapport.topology.{version}"


def queues_of(service: str) -> tuple[str, ...]:
    """Every queue of a service."""
    return (
        queue(service),
        queue(service, urgent=True),
        *(retry_queue(service, delay) for delay in RETRY_DELAYS_MS),
        dead_queue(service),
    )
