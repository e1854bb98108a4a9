"""Mails that were received (`usecases.receiving`) are brought into a ticket, exactly once.

Attachments are stored before the one transaction that writes ticket, message and note; a repeat after a crash stores
the same files under the same names and writes the same ticket, whose uid is that of the note.
"""

import logging
import re
from datetime import timedelta

import pymongo.errors

import docstore
from chassis import clock, metric_names, telemetry, tenancy, validation
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from chassis.keys import InvalidToken
from docstore import Row, blobs, due, leases, tracing, whole_milliseconds
from sentiment import language_of, words_of
from ticketing import knowing, mail_parsing, sending
from ticketing.domain.classification import classify
from ticketing.domain.mail_limits import MailRefused
from ticketing.knowing import IdentityAway, SenderErased, Writer
from ticketing.mail_parsing import ParsedMail
from ticketing.settings import TicketingSettings
from ticketing.store import InboundMail, Ticket, inbound_mails, outgoing_mails
from ticketing.store.inbound_mails import FAILED, IGNORED, PROCESSED
from ticketing.store.messages import CUSTOMER
from ticketing.usecases import hearing, messages, tickets
from ticketing.usecases.hearing import Suggested
from ticketing.usecases.opening import Opening, Said
from ticketing.usecases.receiving import address_of, attachments_of

BATCH = 10
LEASE_S = 60.0
SUBJECT_MAX = 300
EMAIL = "CHANNEL_EMAIL"
LOOP = "LOOP"
"""Why a mail of ours that came back is ignored."""
ERASED_PERSON = "ERASED_PERSON"
"""Why a mail fails whose sender was erased after it came: nothing of it or them is kept."""
_RETRY_FIRST, _RETRY_MAX = timedelta(seconds=2), timedelta(minutes=5)
_FAILURES_MAX = 20
_EARLIER_MAIL_PAUSE = timedelta(seconds=1)
_LATER_MAIL_AWAITED = timedelta(seconds=30)
"""How long a mail waits for one it follows that came after it; without end two that follow each other would wait."""
_NO_TEXT = "(no text)"
_PLUS = re.compile(r"\+([a-z2-7]{16})@", re.IGNORECASE)
_TAG = re.compile(r"\[#([a-z2-7]{16})\]", re.IGNORECASE)

logger = logging.getLogger(__name__)


def process_due(settings: TicketingSettings) -> int:
    """Brings mails of all tenants into tickets; returns how many it looked at."""

    def deal_with(row: Row) -> None:
        with tracing.continued(row.get("traceparent"), "process inbound mail"):
            try:
                _process(settings, row)
            except pymongo.errors.PyMongoError:
                raise
            except Exception:
                logger.exception("a mail cannot be dealt with now", extra={"tenant": row["tenant"]})
                _wait_or_fail(row, "INTERNAL")

    return due.work(InboundMail, BATCH, LEASE_S, settings.instance, "process inbound mail", deal_with)


def _process(settings: TicketingSettings, row: Row) -> None:
    """Deals with one claimed mail, or says what it waits for."""
    try:
        raw = inbound_mails.raw_mail(row["uid"])
        if raw is None:
            raise MailRefused("RAW_GONE", "")
        mail = mail_parsing.parse(raw)
        sender = address_of(mail, test_environment=settings.environment == "test")
    except MailRefused as error:
        _end(row, FAILED, error.reason)
        return
    except InvalidToken:
        _end(row, FAILED, "KEY_GONE")
        return
    ours = sending.loop_mark(tenancy.tenant()) in mail.loop_marks or outgoing_mails.is_ours(mail.message_id)
    automatic = LOOP if ours else mail.automatic
    thread = None if automatic in (LOOP, mail_parsing.BULK) else _thread(mail, sender)
    if automatic and thread is None:
        _end(row, IGNORED, automatic)
    elif thread is None and inbound_mails.waiting_among(list(mail.references), row["uid"], later=_is_new(row)):
        _wait(row, "EARLIER_MAIL_WAITING", _EARLIER_MAIL_PAUSE)
    else:
        try:
            _into_ticket(settings, row, mail, sender, thread)
        except IdentityAway as error:
            logger.warning("identity does not answer (%s): a mail waits", error.code)
            _wait(row, "IDENTITY_AWAY", _pause(row["attempts"]))
        except SenderErased:
            _end(row, FAILED, ERASED_PERSON)
        except InvalidArgument as error:
            _end(row, FAILED, error.reason)


def _into_ticket(settings: TicketingSettings, row: Row, mail: ParsedMail, sender: str, thread: Ticket | None) -> None:
    customer = thread.customer if thread else _customer(settings, row, mail, sender)
    ticket = thread.uid if thread else str(row["uid"])
    store = blobs.store(settings)
    said = Said(
        text=mail.text or _NO_TEXT,
        author=CUSTOMER,
        channel=EMAIL,
        uid=row["uid"],
        message_id=mail.message_id,
        attachments=attachments_of(mail),
        automatic=bool(mail.automatic),
    )
    if thread:
        suggested, said = None, hearing.words(said, thread.language_code or "", store)
    else:
        suggested, said = hearing.first_words(_subject(mail), said, _language_of(mail), store)
    if kept := [each for each in mail.attachments if each.content]:
        for each in kept:
            store.put(f"tickets/{ticket}", each.sha256, each.content)
    try:
        _write(row, mail, said, sender, customer or "", ticket if thread else "", suggested)
    except (FailedPrecondition, NotFound) as error:
        # The person was erased, or the ticket deleted, since it was looked up: looked up again, it is another one.
        if not thread and kept:
            store.delete_subject(f"tickets/{ticket}")
        logger.warning("a mail is looked at again: %s", error.reason)
        _wait_or_fail(row, error.reason)
    else:
        # Only an erasure removes the note of a mail in hand, and with it all the sender's tickets lose their files.
        if kept and InboundMail.rows().find_one({"uid": row["uid"]}, {"_id": 1}) is None:
            store.delete_subject(f"tickets/{ticket}")


