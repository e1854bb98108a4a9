"""Files (attachments, exports, reports), kept by tenant and subject in a folder or an object store (fsspec)."""

import os
import re
import uuid
from typing import BinaryIO

from chassis import tenancy
from chassis.errors import NotFound
from chassis.settings import Settings

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_CHUNK = 1 << 20


class BlobStore:
    """The current tenant's files at `url` (such as `file:///var/lib/rapport` or `s3://bucket/prefix`).

    A subject is the resource the file belongs to (`customers/0192…`); a file's key is `<tenant>/<subject>/<name>`.
    Subjects and names with anything but letters, digits, `.`, `_` and `-` (and, in subjects, `/`) raise ValueError.
    """

    def __init__(self, url: str, **options: object) -> None:
        # Here, not above: most processes have no files, and it takes long to load.
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        self._files, self._root = url_to_fs(url, **options)
        self._in_folder = isinstance(self._files, LocalFileSystem)

    def put(self, subject: str, name: str, content: bytes | BinaryIO) -> str:
        """Store a file, replacing one of that name; returns its key. Readers see the old content or all of the new."""
        key = self._key(subject, name)
        path = self._path(key)
        local = self._in_folder
        # Object stores show an object once it is complete; in a folder a rename gives the same.
        target = f"{path}.{uuid.uuid4().hex}~" if local else path
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            with self._files.open(target, "wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    while chunk := content.read(_CHUNK):
                        file.write(chunk)
                if local:
                    file.flush()
                    os.fsync(file.fileno())
            if local:
                os.replace(target, path)
        except BaseException:
            if local and self._files.exists(target):
                self._files.rm_file(target)
            raise
        return key

    def get(self, subject: str, name: str) -> bytes:
        """The whole content. Raises NotFound."""
        with self.open(subject, name) as file:
            return file.read()

    def open(self, subject: str, name: str) -> BinaryIO:
        """A readable file, for content too large to hold. Raises NotFound."""
        key = self._key(subject, name)
        try:
            file: BinaryIO = self._files.open(self._path(key), "rb")
        except FileNotFoundError as error:
            raise NotFound(
                "FILE_NOT_FOUND", f"{subject} has no file {name}.", metadata={"resource": subject, "file": name}
            ) from error
        return file

    def list(self, subject: str) -> list[str]:
        """Names of the subject's files, sorted."""
        try:
            found = self._files.ls(self._path(self._folder(subject)), detail=True, refresh=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rpartition("/")[2] for entry in found if entry["type"] == "file")
        return sorted(name for name in names if not name.endswith("~"))

    def delete(self, subject: str, name: str) -> bool:
        """Delete a file; False when there was none."""
        try:
            self._files.rm_file(self._path(self._key(subject, name)))
        except FileNotFoundError:
            return False
        return True

    def delete_unfinished(self, subject: str) -> int:
        """Delete what killed writers left of the subject's files; returns how many.

        Only for callers who know that nobody writes there now.
        """
        folder = self._path(self._folder(subject))
        # Object stores keep nothing of an upload that was not completed.
        if not self._in_folder or not self._files.exists(folder):
            return 0
        left = [path for path in self._files.ls(folder, detail=False) if path.endswith("~")]
        for path in left:
            self._files.rm_file(path)
        return len(left)

    def delete_subject(self, subject: str) -> int:
        """Delete all files of a subject, unfinished ones too; returns how many files there were."""
        names = self.list(subject)
        folder = self._path(self._folder(subject))
        if self._files.exists(folder):
            self._files.rm(folder, recursive=True)
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

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"


def store(settings: Settings) -> BlobStore:
    """The store of this installation. Raises ValueError when `RAPPORT_BLOB_URL` is not set."""
    if not settings.blob_url:
        raise ValueError("RAPPORT_BLOB_URL is not set")
    return BlobStore(settings.blob_url)
