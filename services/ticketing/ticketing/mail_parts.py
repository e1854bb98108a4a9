"""The parts of a mail (MIME, RFC 2045 to 2049): its texts and its files, within the limits of all of them together.

Multipart bodies are split here, by their boundaries, and not by the email package, which takes seconds for a few
million lines; the package reads headers, each part's alone, after they have been counted.
"""

import base64
import binascii
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from email.message import Message

from ticketing.domain import mail_limits, mail_text
from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_fields import VALUE_MAX, Fields, decoded_words, in_charset

FILENAME_MAX = 150
NOT_DECODABLE, TOTAL_TOO_LARGE, TOO_MANY_ATTACHMENTS = "NOT_DECODABLE", "TOTAL_TOO_LARGE", "TOO_MANY_ATTACHMENTS"
"""Why an attachment is not kept, besides `domain.mail_limits`."""
_TEXT_SOURCE_MAX = 400_000
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


@dataclass(frozen=True, slots=True)
class MailAttachment:
    """A file of a mail. sha256: hexadecimal; empty, as content is, when `refusal` says why it is not kept."""

    filename: str
    content_type: str
    size_bytes: int
    sha256: str = ""
    content: bytes = b""
    refusal: str = ""


class MailParts:
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
