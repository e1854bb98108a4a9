"""What roles `run` are made of: loops that go on after a failure, in threads that begin and end together."""

import logging
import threading
from collections.abc import Callable, Sequence

import pymongo.errors

from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import Settings
from eventing.readiness import wait_migrated

_FAILED_S = 2.0
"""How long a loop waits after a failure."""

logger = logging.getLogger(__name__)


def until_stopped(
    stopping: Stopping, work: Callable[[], int], idle_s: float, rest: Callable[[], None] = lambda: None
) -> None:
    """Works until asked to stop; what a failure left claimed is taken up again when its lease ends.

    work: returns how much it found to do. After nothing, `rest` is called and `idle_s` seconds pass.
    """
    while not stopping.is_set():
        try:
            if work() == 0:
                rest()
                stopping.wait(idle_s)
        except pymongo.errors.PyMongoError as error:
            logger.warning("the database cannot be used (%s), trying again", type(error).__name__)
            stopping.wait(_FAILED_S)
        except Exception:
            logger.exception("a batch failed; it is tried again when its lease ends")
            stopping.wait(_FAILED_S)


def run_together(settings: Settings, stopping: Stopping, threads: Sequence[threading.Thread]) -> None:
    """Starts threads on a migrated database, and returns when all have ended; they end when asked to stop.

    The process is ready while they work, and is started again when one of them dies.
    """
    with Probe(settings) as probe:
        if not wait_migrated(settings.service, stopping):
            return
        for thread in threads:
            thread.start()
        probe.alive_check(lambda: stopping.is_set() or all(thread.is_alive() for thread in threads))
        probe.ready()
        for thread in threads:
            thread.join()
