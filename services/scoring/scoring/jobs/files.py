"""Files of a job: local folders and object stores alike, written whole or not at all."""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

_CHUNK = 1 << 20


class Folder:
    """A folder by its fsspec address."""

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading. Raises FileNotFoundError."""
        opened: BinaryIO = self._files.open(self._path(name), "rb")
        return opened

    def write(self, name: str, fill: Callable[[BinaryIO], object], *, durable: bool = True) -> None:
        """Let `fill` write a file: readers see the old content or all of the new, also after a kill.

        `durable` files are safe from a crash of the machine too, which takes waiting for the disk.
        """
        path = self._path(name)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not isinstance(self._files, LocalFileSystem):
            # An object whose writer fails is closed like any other, and is taken for whole: it is filled here first.
            with tempfile.NamedTemporaryFile() as file:
                fill(cast("BinaryIO", file))
                file.flush()
                self._files.put_file(file.name, path)
            return
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

    def write_json(self, name: str, content: dict[str, Any], *, durable: bool = True) -> None:
        """Write a small JSON file; equal contents give equal bytes."""
        body = (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
        self.write(name, lambda file: file.write(body), durable=durable)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Content of a JSON file; None when there is none."""
        try:
            with self.open(name) as file:
                content: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return None
        return content

    def names(self) -> set[str]:
        """Names of the files in it, one level deep."""
        self._files.invalidate_cache()
        if not self._files.isdir(self._root):
            return set()
        return {str(path).rpartition("/")[2] for path in self._files.ls(self._root, detail=False)}

    def delete(self, name: str) -> None:
        """Delete a file or a folder; nothing happens when there is none."""
        path = self._path(name)
        if self._files.exists(path):
            self._files.rm(path, recursive=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def opened(url: str) -> BinaryIO:
    """Open a file by its address for reading. Raises FileNotFoundError."""
    files, path = fsspec.core.url_to_fs(url)
    file: BinaryIO = files.open(path, "rb")
    return file


def sha256(file: BinaryIO) -> str:
    """Hash of a file's content."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def fingerprint(*parts: object) -> str:
    """Hash of values that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()
