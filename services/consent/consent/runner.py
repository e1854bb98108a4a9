"""Role `run`: fires timers, sends confirmation messages, seals records, erases people."""

import logging
import threading
from datetime import timedelta
from typing import Any

import pymongo.errors
from rapport.consent.v1.events_pb2 import SubjectErased

import docstore
from chassis import clock, metric_names, telemetry, tenancy
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError
from chassis.smtp import Mailer, PermanentMailError, TransientMailError
from consent.mail import Mail
from consent.settings import ConsentSettings
from consent.store import OptInMail, mails
from consent.usecases import erasures, opt_ins, sealing
from consent.usecases.erasing import erase
from docstore import blobs
from eventing import erasing, timers
from eventing.readiness import wait_migrated

SEAL_INTERVAL_S = 0.25
TIMER_LEASE_S = 6.0
"""How long a message waits for another runner when one was killed while sending it."""
_RETRY_FIRST = timedelta(seconds=5)
_RETRY_MAX = timedelta(minutes=15)

logger = logging.getLogger(__name__)


def run(settings: ConsentSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work. Raises ConfigurationError."""
    if not settings.blob_url:
        raise ConfigurationError("RAPPORT_BLOB_URL", "is not set: signed checkpoints need a place of their own")
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    store = blobs.store(settings)
    docstore.connect(settings)
    register_timers(settings)
    telemetry.gauge(metric_names.CONSENT_UNSEALED_AGE, lambda: [(sealing.oldest_waiting_age(), {})])
    telemetry.gauge(metric_names.ERASURE_OLDEST_AGE, lambda: [(erasures.oldest_open_age(), {})])
    threads = [
        threading.Thread(target=seal_until, args=(settings, store, stopping), name="sealer"),
        threading.Thread(target=erasing.loop, args=(settings, erase, SubjectErased, stopping), name="eraser"),
    ]
    with Probe(settings) as probe:
        if not wait_migrated(settings.service, stopping):
            return
        for thread in threads:
            thread.start()
        probe.alive_check(lambda: all(thread.is_alive() for thread in threads))
        probe.ready()
        timers.loop(settings, stopping, lease_s=TIMER_LEASE_S)
        for thread in threads:
            thread.join()
    docstore.disconnect()


def register_timers(settings: ConsentSettings) -> None:
    """Names what the service's timers do."""

    def send(payload: dict[str, Any], timer: timers.Timer) -> None:
        send_mail(settings, payload["mail"], timer)

    def expire(payload: dict[str, Any], _timer: timers.Timer) -> None:
        opt_ins.expire(payload["consent"])

    timers.on_timer(opt_ins.MAIL_TIMER, external=True)(send)
    timers.on_timer(opt_ins.EXPIRY_TIMER)(expire)


def send_mail(settings: ConsentSettings, uid: str, timer: timers.Timer) -> None:
    """Hands a stored message to the mail server: at least once, always with the same Message-ID.

    While the server is away it is tried again, at longer and longer intervals, until the question expires.
    """
    row = OptInMail.rows().find_one({"uid": uid, "state": mails.WAITING})
    if row is None:
        return
    mail = Mail.unsealed(bytes(row["sealed"]), uid)
    outcome = "sent"
    try:
        with Mailer(settings) as mailer:
            mailer.send(mail.raw, mail.message_id, mail.mail_from, mail.rcpt_to)
        mails.end(uid, mails.SENT, clock.real_now())
    except PermanentMailError as error:
        outcome = "refused"
        logger.warning("the mail server refused a confirmation message for good", extra={"smtp_code": error.code})
        mails.end(uid, mails.REFUSED, clock.real_now(), error.code)
    except TransientMailError as error:
        outcome = "deferred"
        attempts = mails.count_attempt(uid)
        logger.warning("the mail server is not there for us", extra={"smtp_code": error.code, "attempts": attempts})
        pause = min(_RETRY_MAX, _RETRY_FIRST * 2 ** min(attempts - 1, 10))
        timers.schedule(timer.key, clock.now() + pause, timer.kind, {"mail": uid})
    telemetry.counter(metric_names.MAIL_SENT).add(1, {"rapport.mail.outcome": outcome})


def seal_until(settings: ConsentSettings, store: blobs.BlobStore, stopping: Stopping) -> None:
    """Seals waiting records of all tenants, four times a second, until asked to stop."""
    failures = 0
    while not stopping.wait(min(SEAL_INTERVAL_S * 2**failures, 5.0)):
        try:
            outcomes = [_seal_tenant(settings, store, tenant) for tenant in sealing.waiting_tenants(settings)]
            good = all(outcomes)
        except pymongo.errors.PyMongoError as error:
            logger.warning("sealing waits: the database cannot be used (%s)", type(error).__name__)
            good = False
        failures = 0 if good else min(failures + 1, 5)


def _seal_tenant(settings: ConsentSettings, store: blobs.BlobStore, tenant: str) -> bool:
    """Seals one tenant's records; False when it failed, so that the others go on and this one is tried again."""
    try:
        with tenancy.service_context(tenant, method="seal"):
            sealing.seal(settings, store, settings.instance)
    except Exception:
        logger.exception("sealing failed", extra={"tenant": tenant})
        return False
    return True
