"""Role `run`: assigns tickets, keeps time, brings mails in, sends answers, teaches intent models, erases people."""

import functools
import threading

from rapport.ticketing.v1 import events_pb2

import docstore
from chassis import metric_names, telemetry
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError
from chassis.smtp import Mailer
from docstore import blobs
from eventing import erasing
from eventing.loops import run_together, until_stopped
from ticketing.settings import TicketingSettings
from ticketing.store import inbound_mails
from ticketing.usecases import inbound, learning, outgoing, timekeeping
from ticketing.usecases.erasing import erase

IDLE_S = 0.5
"""How long a loop that found nothing to do waits."""
GATHER_S = 0.25
"""How long tickets gather after a pass over them that was not full: looking at many costs little more than at one."""
LEARNING_IDLE_S = 2.0
"""How long the loop that teaches waits: nobody waits for it."""


def run(settings: TicketingSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work. Raises ConfigurationError."""
    if not settings.mail_from:
        raise ConfigurationError("RAPPORT_MAIL_FROM", "is not set: answers need a sender")
    if "identity" not in settings.upstreams:
        raise ConfigurationError("RAPPORT_UPSTREAMS", "names no address of 'identity', which knows who writes")
    if not settings.blob_url:
        raise ConfigurationError("RAPPORT_BLOB_URL", "is not set: attachments need a place")
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    files = blobs.store(settings)
    docstore.connect(settings)
    telemetry.gauge(metric_names.INBOUND_MAIL_AGE, lambda: [(inbound_mails.oldest_waiting_age(), {})])
    erase_here = functools.partial(erase, blobs=files)
    threads = [
        threading.Thread(
            target=until_stopped, args=(stopping, lambda: _keep_time(settings, stopping), IDLE_S), name="keep-time"
        ),
        threading.Thread(
            target=until_stopped, args=(stopping, lambda: inbound.process_due(settings), IDLE_S), name="mails-in"
        ),
        threading.Thread(target=_send_until, args=(settings, stopping), name="mails-out"),
        threading.Thread(
            target=until_stopped,
            args=(stopping, lambda: learning.learn_due(settings, files, stopping), LEARNING_IDLE_S),
            name="learn",
        ),
        threading.Thread(
            target=erasing.loop, args=(settings, erase_here, events_pb2.SubjectErased, stopping), name="erase"
        ),
    ]
    run_together(settings, stopping, threads)
    docstore.disconnect()


def _keep_time(settings: TicketingSettings, stopping: Stopping) -> int:
    count = timekeeping.keep_time(settings)
    if 0 < count < timekeeping.BATCH:
        stopping.wait(GATHER_S)
    return count


def _send_until(settings: TicketingSettings, stopping: Stopping) -> None:
    with Mailer(settings) as mailer:
        until_stopped(stopping, lambda: outgoing.send_due(settings, mailer), IDLE_S, mailer.close)
