"""Role `run`: assigns tickets, keeps the time of service levels."""

import logging
import threading
from collections.abc import Callable

import pymongo.errors

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from eventing.readiness import wait_migrated
from ticketing.settings import TicketingSettings
from ticketing.usecases import timekeeping

IDLE_S = 0.5
"""How long a loop that found nothing to do waits."""
_FAILED_S = 2.0

logger = logging.getLogger(__name__)


def run(settings: TicketingSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work."""
    docstore.connect(settings)
    threads = [
        threading.Thread(target=_until, args=(stopping, lambda: timekeeping.keep_time(settings)), name="keep-time"),
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


def _until(stopping: Stopping, work: Callable[[], int]) -> None:
    """Works until asked to stop; what a failure left claimed is taken up again when its lease ends."""
    while not stopping.is_set():
        try:
            if work() == 0:
                stopping.wait(IDLE_S)
        except pymongo.errors.PyMongoError as error:
            logger.warning("the database cannot be used (%s), trying again", type(error).__name__)
            stopping.wait(_FAILED_S)
        except Exception:
            logger.exception("a batch failed; it is tried again when its lease ends")
            stopping.wait(_FAILED_S)
