"""Reads a mail (RFC 5322, MIME) as it came: any bytes become a value or a refusal, in bounded time.

Multipart bodies are split here, by their boundaries, and not by the email package, which takes seconds for a few
million lines; the package reads headers, each part's alone, after they have been counted.
"""

import base64
import binascii
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime

from ticketing.domain import mail_limits, mail_text
from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_fields import VALUE_MAX, Fields, decoded_words, in_charset

TEXT_MAX = 50_000
"""Characters of text that are kept."""
FILENAME_MAX = 150
LOOP_HEADER = "X-Loop"
"""The field in which senders put what lets them know their own mails, should they come back."""

AUTO_REPLY, BULK, BOUNCE = "AUTO_REPLY", "BULK", "BOUNCE"
NOT_DECODABLE, TOTAL_TOO_LARGE, TOO_MANY_ATTACHMENTS = "NOT_DECODABLE", "TOTAL_TOO_LARGE", "TOO_MANY_ATTACHMENTS"
"""Why an attachment is not kept, besides `domain.mail_limits`."""

_REFERENCES_MAX = 50
_ADDRESS_MAX = 254
_TEXT_SOURCE_MAX = 400_000
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{2,8}){0,3}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}>")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_SEPARATORS = re.compile(r"[\s<>,;:\"()\[\]]+")


@dataclass(frozen=True, slots=True)
class MailAttachment:
    """A file of a mail. sha256: hexadecimal; empty, as content is, when `refusal` says why it is not kept."""

    filename: str
    content_type: str
    size_bytes: int
    sha256: str = ""
    content: bytes = b""
    refusal: str = ""


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
    parts = _Parts()
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


class _Parts:
    """Walks through the parts of a mail, within the limits of all of them together."""

    def __init__(self) -> None:
        self.attachments: list[MailAttachment] = []
        self._count = 0
        self._total = 0
        self._expanded = 0

    def read(self, fields: Fields, body: bytes, depth: int) -> list[tuple[str, str]]:
        """The texts of a part, ("plain" or "html", text) each; attachments are noted."""
        if depth > mail_limits.NESTING_MAX:
            problem = (
                f"Its parts are nested more than {mail_limits.NESTING_MAX} deep; send the inner ones by themselves."
            )
            raise MailRefused("NESTED_TOO_DEEPLY", problem)
        self._count += 1
        if self._count > mail_limits.PARTS_MAX:
            problem = f"It has more than {mail_limits.PARTS_MAX} parts; send fewer attachments, or an archive of them."
            raise MailRefused("TOO_MANY_PARTS", problem)
        content = fields.structured()
        kind = content.get_content_type()
        boundary = _parameter(content, "boundary") if kind.startswith("multipart/") else ""
        if boundary:
            return self._read_multipart(kind, boundary, body, depth)
        filename = _filename(content)
        disposition = content.get_content_disposition() or ""
        if kind in ("text/plain", "text/html") and disposition != "attachment" and not filename:
            text = _text_of(body, fields, _parameter(content, "charset"))
            return [("html", mail_text.text_of_html(text)) if kind == "text/html" else ("plain", text)]
        if kind.startswith("multipart/"):  # Without a boundary there are no parts to tell apart.
            return [("plain", _text_of(body, fields, ""))]
        self._attach(filename, kind, fields, body)
        return []

    def _read_multipart(self, kind: str, boundary: str, body: bytes, depth: int) -> list[tuple[str, str]]:
        children = [self._child(part, depth) for part in self._split(boundary, body)]
        if kind != "multipart/alternative":
            return [fragment for fragments in children for fragment in fragments]
        worded = [fragments for fragments in children if any(text.strip() for _, text in fragments)]
        plain = [fragments for fragments in worded if all(form == "plain" for form, _ in fragments)]
        return next(iter(plain or worded[-1:]), [])

    def _child(self, part: bytes, depth: int) -> list[tuple[str, str]]:
        header, body = mail_limits.split_header(part)
        return self.read(Fields(header), body, depth + 1)

    def _split(self, boundary: str, body: bytes) -> list[bytes]:
        """The parts between boundaries (RFC 2046, section 5.1.1); the last one may lack its end."""
        delimiter = b"\n--" + boundary.encode("utf-8", "surrogateescape")
        pattern = re.compile(re.escape(delimiter) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
        parts: list[bytes] = []
        start = -1
        text = b"\n" + body
        for found in pattern.finditer(text):
            if start >= 0:
                parts.append(text[start : found.start()].removesuffix(b"\r"))
                if len(parts) > mail_limits.PARTS_MAX:
                    break
            start = -1 if found[1] else text.find(b"\n", found.end()) + 1 or len(text)
            if found[1]:
                break
        if start >= 0:
            parts.append(text[start:])
        return parts

    def _attach(self, filename: str, kind: str, fields: Fields, body: bytes) -> None:
        if len(self.attachments) >= mail_limits.ATTACHMENTS_MAX:
            if self.attachments[-1].refusal != TOO_MANY_ATTACHMENTS:
                self.attachments.append(MailAttachment("attachments", kind, 0, refusal=TOO_MANY_ATTACHMENTS))
            return
        media_type = kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
        content, broken = _decoded(body, fields)
        extension = ".eml" if kind == "message/rfc822" else mimetypes.guess_extension(media_type) or ".bin"
        filename = filename or f"attachment-{len(self.attachments) + 1}{extension}"
        if broken:
            refusal = NOT_DECODABLE
        elif self._total + len(content) > mail_limits.ATTACHMENTS_TOTAL_MAX:
            refusal = TOTAL_TOO_LARGE
        else:
            refusal, expanded = mail_limits.judge_archive(content, filename, mail_limits.EXPANDED_MAX - self._expanded)
            self._expanded += expanded
        if refusal:
            self.attachments.append(MailAttachment(filename, media_type, len(content), refusal=refusal))
            return
        self._total += len(content)
        digest = hashlib.sha256(content).hexdigest()
        self.attachments.append(MailAttachment(filename, media_type, len(content), digest, content))


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


def _parameter(content: Message, name: str) -> str:
    try:
        value = content.get_param(name)
        if isinstance(value, tuple):  # RFC 2231: charset, language, text.
            value = value[2]
    except (ValueError, LookupError, TypeError):
        return ""
    return value[:200] if isinstance(value, str) else ""


def _filename(content: Message) -> str:
    """The name as sent, without folders and what else a file system would mind; empty when there is none."""
    try:
        given = content.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        given = ""
    name = mail_text.clean_line(decoded_words(given[:VALUE_MAX]))
    name = re.split(r"[/\\]", name)[-1]
    name = re.sub(r'[<>:"|?*]', "_", name).strip(". ")
    stem, dot, extension = name.rpartition(".")
    if len(name) > FILENAME_MAX:
        name = stem[: FILENAME_MAX - 21] + dot + extension[:20] if dot else name[:FILENAME_MAX]
    return name


def _text_of(body: bytes, fields: Fields, charset: str) -> str:
    content, _ = _decoded(body, fields)
    return in_charset(content[:_TEXT_SOURCE_MAX], charset)


def _decoded(body: bytes, fields: Fields) -> tuple[bytes, bool]:
    """The content without its transfer encoding, and whether that was broken."""
    encoding = (fields.text("Content-Transfer-Encoding").lower().split() or [""])[0]
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body), False
    if encoding != "base64":
        return body, False
    try:
        return binascii.a2b_base64(body), False
    except binascii.Error:
        known = body.translate(None, _NOT_BASE64)
        return base64.b64decode(known[: len(known) // 4 * 4]), True
