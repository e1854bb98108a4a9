"""Role `run`: applies ingestion batches and removes deleted customers whose time is over."""

import functools
import logging
import threading

import pymongo.errors

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from identity.migrate import VERSION
from identity.settings import IdentitySettings
from identity.store import IngestionBatch
from identity.usecases.applying import apply_batch
from identity.usecases.purging import purge_due

logger = logging.getLogger(__name__)

PURGE_EVERY_S = 30.0
LEASE_S = 15.0
"""How long the batches of a runner that died stay unapplied; leases of long work are renewed."""
_START_RETRY_S = 2.0


def run(settings: IdentitySettings, stopping: Stopping) -> None:
    """Work until told to stop."""
    docstore.connect(settings)
    with Probe(settings) as probe:
        if not _wait_for_database(stopping):
            return
        purger = threading.Thread(target=_purge, args=(stopping,), name="purge", daemon=True)
        purger.start()
        probe.alive_check(purger.is_alive)
        probe.ready()
        docstore.batches.process(
            IngestionBatch,
            functools.partial(apply_batch, settings=settings),
            stopping,
            parallel=settings.apply_threads,
            lease_s=LEASE_S,
            owner=settings.instance,
        )
        probe.ready(False)
        purger.join()


def _wait_for_database(stopping: Stopping) -> bool:
    """Returns True once the database is at least at the code's version, False when told to stop."""
    while not stopping.is_set():
        try:
            docstore.require_version(VERSION)
            return True
        except Exception as error:  # noqa: BLE001 - not ready is not ready
            logger.warning("waiting for the database: %s", type(error).__name__)
        stopping.wait(_START_RETRY_S)
    return False


def _purge(stopping: Stopping) -> None:
    while not stopping.wait(PURGE_EVERY_S):
        try:
            while purge_due():
                continue
        except pymongo.errors.PyMongoError as error:
            logger.warning("purging waits: %s", type(error).__name__)
