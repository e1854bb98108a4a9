"""The header of a mail or part as Unicode, whatever bytes and encodings it holds."""

import binascii
import codecs
import re
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

VALUE_MAX = 2_000
"""Characters of a value that are looked at."""

_CHARSETS = re.compile(
    r"(?:us-?)?ascii|utf-?(?:7|8|16|32)(?:-?(?:le|be))?|latin-?\d+|iso-?8859-?\d+(?:-?[ei])?|(?:windows|cp|ibm)-?\d+"
    r"|koi8-?[rut]|gb2312|gbk|gb18030|big5(?:-?hkscs)?|shift[-_]?jis|euc-?(?:jp|kr)|iso-?2022-?(?:jp|kr)(?:-\d)?"
    r"|mac-?roman|macintosh|tis-?620"
)


class Fields:
    """The header of a mail or a part."""

    def __init__(self, header: bytes) -> None:
        self._message: Message = BytesHeaderParser(policy=compat32).parsebytes(header + b"\n\n")
        self._values: dict[str, list[str]] = {}
        for name, value in self._message.raw_items():
            self._values.setdefault(name.lower(), []).append(_unicode(value))

    def all(self, name: str) -> list[str]:
        """The values of a field as they stand, unfolded."""
        return [" ".join(value.split()) for value in self._values.get(name.lower(), [])]

    def text(self, name: str) -> str:
        """The first value of a field, encoded words (RFC 2047) decoded; empty when there is none."""
        return decoded_words(next(iter(self.all(name)), "")[: 4 * VALUE_MAX])

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return name.lower() in self._values

    def structured(self) -> Message:
        """The content's fields (RFC 2045, 2183), which the email package reads, if they are of a sane length."""
        message = Message()
        for name in ("Content-Type", "Content-Disposition"):
            if values := self.all(name):
                message[name] = values[0][:VALUE_MAX]
        return message


def in_charset(content: bytes, charset: str) -> str:
    """The text; what is not of the stated charset becomes a replacement sign."""
    stated = charset.strip().lower().replace("_", "-")
    if _CHARSETS.fullmatch(stated):
        try:
            return content.decode(codecs.lookup(stated).name, "replace")
        except (LookupError, ValueError):
            pass
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _unicode(value: str) -> str:
    """A header value; bytes beyond ASCII are taken for UTF-8, else for Windows-1252."""
    return in_charset(str(value).encode("ascii", "surrogateescape"), "") if not str(value).isascii() else str(value)


def decoded_words(value: str) -> str:
    """A value with its encoded words (RFC 2047) decoded, as far as they can be."""
    if "=?" not in value:
        return value
    try:
        words = decode_header(value)
    except (HeaderParseError, ValueError, binascii.Error):
        return value
    return "".join(
        word if isinstance(word, str) else in_charset(word, charset or "us-ascii" if word.isascii() else charset or "")
        for word, charset in words
    )
