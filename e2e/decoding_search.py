"""Looks for texts in everything a platform keeps, decoded: the proof of an erasure.

Decoded are: every document of every collection with what its binary fields hold (protobuf, gzip, zlib, base64), every
cell of every Parquet file and every other stored file, every message of every queue (retries and dead letters
included), every log line, every span and metric. Not looked at: raw bytes of the database and the broker, which age
out (the certificate says when), and the mail server's sink, which is the world outside.
"""

import base64
import binascii
import contextlib
import gzip
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet
import pymongo
import requests

from e2e.demo.api import Json
from e2e.platform import Platform

QUEUE_LIMIT = 100_000
"""The most messages read of one queue; more of them is an error, for the proof would be none."""

_NOT_OURS = frozenset({"admin", "config", "local"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(rb"[0-9a-f-]+")
_DEPTH_MAX = 4


@dataclass
class Findings:
    """Where texts were found: text -> place -> how often; and how much was looked at, by kind of place."""

    places: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    looked_at: Counter[str] = field(default_factory=Counter)

    @property
    def texts(self) -> set[str]:
        """The texts found anywhere."""
        return set(self.places)


class DecodingSearch:
    """Looks for texts of at least four characters, in any letter case, also inside longer ones.

    tenant: documents and files of other tenants, who may know the same person, are left out.
    """

    def __init__(self, platform: Platform, tenant: str, texts: Iterable[str]) -> None:
        self._platform = platform
        self._tenant = tenant
        self._texts = {text.casefold().encode(): text for text in texts}
        if not self._texts or min(map(len, self._texts)) < 4:
            raise ValueError("texts to look for need four characters or more: shorter ones are found by chance")
        self._within = {whole: [text for part, text in self._texts.items() if part in whole] for whole in self._texts}
        # The longest first: a text inside another is found with it.
        self._any = re.compile(b"(?=(" + b"|".join(map(re.escape, sorted(self._texts, key=len, reverse=True))) + b"))")
        self._findings = Findings()

    def run(self) -> Findings:
        """Looks everywhere."""
        self._findings = Findings()
        self._databases()
        self._files(self._platform.state / "data")
        self._logs()
        self._queues()
        self._telemetry()
        return self._findings

    def _databases(self) -> None:
        with pymongo.MongoClient[dict[str, Any]](self._platform.mongodb_uri) as client:
            for name in set(client.list_database_names()) - _NOT_OURS:
                for collection in client[name].list_collection_names():
                    place = f"{name}.{collection}"
                    # Rows without a tenant belong to all.
                    for document in client[name][collection].find({"tenant": {"$in": [self._tenant, None]}}):
                        self._value(document, place)
                        self._findings.looked_at["documents"] += 1

    def _files(self, folder: Path) -> None:
        raw = {"mongod", "rabbitmq", "mails"}
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            others = len(parts) > 2 and parts[1] != self._tenant
            if not path.is_file() or parts[0] in raw or others:
                continue
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue  # removed since it was listed: what is gone holds nothing
            place = f"files/{parts[0]}/*{path.suffix}"
            if path.suffix == ".parquet":
                table = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
                for column in table.column_names:
                    self._text(column, place)
                    for cell in table.column(column).to_pylist():
                        self._value(cell, place)
                        self._findings.looked_at["Parquet cells"] += 1
            else:
                self._bytes(content, place)
                self._findings.looked_at["files"] += 1
            self._text(str(path), place)

    def _logs(self) -> None:
        for path in self._platform.state.rglob("*.log*"):
            if path.is_file():
                content = path.read_bytes()
                self._bytes(content, f"logs/{path.name}", decode=False)
                self._findings.looked_at["log lines"] += content.count(b"\n")

    def _queues(self) -> None:
        base = self._platform.management_uri
        if not base:
            return
        login = ("guest", "guest")
        for queue in requests.get(f"{base}/api/queues", auth=login, timeout=30).json():
            if queue.get("messages", 0) > QUEUE_LIMIT:
                raise RuntimeError(f"queue {queue['name']} holds {queue['messages']} messages: too many to look at")
            where = f"{base}/api/queues/{quote(queue['vhost'], safe='')}/{quote(queue['name'], safe='')}/get"
            ask: Json = {"count": QUEUE_LIMIT, "ackmode": "ack_requeue_true", "encoding": "base64"}
            for message in requests.post(where, json=ask, auth=login, timeout=60).json():
                place = f"queue {queue['name']}"
                self._bytes(base64.b64decode(message["payload"]), place)
                self._value(message["properties"], place)
                self._findings.looked_at["queued messages"] += 1

    def _telemetry(self) -> None:
        base = self._platform.traces
        for span in requests.get(f"{base}/spans", timeout=120).json()["spans"]:
            self._bytes(json.dumps(span, ensure_ascii=False).encode(), f"spans of {span['service']}", decode=False)
            self._findings.looked_at["spans"] += 1
        for series in requests.get(f"{base}/metrics", timeout=60).json()["metrics"]:
            self._bytes(json.dumps(series, ensure_ascii=False).encode(), "metrics", decode=False)
            self._findings.looked_at["metric series"] += 1

    def _value(self, value: Any, place: str) -> None:
        match value:
            case str():
                self._text(value, place)
            case bytes():
                self._bytes(value, place)
            case Mapping():
                for key, item in value.items():
                    self._text(str(key), place)
                    self._value(item, place)
            case Sequence():
                for item in value:
                    self._value(item, place)
            case None | bool() | float():
                pass
            case _:
                self._text(str(value), place)

    def _text(self, text: str, place: str) -> None:
        self._bytes(text.encode(errors="replace"), place)

    def _bytes(self, content: bytes, place: str, *, decode: bool = True) -> None:
        for readable in _readings(content) if decode else (content,):
            for found in self._any.finditer(readable.decode(errors="replace").casefold().encode()):
                for text in self._within[found.group(1)]:
                    self._findings.places[text][place] += 1


def _readings(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes as they are, and everything that can be unpacked from them. Protobuf keeps texts readable."""
    yield content
    if depth == _DEPTH_MAX:
        return
    for unpacked in _unpacked(content):
        yield from _readings(unpacked, depth + 1)


def _unpacked(content: bytes) -> Iterator[bytes]:
    # Random bytes may begin like a packed file: what cannot be unpacked holds nothing packed.
    with contextlib.suppress(OSError, EOFError, zlib.error):
        if content[:2] == b"\x1f\x8b":
            yield gzip.decompress(content)
        elif content[:1] == b"\x78":
            yield zlib.decompress(content)
    if b"\nMIME-Version:" in content or b"\nSubject:" in content:
        for part in message_from_bytes(content).walk():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield payload
    for candidate in _BASE64.findall(content):
        if _HEX.fullmatch(candidate):
            continue
        padded = candidate.rstrip(b"=") + b"=" * (-len(candidate.rstrip(b"=")) % 4)
        with contextlib.suppress(binascii.Error):
            yield base64.b64decode(padded.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
