"""Role `run`: applies ingestion batches and removes deleted customers whose time is over."""

import functools
import logging
import threading

import pymongo.errors

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from eventing.readiness import wait_migrated
from identity.settings import IdentitySettings
from identity.store import IngestionBatch
from identity.usecases.applying import apply_batch
from identity.usecases.purging import purge_due

logger = logging.getLogger(__name__)

PURGE_EVERY_S = 30.0
LEASE_S = 15.0
"""How long the batches of a runner that died stay unapplied; leases of long work are renewed."""


def run(settings: IdentitySettings, stopping: Stopping) -> None:
    """Work until told to stop."""
    docstore.connect(settings)
    with Probe(settings) as probe:
        if not wait_migrated(settings.service, stopping):
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


def _purge(stopping: Stopping) -> None:
    while not stopping.wait(PURGE_EVERY_S):
        try:
            while purge_due():
                continue
        except pymongo.errors.PyMongoError as error:
            logger.warning("purging waits: %s", type(error).__name__)
