"""Role `run`: moves people on, sends what is due, tells consent who unsubscribed, erases people."""

import threading

from rapport.campaigns.v1 import events_pb2

import docstore
from campaigns.settings import CampaignsSettings
from campaigns.store import EntryNotice
from campaigns.usecases import advancing, sending, unsubscribing
from campaigns.usecases.erasing import erase
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError
from chassis.smtp import Mailer
from docstore import batches
from eventing import erasing
from eventing.loops import run_together, until_stopped

IDLE_S = 0.4
"""How long a loop that found nothing to do waits."""
TIDY_EVERY_S = 60.0


def run(settings: CampaignsSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work. Raises ConfigurationError."""
    if not settings.mail_from:
        raise ConfigurationError("RAPPORT_MAIL_FROM", "is not set: messages need a sender")
    if "consent" not in settings.upstreams:
        raise ConfigurationError("RAPPORT_UPSTREAMS", "names no address of 'consent', which decides on every message")
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    docstore.connect(settings)
    turn = threading.Lock()
    threads = [
        threading.Thread(
            target=until_stopped, args=(stopping, lambda: advancing.advance(settings), IDLE_S), name="advance"
        ),
        threading.Thread(
            target=until_stopped, args=(stopping, lambda: unsubscribing.tell_consent(settings), IDLE_S), name="tell"
        ),
        threading.Thread(target=until_stopped, args=(stopping, _tidy, TIDY_EVERY_S), name="tidy"),
        threading.Thread(target=erasing.loop, args=(settings, erase, events_pb2.SubjectErased, stopping), name="erase"),
        *(
            threading.Thread(target=_send_until, args=(settings, stopping, turn), name=f"send-{number}")
            for number in range(settings.send_threads)
        ),
    ]
    run_together(settings, stopping, threads)
    docstore.disconnect()


def _send_until(settings: CampaignsSettings, stopping: Stopping, turn: threading.Lock) -> None:
    """Sends what is due; of the threads that share `turn` and find nothing to do, one at a time waits and looks again.

    A message waits no longer for it, and an idle process asks the database as often as one thread alone.
    """
    with Mailer(settings) as mailer:

        def rest() -> None:
            mailer.close()
            with turn:
                stopping.wait(IDLE_S)

        until_stopped(stopping, lambda: sending.send_due(settings, mailer), 0.0, rest)


def _tidy() -> int:
    """Removes what only carried events that are out."""
    return batches.delete_expired(EntryNotice)
