"""Files as answers: a method that returns `google.api.HttpBody` answers with the file itself, as a download.

What customers sent must not run in the browser of whoever looks at it: the file has a type that nothing executes,
browsers may neither guess another nor show it in place. Only what the contract calls a `page`, made by the platform
itself, is shown, and it can run nothing and load nothing either.
"""

import re
import unicodedata
from urllib.parse import quote

from flask import Response
from google.api.httpbody_pb2 import HttpBody
from rapport.options.v1 import options_pb2
from werkzeug.http import dump_options_header

FULL_NAME = HttpBody.DESCRIPTOR.full_name
UNKNOWN_TYPE = "application/octet-stream"
SAFE_TYPES = frozenset(
    {
        "application/json",
        "application/pdf",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/zip",
        "audio/mpeg",
        "audio/ogg",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "message/rfc822",
        "text/csv",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)
"""Media types that are told as they are; all others become `application/octet-stream`."""

PAGE_TYPES = frozenset({"text/html", "text/markdown"})
"""Media types of pages."""

_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_PAGE_POLICY = f"style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; {_POLICY}"
_NOT_IN_NAMES = re.compile(r'[/\\"]')
_NAME_MAX = 200


def respond(body: HttpBody, *, page: bool = False) -> Response:
    """The answer that is the file; `page` tells that the contract calls it one."""
    kind = body.content_type.partition(";")[0].strip().lower()
    page = page and kind in PAGE_TYPES
    told = f"{kind}; charset=utf-8" if page else kind if kind in SAFE_TYPES else UNKNOWN_TYPE
    answer = Response(body.data, content_type=told)
    disposition = "inline" if page else "attachment"
    answer.headers["Content-Disposition"] = dump_options_header(disposition, _names(_filename(body)))
    answer.headers["Content-Security-Policy"] = _PAGE_POLICY if page else _POLICY
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _filename(body: HttpBody) -> str:
    file = options_pb2.File()
    for extension in body.extensions:
        if extension.Unpack(file):
            break
    printable = "".join(character for character in file.filename if character.isprintable())
    return _NOT_IN_NAMES.sub("_", printable)[:_NAME_MAX] or "file"


def _names(filename: str) -> dict[str, str | None]:
    """The name in ASCII, and for all but the oldest clients as it is (RFC 6266, RFC 8187)."""
    simple = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    return (
        {"filename": simple}
        if simple == filename
        else {"filename": simple, "filename*": f"UTF-8''{quote(filename, safe='')}"}
    )
