"""Files (attachments, exports, reports), kept by tenant and subject in a folder or an object store (fsspec)."""

import re
from typing import BinaryIO

from chassis import tenancy
from chassis.errors import NotFound
from chassis.settings import ConfigurationError, Settings

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_CHUNK = 1 << 20


class BlobStore:
    """The current tenant's files at `url` (such as `file:///var/lib/rapport` or `s3://bucket/prefix`).

    A subject is the resource the file belongs to (`customers/0192…`); a file's key is `<tenant>/<subject>/<name>`.
    Subjects and names with anything but letters, digits, `.`, `_` and `-` (and, in subjects, `/`) raise ValueError.
    Roles `serve` and `run` may have one; in role `work` object stores cannot be reached (see chassis.folder).
    """

    def __init__(self, url: str) -> None:
        """Raises chassis.folder.NoDriverError."""
        # Here, not above: most processes have no files, and it takes long to load.
        from chassis.folder import Folder

        self._files = Folder(url)

    def put(self, subject: str, name: str, content: bytes | BinaryIO) -> str:
        """Store a file, replacing one of that name; returns its key. Readers see the old content or all of the new."""
        key = self._key(subject, name)

        def fill(file: BinaryIO) -> None:
            if isinstance(content, bytes):
                file.write(content)
            else:
                while chunk := content.read(_CHUNK):
                    file.write(chunk)

        self._files.write(key, fill)
        return key

    def get(self, subject: str, name: str) -> bytes:
        """The whole content. Raises NotFound."""
        key = self._key(subject, name)
        try:
            return self._files.read(key)
        except FileNotFoundError as error:
            raise _not_found(subject, name) from error

    def open(self, subject: str, name: str) -> BinaryIO:
        """A readable file, for content too large to hold. Raises NotFound.

        In an object store reading on raises OSError when the file was replaced meanwhile.
        """
        key = self._key(subject, name)
        try:
            return self._files.open(key)
        except FileNotFoundError as error:
            raise _not_found(subject, name) from error

    def list(self, subject: str) -> list[str]:
        """Names of the subject's files, sorted."""
        return sorted(self._files.names(self._folder(subject)))

    def delete(self, subject: str, name: str) -> bool:
        """Delete a file; False when there was none."""
        return self._files.delete_file(self._key(subject, name))

    def delete_unfinished(self, subject: str) -> int:
        """Delete what killed writers left of the subject's files; returns how many.

        Only for callers who know that nobody writes there now.
        """
        return self._files.delete_unfinished(self._folder(subject))

    def delete_subject(self, subject: str) -> int:
        """Delete all files of a subject, unfinished ones too; returns how many files there were."""
        names = self.list(subject)
        self._files.delete(self._folder(subject))
        return len(names)

    def _folder(self, subject: str) -> str:
        segments = subject.split("/")
        if not all(_SEGMENT.fullmatch(segment) for segment in segments):
            raise ValueError("a subject is a resource name: letters, digits, '.', '_', '-' between single slashes")
        return "/".join([tenancy.tenant(), *segments])

    def _key(self, subject: str, name: str) -> str:
        if not _SEGMENT.fullmatch(name):
            raise ValueError("a file name has 1 to 128 letters, digits, '.', '_' and '-', and no leading '.'")
        return f"{self._folder(subject)}/{name}"


def _not_found(subject: str, name: str) -> NotFound:
    return NotFound("FILE_NOT_FOUND", f"{subject} has no file {name}.", metadata={"resource": subject, "file": name})


def store(settings: Settings) -> BlobStore:
    """The store of this installation. Raises ConfigurationError when `RAPPORT_BLOB_URL` names none that can be used."""
    variable = settings.environment_names()["blob_url"]
    if not settings.blob_url:
        raise ConfigurationError(variable, "is not set")
    from chassis.folder import NoDriverError

    try:
        return BlobStore(settings.blob_url)
    except NoDriverError as error:
        raise ConfigurationError(variable, str(error)) from error
