"""Role `run`: applies ingestion batches, removes deleted customers whose time is over, erases people."""

import functools
import logging
import threading

import pymongo.errors
from rapport.identity.v1 import events_pb2

import docstore
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError
from eventing import erasing
from eventing.readiness import wait_migrated
from identity.settings import IdentitySettings
from identity.store import IngestionBatch
from identity.usecases.applying import apply_batch
from identity.usecases.erasing import erase
from identity.usecases.purging import purge_due

logger = logging.getLogger(__name__)

PURGE_EVERY_S = 30.0
LEASE_S = 15.0
"""How long the batches of a runner that died stay unapplied; leases of long work are renewed."""


def run(settings: IdentitySettings, stopping: Stopping) -> None:
    """Work until told to stop. Raises ConfigurationError."""
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    docstore.connect(settings)
    with Probe(settings) as probe:
        if not wait_migrated(settings.service, stopping):
            return
        threads = [
            threading.Thread(target=_purge, args=(stopping,), name="purge", daemon=True),
            threading.Thread(target=_erase, args=(settings, stopping), name="erase", daemon=True),
        ]
        for thread in threads:
            thread.start()
            probe.alive_check(thread.is_alive)
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
        for thread in threads:
            thread.join()


def _erase(settings: IdentitySettings, stopping: Stopping) -> None:
    erasing.loop(settings, functools.partial(erase, settings=settings), events_pb2.SubjectErased, stopping)


def _purge(stopping: Stopping) -> None:
    while not stopping.wait(PURGE_EVERY_S):
        try:
            while purge_due():
                continue
        except pymongo.errors.PyMongoError as error:
            logger.warning("purging waits: %s", type(error).__name__)
