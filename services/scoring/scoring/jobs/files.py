"""Files of a job: local folders and object stores alike, written whole or not at all."""

import hashlib
import json
from typing import Any, BinaryIO

from chassis import folder

_CHUNK = 1 << 20


class Folder(folder.Folder):
    """A folder by its fsspec address, with the JSON files that jobs tell things in."""

    def write_json(self, name: str, content: dict[str, Any], *, durable: bool = True) -> None:
        """Write a small JSON file; equal contents give equal bytes."""
        body = (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
        self.write(name, lambda file: file.write(body), durable=durable)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Content of a JSON file; None when there is none."""
        try:
            content: dict[str, Any] = json.loads(self.read(name))
        except FileNotFoundError:
            return None
        return content


def opened(url: str) -> BinaryIO:
    """Open a file by its address for reading. Raises FileNotFoundError, and chassis.folder.NoDriverError."""
    files, path = folder.located(url)
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
