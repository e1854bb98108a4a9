"""Role `run`: gives out leads that wait, notes promises not kept in time, erases people, removes what is over."""

import logging
import threading
from collections.abc import Callable

import pymongo.errors
from rapport.sales.v1 import events_pb2

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError
from eventing import erasing
from eventing.readiness import wait_migrated
from sales.settings import SalesSettings
from sales.store import OrderChange
from sales.usecases import assigning, deletions, promises
from sales.usecases.erasing import erase

IDLE_S = 0.4
"""How long a loop that found nothing to do waits."""
_TIDY_S = 30.0
_FAILED_S = 2.0

logger = logging.getLogger(__name__)


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
        *(threading.Thread(target=_until, args=(stopping, work, idle), name=name) for name, work, idle in loops),
        threading.Thread(target=erasing.loop, args=(settings, erase, events_pb2.SubjectErased, stopping), name="erase"),
    ]
    with Probe(settings) as probe:
        if not wait_migrated(settings.service, stopping):
            return
        for thread in threads:
            thread.start()
        probe.alive_check(lambda: stopping.is_set() or all(thread.is_alive() for thread in threads))
        probe.ready()
        for thread in threads:
            thread.join()
    docstore.disconnect()


def _tidy() -> int:
    docstore.batches.delete_expired(OrderChange)
    return 0


def _until(stopping: Stopping, work: Callable[[], int], idle_s: float) -> None:
    """Works until asked to stop; what a failure left claimed is taken up again when its lease ends."""
    while not stopping.is_set():
        try:
            if work() == 0:
                stopping.wait(idle_s)
        except pymongo.errors.PyMongoError as error:
            logger.warning("the database cannot be used (%s), trying again", type(error).__name__)
            stopping.wait(_FAILED_S)
        except Exception:
            logger.exception("a batch failed; it is tried again when its lease ends")
            stopping.wait(_FAILED_S)
