"""Answers that leave by e-mail: noted in the answer's own transaction, rendered, stored and sent by `run`.

At least once, always as the same mail with the same Message-ID, which the message has before the first attempt; the
message is stamped once the server took it.
"""

import logging
from datetime import timedelta

import docstore
from chassis import clock, metric_names, telemetry, tenancy
from chassis.keys import InvalidToken
from chassis.smtp import Mailer, PermanentMailError, TransientMailError
from docstore import Row, due, tracing
from ticketing import sending
from ticketing.settings import TicketingSettings
from ticketing.store import OutgoingMail, Ticket, TicketMessage, outgoing_mails
from ticketing.store.outgoing_mails import CANCELLED, REFUSED, SENT, WAITING

BATCH = 10
LEASE_S = 60.0
RETRY_FIRST, RETRY_MAX = timedelta(seconds=5), timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=3)

logger = logging.getLogger(__name__)


def queue_answer(ticket: Ticket, message: TicketMessage) -> None:
    """Leaves an agent's answer for sending, inside the caller's transaction; the message is stored after it."""
    OutgoingMail.new(
        uid=message.uid,
        ticket=ticket.uid,
        token=sending.reply_token(tenancy.tenant(), ticket.uid),
        state=WAITING,
        due=clock.now(),
        traceparent=tracing.current_traceparent(),
        create_time=clock.now(),
    ).insert()


def send_due(settings: TicketingSettings, mailer: Mailer) -> int:
    """Sends answers of all tenants that are due; returns how many it looked at."""

    def send(rows: list[Row]) -> None:
        for index, row in enumerate(rows):
            with tracing.continued(row.get("traceparent"), "send answer"):
                there = _send(settings, mailer, row)
            if not there:
                due.hand_back(OutgoingMail, rows[index + 1 :], RETRY_FIRST.total_seconds())
                break

    return due.work_by_tenant(OutgoingMail, BATCH, LEASE_S, settings.instance, "send answer", send)


def _send(settings: TicketingSettings, mailer: Mailer, row: Row) -> bool:
    """One attempt; False when the mail server is not there for anybody."""
    try:
        ready = _written_down(settings, row)
        if ready is None:
            return True
        sender, recipient, raw = sending.unsealed(ready)
    except InvalidToken:
        _end(row, CANCELLED)
        return True
    try:
        mailer.send(raw, ready["message_id"], sender, recipient)
    except PermanentMailError as error:
        logger.warning("the mail server refused an answer for good", extra={"smtp_code": error.code})
        _count("refused")
        _end(row, REFUSED, error.code)
    except TransientMailError as error:
        logger.warning("the mail server is not there for us", extra={"smtp_code": error.code})
        _count("deferred")
        if clock.now() - row["create_time"] > GIVEN_UP_AFTER:
            _end(row, REFUSED, error.code)
        else:
            pause = min(RETRY_MAX, RETRY_FIRST * 2 ** min(row["attempts"], 10))
            changes = {"attempts": row["attempts"] + 1, "smtp_code": error.code}
            outgoing_mails.settle(row, changes, due=clock.now() + pause)
        return error.code is not None
    else:
        _count("sent")
        docstore.in_transaction(lambda: _sent(row))
    return True


def _written_down(settings: TicketingSettings, row: Row) -> Row | None:
    """The row with its mail stored; None when there is nothing to send any more, or another process has it."""
    if row.get("sealed"):
        return row
    tickets, said = Ticket.get_many([row["ticket"]]), TicketMessage.get_many([row["uid"]])
    if not tickets or not said or not tickets[row["ticket"]].requester_email:
        _end(row, CANCELLED)
        return None
    ticket, message = tickets[row["ticket"]], said[row["uid"]]
    thread = outgoing_mails.thread_of(ticket.uid, message.create_time)
    written = sending.render(settings, row, ticket, message, thread, outgoing_mails.tenant_profile())
    return docstore.in_transaction(lambda: outgoing_mails.write_down(row, written))


def _sent(row: Row) -> None:
    now = clock.now()
    if outgoing_mails.settle(row, {"state": SENT, "end_time": now}):
        TicketMessage.rows().update_one({"uid": row["uid"]}, {"$set": {"send_time": now}})


def _end(row: Row, state: str, smtp_code: int | None = None) -> None:
    outgoing_mails.settle(row, {"state": state, "end_time": clock.now(), "smtp_code": smtp_code})


def _count(outcome: str) -> None:
    telemetry.counter(metric_names.MAIL_SENT).add(1, {"rapport.mail.outcome": outcome})
