"""Reads a mail (RFC 5322, MIME) as it came: any bytes become a value or a refusal, in bounded time.

`mail_parts` reads what is after its header.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime

from ticketing.domain import mail_limits, mail_text
from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_fields import VALUE_MAX, Fields, decoded_words
from ticketing.mail_parts import MailAttachment, MailParts

TEXT_MAX = 50_000
"""Characters of text that are kept."""
LOOP_HEADER = "X-Loop"
"""The field in which senders put what lets them know their own mails, should they come back."""

AUTO_REPLY, BULK, BOUNCE = "AUTO_REPLY", "BULK", "BOUNCE"

_REFERENCES_MAX = 50
_ADDRESS_MAX = 254
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{2,8}){0,3}")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}>")
_SEPARATORS = re.compile(r"[\s<>,;:\"()\[\]]+")


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """A mail. text: what the sender wrote; whole_text: with quoted history and signature.

    references: Message-IDs of the mails it answers, the nearest first. automatic: AUTO_REPLY, BULK or BOUNCE when no
    person wrote it. loop_marks: values of X-Loop. date: as stated, UTC. body_sha256: of everything after the header.
    """

    sender: str
    sender_name: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    references: tuple[str, ...]
    date: datetime | None
    language_code: str
    text: str
    whole_text: str
    attachments: tuple[MailAttachment, ...]
    automatic: str
    loop_marks: tuple[str, ...]
    body_sha256: str


def parse(raw: bytes) -> ParsedMail:
    """The mail. Raises MailRefused, with the reasons of `domain.mail_limits` and SENDER_MISSING, SENDER_INVALID."""
    mail_limits.check_size(raw)
    header, body = mail_limits.split_header(raw)
    fields = Fields(header)
    sender, sender_name = _sender(fields)
    parts = MailParts()
    fragments = parts.read(fields, body, 1)
    whole = mail_text.clean("\n\n".join(text for _, text in fragments if text.strip()))[:TEXT_MAX]
    return ParsedMail(
        sender=sender,
        sender_name=sender_name,
        recipients=_recipients(fields),
        subject=mail_text.clean_line(fields.text("Subject"))[:VALUE_MAX],
        message_id=next(iter(_message_ids(fields.text("Message-ID"))), ""),
        references=_references(fields),
        date=_date(fields.text("Date")),
        language_code=_language(fields.text("Content-Language")),
        text=mail_text.new_words(whole),
        whole_text=whole,
        attachments=tuple(parts.attachments),
        automatic=_automatic(fields),
        loop_marks=tuple(mail_text.clean_line(value)[:VALUE_MAX] for value in fields.all(LOOP_HEADER)[:20]),
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


def _sender(fields: Fields) -> tuple[str, str]:
    value = next((value for value in fields.all("From") if value), "")[:VALUE_MAX]
    if not value:
        raise MailRefused("SENDER_MISSING", "It has no From field; give it one with the sender's address.")
    if value.count("(") > 5:  # Comments nest, and the email package follows them by recursion.
        value = value.replace("(", " ").replace(")", " ")
    name, address = parseaddr(value)
    local, at, domain = address.rpartition("@")
    if not (local and at and domain and "." in domain.strip(".")) or len(address) > _ADDRESS_MAX or not _plain(address):
        raise MailRefused("SENDER_INVALID", "Its From field holds no mail address such as name@example.com.")
    return address, mail_text.clean_line(decoded_words(name))[:200]


def _plain(address: str) -> bool:
    return address.isprintable() and not any(character.isspace() for character in address)


def _recipients(fields: Fields) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc"):
        for value in fields.all(name)[:20]:
            for word in _SEPARATORS.split(value[: 4 * VALUE_MAX]):
                if "@" in word and len(word) <= _ADDRESS_MAX and _plain(word):
                    found[mail_text.clean_line(word)] = None
    return tuple(found)[:100]


def _references(fields: Fields) -> tuple[str, ...]:
    answered = _message_ids(fields.text("In-Reply-To"))
    thread = _message_ids(next(iter(fields.all("References")), "")[-8 * VALUE_MAX :])
    return tuple(dict.fromkeys([*answered, *reversed(thread)]))[:_REFERENCES_MAX]


def _message_ids(value: str) -> list[str]:
    return [mail_text.clean_line(found) for found in _MESSAGE_ID.findall(value)]


def _date(value: str) -> datetime | None:
    try:
        stated = parsedate_to_datetime(value[:100])
        return (stated if stated.tzinfo else stated.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _language(value: str) -> str:
    code = value.partition(",")[0].strip()
    return code if _LANGUAGE.fullmatch(code) else ""


def _automatic(fields: Fields) -> str:
    """What says that no person wrote it (RFC 3834, RFC 3464, and what is usual)."""

    def first_word(name: str) -> str:
        return (fields.text(name).lower().replace(";", " ").split() or [""])[0]

    returned = fields.has("Return-Path") and fields.text("Return-Path").strip() == "<>"
    if fields.structured().get_content_type() == "multipart/report" or fields.has("X-Failed-Recipients") or returned:
        return BOUNCE
    if first_word("Precedence") in ("bulk", "junk"):
        return BULK
    submitted = first_word("Auto-Submitted")
    if submitted not in ("", "no") or first_word("Precedence") == "auto_reply":
        return AUTO_REPLY
    return AUTO_REPLY if any(fields.has(name) for name in ("X-Autoreply", "X-Autorespond")) else ""
