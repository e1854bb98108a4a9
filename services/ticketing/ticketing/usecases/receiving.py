"""Mails that come in are kept before they are acknowledged, once however often they come."""

import hashlib

import docstore
from chassis import clock, validation
from chassis.errors import AlreadyExists
from chassis.inputs import refusal
from docstore import Conflict, tracing, whole_milliseconds
from ticketing import mail_parsing
from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_parsing import ParsedMail
from ticketing.store import InboundMail, inbound_mails
from ticketing.store.inbound_mails import RECEIVED, RawMail
from ticketing.store.messages import Attachment


def receive(raw: bytes, *, test_environment: bool) -> InboundMail:
    """Keeps a mail, once however often it comes; what it may not be is refused with the reasons of `mail_parsing`."""
    try:
        mail = mail_parsing.parse(raw)
        sender = address_of(mail, test_environment=test_environment)
    except MailRefused as error:
        raise refusal(error.reason, "inbound_mail.raw", error.problem) from None
    return _keep(raw, mail, sender)


@docstore.command(None)
def _keep(raw: bytes, mail: ParsedMail, sender: str) -> InboundMail:
    fingerprint = _fingerprint(mail, sender)
    if known := InboundMail.find({"fingerprint": fingerprint}, limit=1):
        return known[0]
    now = whole_milliseconds(clock.now())
    note = InboundMail.new(
        fingerprint=fingerprint,
        state=RECEIVED,
        masked_sender=_masked(sender),
        sender_key=inbound_mails.sender_key(sender),
        message_id=mail.message_id or None,
        size_bytes=len(raw),
        attachments=attachments_of(mail),
        due=now,
        create_time=now,
        traceparent=tracing.current_traceparent(),
    )
    RawMail.of(note.uid, raw).insert()
    try:
        return note.insert()
    except AlreadyExists as error:
        raise Conflict(note.name) from error  # The same mail at the same time: the next attempt finds the other's.


def address_of(mail: ParsedMail, *, test_environment: bool) -> str:
    """Where a mail came from. Raises MailRefused SENDER_INVALID."""
    try:
        return validation.deliverable_email(mail.sender, test_environment=test_environment)
    except validation.Invalid:
        problem = "Its From field holds no mail address such as name@example.com."
        raise MailRefused("SENDER_INVALID", problem) from None


def _fingerprint(mail: ParsedMail, sender: str) -> str:
    """Equal for a mail that comes again, with other Received fields say; a copied Message-ID alone is not enough."""
    parts = [mail.message_id, validation.email_key(sender), mail.subject, mail.body_sha256]
    if not mail.message_id:
        parts.append(mail.date.isoformat() if mail.date else "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _masked(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def attachments_of(mail: ParsedMail) -> list[Attachment]:
    """What a mail brought, as messages and notes keep it."""
    return [
        Attachment(
            filename=each.filename,
            content_type=each.content_type,
            size_bytes=each.size_bytes,
            sha256=each.sha256 or None,
            refusal=each.refusal or None,
        )
        for each in mail.attachments
    ]
