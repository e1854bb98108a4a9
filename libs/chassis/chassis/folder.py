"""Files by their fsspec address: in folders and in object stores alike, written whole or not at all.

An s3:// address takes its credentials, region and endpoint from the usual AWS environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3) or from the pod's service account. Its driver runs a thread of
its own: it works from many threads, but not in a copy of the process that os.fork made, nor under eventlet.
"""

import errno
import os
import tempfile
import uuid
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

_BLOCK = 4 << 20
_READS = 20
_OPTIONS = {"s3": {"default_block_size": _BLOCK, "max_concurrency": 2}}
"""Of drivers that would hold 50 MB of every file that is read, and 500 MB of a large one that is written."""


class NoDriverError(ValueError):
    """An address of a kind that nothing installed can open: says which, and what to install."""


class Folder:
    """A folder by its fsspec address, such as `file:///var/lib/rapport` or `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        """Raises NoDriverError."""
        self.url = url
        self._files, root = located(url)
        self._root = root.rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading. Raises FileNotFoundError; reading raises OSError (EBUSY) when it was replaced."""
        opened: BinaryIO = self._files.open(self._path(name), "rb")
        return opened

    def read(self, name: str) -> bytes:
        """The whole content of a file. Raises FileNotFoundError."""
        for left in reversed(range(_READS)):
            try:
                with self.open(name) as file:
                    return file.read()
            except OSError as error:
                # An object is found first and then read; one that was replaced in between is found again.
                if error.errno != errno.EBUSY or not left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def write(self, name: str, fill: Callable[[BinaryIO], object], *, durable: bool = True) -> None:
        """Let `fill` write a file: readers see the old content or all of the new, also after a kill.

        `durable` files are safe from a crash of the machine too, which takes waiting for the disk.
        """
        path = self._path(name)
        if not self._local:
            # An object whose writer fails is closed like any other, and is taken for whole: it is filled here first.
            with tempfile.NamedTemporaryFile() as file:
                fill(cast("BinaryIO", file))
                file.flush()
                self._files.put_file(file.name, path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = f"{path}.{uuid.uuid4().hex}~"
        try:
            with open(partial, "wb") as file:
                fill(file)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            if os.path.exists(partial):
                os.unlink(partial)

    def names(self, under: str = "") -> set[str]:
        """Names of the files in it, or in the folder `under` in it, one level deep."""
        return {name for name in self._listed(under) if not name.endswith("~")}

    def delete_file(self, name: str) -> bool:
        """Delete a file; False when there was none."""
        path = self._path(name)
        # Object stores delete in silence what is not there.
        if not self._files.isfile(path):
            return False
        try:
            self._files.rm_file(path)
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete a file or a folder; nothing happens when there is none. Raises OSError when something is left."""
        path = self._path(name)
        if self._local:
            if self._files.exists(path):
                self._files.rm(path, recursive=True)
        elif found := self._objects(path):
            self._files.rm(found)
            # Drivers delete many at once and tell nothing of those that were refused.
            if left := self._objects(path):
                raise OSError(errno.EACCES, f"the object store kept {len(left)} of {len(found)} objects to be deleted")

    def delete_unfinished(self, under: str = "") -> int:
        """Delete what killed writers left there; returns how many. Only where nobody writes now."""
        # Object stores list nothing of an upload that was not completed.
        left = [name for name in self._listed(under) if name.endswith("~")] if self._local else []
        for name in left:
            os.unlink(self._path(f"{under}/{name}" if under else name))
        return len(left)

    def _objects(self, path: str) -> list[str]:
        """Paths of all objects below `path`, or of the one there, without those that stand for folders."""
        found = self._files.find(path, detail=True)
        return [each for each, told in found.items() if told["type"] == "file" and not each.endswith("/")]

    def _listed(self, under: str) -> list[str]:
        path = self._path(under) if under else self._root
        try:
            found = self._files.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Of a file's own path drivers list the file, and the folder itself where an empty object stands for it.
        split = [(entry["name"].rpartition("/"), entry["type"]) for entry in found]
        return [name for (folder, _, name), kind in split if name and kind == "file" and folder == path]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def located(url: str) -> tuple[Any, str]:
    """The fsspec file system of an address, without a memory of what it listed, and the path there.

    Raises NoDriverError.
    """
    protocol = fsspec.utils.get_protocol(url)
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise NoDriverError(
            f"{protocol}:// has no driver here ({str(error).rstrip('.')}): put that package into an image of your own, "
            "or use s3:// or file://"
        ) from error
    except ValueError as error:
        raise NoDriverError(f"{protocol}:// is no kind of address that is known: use s3:// or file://") from error
    files, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **_OPTIONS.get(protocol, {}))
    return files, str(path)
