"""Role `run`: moves people on, sends what is due, tells consent who unsubscribed, erases people."""

import logging
import threading
from collections.abc import Callable

import pymongo.errors
from rapport.campaigns.v1 import events_pb2

import docstore
from campaigns.settings import CampaignsSettings
from campaigns.store import EntryNotice
from campaigns.usecases import advancing, sending, unsubscribing
from campaigns.usecases.erasing import erase
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError
from chassis.smtp import Mailer
from docstore import batches
from eventing import erasing
from eventing.readiness import wait_migrated

IDLE_S = 0.4
"""How long a loop that found nothing to do waits."""
_FAILED_S = 2.0
TIDY_EVERY_S = 60.0

logger = logging.getLogger(__name__)


def run(settings: CampaignsSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work. Raises ConfigurationError."""
    if not settings.mail_from:
        raise ConfigurationError("RAPPORT_MAIL_FROM", "is not set: messages need a sender")
    if "consent" not in settings.upstreams:
        raise ConfigurationError("RAPPORT_UPSTREAMS", "names no address of 'consent', which decides on every message")
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    docstore.connect(settings)
    threads = [
        threading.Thread(target=_until, args=(stopping, lambda: advancing.advance(settings)), name="advance"),
        threading.Thread(target=_until, args=(stopping, lambda: unsubscribing.tell_consent(settings)), name="tell"),
        threading.Thread(target=_until, args=(stopping, _tidy), kwargs={"idle_s": TIDY_EVERY_S}, name="tidy"),
        threading.Thread(target=erasing.loop, args=(settings, erase, events_pb2.SubjectErased, stopping), name="erase"),
        *(
            threading.Thread(target=_send_until, args=(settings, stopping), name=f"send-{number}")
            for number in range(settings.send_threads)
        ),
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


def _send_until(settings: CampaignsSettings, stopping: Stopping) -> None:
    with Mailer(settings) as mailer:
        _until(stopping, lambda: sending.send_due(settings, mailer), mailer.close)


def _tidy() -> int:
    """Removes what only carried events that are out."""
    return batches.delete_expired(EntryNotice)


def _until(
    stopping: Stopping,
    work: Callable[[], int],
    rest: Callable[[], None] = lambda: None,
    idle_s: float = IDLE_S,
) -> None:
    """Works until asked to stop; what a failure left claimed is taken up again when its lease ends."""
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
