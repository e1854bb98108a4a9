"""What a mail may be: checked on its bytes before anything expands or parses them."""

import io
import re
import struct
import zipfile
import zlib
from itertools import pairwise

RAW_MAX = 10 * 1024 * 1024
HEADER_FIELDS_MAX = 1_000
HEADER_LINE_MAX = 16_384
HEADER_BLOCK_MAX = 256 * 1024
PARTS_MAX = 100
NESTING_MAX = 10
ATTACHMENTS_MAX = 50
ATTACHMENTS_TOTAL_MAX = 8 * 1024 * 1024
EXPANDED_MAX = 100 * 1024 * 1024
RATIO_MAX = 100
ARCHIVE_ENTRIES_MAX = 10_000

ARCHIVE_BOMB, ARCHIVE_UNREADABLE = "ARCHIVE_BOMB", "ARCHIVE_UNREADABLE"
"""Why an archive is not kept: what it expands to, or that this cannot be told."""

_RATIO_FLOOR = 64 * 1024
"""Archives that declare to expand to less are harmless, however well they compress."""
_LOCAL_HEADER = 30
_ZIP_END, _ZIP_END_SIZE = b"PK\x05\x06", 22
_ZIP_COMMENT_MAX = 65_535
_ARCHIVE_NAME = re.compile(r"\.(?:zip|gz|tgz|7z|rar|bz2|tbz2|xz|txz|zst|lzma|cab|arj|lzh|jar|war|ear)$", re.IGNORECASE)


class MailRefused(Exception):  # noqa: N818 - reads as what is the matter
    """The mail cannot be taken. reason: UPPER_SNAKE; problem: what is wrong and how to mend it, without its content."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem


def check_size(raw: bytes) -> None:
    """Raises MailRefused MAIL_EMPTY, MAIL_TOO_LARGE."""
    if not raw.strip():
        raise MailRefused("MAIL_EMPTY", "It is empty; give the whole mail as received (RFC 5322).")
    if len(raw) > RAW_MAX:
        problem = f"It has {len(raw)} bytes; at most {RAW_MAX} are taken. Leave out attachments, or share them by link."
        raise MailRefused("MAIL_TOO_LARGE", problem)


def split_header(entity: bytes) -> tuple[bytes, bytes]:
    """The header of a mail or part, with LF line ends, and its body; after checking what the header may be.

    Counting costs microseconds, parsing 10,000 fields a good second. Raises MailRefused TOO_MANY_HEADERS,
    HEADER_TOO_LARGE, HEADER_LINE_TOO_LONG.
    """
    for empty in (b"\n", b"\r\n"):
        if entity.startswith(empty):
            return b"", entity[len(empty) :]
    ends = [(at, len(end)) for end in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := entity.find(end)) >= 0]
    at, length = min(ends, default=(len(entity), 0))
    header, body = entity[:at], entity[at + length :]
    fields = 1 + header.count(b"\n") - header.count(b"\n ") - header.count(b"\n\t")
    if fields > HEADER_FIELDS_MAX:
        problem = f"It has {fields} header fields; at most {HEADER_FIELDS_MAX} are taken."
        raise MailRefused("TOO_MANY_HEADERS", problem)
    if len(header) > HEADER_BLOCK_MAX:
        problem = f"A header has {len(header)} bytes; at most {HEADER_BLOCK_MAX} are taken. An empty line ends it."
        raise MailRefused("HEADER_TOO_LARGE", problem)
    header = header.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if max(map(len, header.split(b"\n"))) > HEADER_LINE_MAX:
        problem = f"A header line has more than {HEADER_LINE_MAX} bytes; fold it (RFC 5322, section 2.2.3)."
        raise MailRefused("HEADER_LINE_TOO_LONG", problem)
    return header, body


def judge_archive(content: bytes, filename: str, expandable: int = EXPANDED_MAX) -> tuple[str, int]:
    """Why an attachment must not be kept for what it expands to, empty when nothing speaks against it; and how far.

    expandable: bytes that the archives of the mail may still expand to. Of a zip the central directory is read and
    nothing expanded; a gzip file, which has none, is expanded without keeping anything, up to the limit. Other kinds
    cannot be judged cheaply and are kept: the platform expands nothing.
    """
    if content.startswith(b"\x1f\x8b"):
        return _judge_gzip(content, filename, expandable)
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")) or filename.lower().endswith(".zip"):
        return _judge_zip(content, expandable)
    return "", 0


def _judge_zip(content: bytes, expandable: int) -> tuple[str, int]:
    end = content.rfind(_ZIP_END, max(0, len(content) - _ZIP_COMMENT_MAX - _ZIP_END_SIZE))
    if end < 0 or len(content) < end + _ZIP_END_SIZE:
        return ARCHIVE_UNREADABLE, 0
    # Counted, because the declared number of entries may lie and listing them takes its time.
    if content.count(b"PK\x01\x02") > ARCHIVE_ENTRIES_MAX:
        return ARCHIVE_BOMB, 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, OSError, EOFError):
        return ARCHIVE_UNREADABLE, 0
    expanded = sum(entry.file_size for entry in entries)
    starts = sorted((entry.header_offset, entry.compress_size) for entry in entries)
    bomb = (
        expanded > expandable
        or _too_dense(expanded, len(content))
        or any(_too_dense(entry.file_size, entry.compress_size) for entry in entries)
        or any(_ARCHIVE_NAME.search(entry.filename) for entry in entries)
        or any(at + _LOCAL_HEADER + size > following for (at, size), (following, _) in pairwise(starts))
    )
    return (ARCHIVE_BOMB, 0) if bomb else ("", expanded)


def _judge_gzip(content: bytes, filename: str, expandable: int) -> tuple[str, int]:
    inner = re.sub(r"\.gz$", "", filename, flags=re.IGNORECASE)
    if _ARCHIVE_NAME.search(inner) and not inner.lower().endswith(".tgz"):
        return ARCHIVE_BOMB, 0
    limit = min(expandable, max(_RATIO_FLOOR, RATIO_MAX * len(content)))
    rest, expanded = content, 0
    while rest:  # A file may consist of several members, and only the last one's size stands at its end.
        member = zlib.decompressobj(wbits=31)
        while rest and not member.eof:
            try:
                expanded += len(member.decompress(rest, 1 << 20))
            except zlib.error:
                return ARCHIVE_UNREADABLE, expanded
            if expanded > limit:
                return ARCHIVE_BOMB, expanded
            rest = member.unconsumed_tail
        if not member.eof:
            return ARCHIVE_UNREADABLE, expanded
        rest = member.unused_data.lstrip(b"\0")
    return "", expanded


def _too_dense(expanded: int, compressed: int) -> bool:
    return expanded > _RATIO_FLOOR and expanded > RATIO_MAX * max(1, compressed)
