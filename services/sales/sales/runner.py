"""Role `run`: gives out leads that wait, notes promises not kept in time, erases people, removes what is over."""

import threading
from collections.abc import Callable

from rapport.sales.v1 import events_pb2

import docstore
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError
from eventing import erasing
from eventing.loops import run_together, until_stopped
from sales.settings import SalesSettings
from sales.store import OrderChange
from sales.usecases import assigning, deletions, promises
from sales.usecases.erasing import erase

IDLE_S = 0.4
"""How long a loop that found nothing to do waits."""
_TIDY_S = 30.0


def run(settings: SalesSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work. Raises ConfigurationError."""
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    docstore.connect(settings)
    loops: tuple[tuple[str, Callable[[], int], float], ...] = (
        ("assign", lambda: assigning.give_out(settings.instance), IDLE_S),
        ("promises", lambda: promises.miss_due(settings.instance), IDLE_S),
        ("purge", deletions.purge_due, _TIDY_S),
        ("tidy", _tidy, _TIDY_S),
    )
    threads = [
        *(threading.Thread(target=until_stopped, args=(stopping, work, idle), name=name) for name, work, idle in loops),
        threading.Thread(target=erasing.loop, args=(settings, erase, events_pb2.SubjectErased, stopping), name="erase"),
    ]
    run_together(settings, stopping, threads)
    docstore.disconnect()


def _tidy() -> int:
    docstore.batches.delete_expired(OrderChange)
    return 0