@docstore.command(None)
def _write(
    row: Row, mail: ParsedMail, said: Said, sender: str, customer: str, thread: str, suggested: Suggested | None
) -> InboundMail:
    """Ticket or message, and the note, in one transaction."""
    held = InboundMail.rows().find_one(leases.held(row), {"outbox": 0})
    note = InboundMail.from_row(held or row)
    if held is None:  # Somebody else has claimed it: they do it.
        return note
    now = whole_milliseconds(clock.now())
    if thread:
        note.message, note.ticket = messages.post(thread, said).name, f"tickets/{thread}"
    else:
        ticket = tickets.create(_opening(mail, said, sender, customer), said, suggested)
        note.ticket, note.message = ticket.name, f"{ticket.name}/messages/{note.uid}"
    note.customer = customer or None
    note.end(PROCESSED, now)
    inbound_mails.let_raw_go(note.uid, now)
    return note.save()


def _opening(mail: ParsedMail, said: Said, sender: str, customer: str) -> Opening:
    found = classify(mail.subject, mail.text, said.mood.score if said.mood else 0.0)
    return Opening(
        uid=said.uid,
        subject=_subject(mail),
        channel=EMAIL,
        kind=found.kind,
        kind_reason=found.kind_reason,
        priority=found.priority,
        customer=customer,
        requester_email=sender,
        language_code=_language_of(mail),
    )


def _subject(mail: ParsedMail) -> str:
    return mail.subject[:SUBJECT_MAX].strip() or "(no subject)"


def _customer(settings: TicketingSettings, row: Row, mail: ParsedMail, sender: str) -> str:
    writer = Writer(sender, mail.sender_name, _language_of(mail), row["create_time"], row["uid"])
    return knowing.customer_of(settings, writer)


def _thread(mail: ParsedMail, sender: str) -> Ticket | None:
    """The ticket a mail answers, if its sender is who asked in it: nobody writes into another's ticket."""
    tokens = [found.lower() for found in _TAG.findall(mail.subject)]
    tokens += [found[1].lower() for address in mail.recipients if (found := _PLUS.search(address))]
    named = outgoing_mails.tickets_of_messages(list(mail.references)) + outgoing_mails.tickets_of_tokens(tokens)
    named_tickets = Ticket.get_many(named)
    key = validation.email_key(sender)
    own = (named_tickets[each] for each in named if each in named_tickets)
    return next((each for each in own if validation.email_key(each.requester_email or "") == key), None)


def _end(row: Row, state: str, reason: str) -> None:
    ended = docstore.in_transaction(lambda: _ended(row, state, reason))
    if ended and state == FAILED:
        telemetry.counter(metric_names.INBOUND_MAIL_FAILED).add(1, {"rapport.mail.reason": reason})


def _ended(row: Row, state: str, reason: str) -> bool:
    """False when somebody else has claimed it meanwhile."""
    now = whole_milliseconds(clock.now())
    changes = {
        "state": state,
        "reason": reason,
        "process_time": now,
        "update_time": now,
        "purge_after_time": now + inbound_mails.NOTE_KEPT_FOR,
    }
    update = {"$set": changes, "$unset": {"due": "", "lease": ""}, "$inc": {"version": 1}}
    if not InboundMail.rows().update_one(leases.held(row), update).matched_count:
        return False
    if reason == ERASED_PERSON:
        inbound_mails.forget_sender(row["uid"])
    else:
        inbound_mails.let_raw_go(row["uid"], now)
    return True


def _wait(row: Row, reason: str, pause: timedelta, *, failed: int = 0) -> None:
    changes = {"reason": reason, "due": clock.now() + pause}
    update = {"$set": changes, "$unset": {"lease": ""}, "$inc": {"version": 1, "attempts": 1, "failures": failed}}
    InboundMail.rows().update_one(leases.held(row), update)


def _wait_or_fail(row: Row, reason: str) -> None:
    """Tries again later what should not have happened, at most twenty times: some three quarters of an hour.

    Waiting for identity or for another mail is no failure, however often.
    """
    failures = row.get("failures", 0)
    if failures + 1 >= _FAILURES_MAX:
        _end(row, FAILED, reason)
    else:
        _wait(row, reason, _pause(failures), failed=1)


def _pause(times: int) -> timedelta:
    return min(_RETRY_MAX, _RETRY_FIRST * int(2 ** min(times, 10)))


def _is_new(row: Row) -> bool:
    return bool(clock.now() - row["create_time"] < _LATER_MAIL_AWAITED)


def _language_of(mail: ParsedMail) -> str:
    code = mail.language_code or language_of(words_of(mail.text))
    try:
        return validation.language(code) if code else ""
    except validation.Invalid:
        return ""
