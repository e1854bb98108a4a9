"""Ingestion through HTTP: 8 clients in a closed loop, batches of 100 events.

Events are visible when the timelines have them and scoring has staged them for its feature files. `run` writes what is
staged into files, and names these in the manifest, by number or by age: that delay is a figure of its own.
"""

import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor

import pymongo
import requests

from e2e.bench.figures import say, tell
from e2e.demo.api import Json, wait_for
from e2e.platform import Platform
from e2e.tenants import Tenant

CLIENTS, BATCH, BATCHES = 8, 100, 200
_FILES_DUE_S = 60
"""When staged events are written into files at the latest (`flush_seconds` of scoring)."""


def measure(platform: Platform, tenant: Tenant) -> Future[None]:
    """Tells ingest_ack and ingest_visible (events/s), each against `insert_many` with majority on the same mongod.

    What is returned is done when ingest_files is told: seconds from the last acknowledged event until the manifest
    names files with all of them, beside the age at which staged events are due to be written.
    """
    raw = _raw_inserts(platform.mongodb_uri)
    run = uuid.uuid4().hex[:8]
    event = f"Bench {run}"
    write_key = next(iter(tenant.write_keys.values()))
    sessions = [requests.Session() for _ in range(CLIENTS)]
    for session in sessions:
        session.auth = (write_key, "")

    def send(client: int) -> None:
        for number in range(client, BATCHES, CLIENTS):
            answer = sessions[client].post(
                f"{platform.gateway}/v1/batch", json={"batch": _batch(run, event, number)}, timeout=60
            )
            answer.raise_for_status()

    activity = _Activity(platform.mongodb_uri, tenant.id)
    before = activity.in_files()
    say(f"ingestion: {BATCHES * BATCH} events from {CLIENTS} clients")
    begin = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, range(CLIENTS)))
    acknowledged = time.monotonic() - begin
    tell("ingest_ack", BATCHES * BATCH / acknowledged, "events/s", raw)

    def visible() -> bool:
        found = tenant.api.get("/v1/timelineEntries:summarize", event=event)
        if int(found.get("eventCount", 0)) < BATCHES * BATCH:
            return False
        # Files first: what is written in between is missed this time, and not counted twice.
        return activity.in_files() - before + activity.staged() >= BATCHES * BATCH

    # Each look sums up all of them: often enough to tell, seldom enough not to be what is measured.
    wait_for(visible, "all events in the timelines", pause=0.5)
    tell("ingest_visible", BATCHES * BATCH / (time.monotonic() - begin), "events/s", raw)

    def in_files() -> None:
        wait_for(lambda: activity.in_files() - before >= BATCHES * BATCH, "all events in files", 180, pause=0.5)
        tell("ingest_files", time.monotonic() - begin - acknowledged, "s", _FILES_DUE_S)

    watcher = ThreadPoolExecutor(1)
    followed = watcher.submit(in_files)
    watcher.shutdown(wait=False)
    return followed


class _Activity:
    """How many of a tenant's events that are no purchases scoring has."""

    def __init__(self, uri: str, tenant: str) -> None:
        self._scoring = pymongo.MongoClient[Json](uri).get_database("scoring")
        self._tenant = tenant

    def staged(self) -> int:
        """On their way into files."""
        return sum(row["size"] for row in self._scoring["staged_activity"].find({"tenant": self._tenant}, {"size": 1}))

    def in_files(self) -> int:
        """In files that the manifest names."""
        manifest = self._scoring["feature_manifests"].find_one({"_id": f"{self._tenant}/activity"}, {"files.rows": 1})
        return sum(file["rows"] for file in manifest["files"]) if manifest else 0


def _batch(run: str, event: str, number: int) -> list[Json]:
    return [
        {
            "type": "track",
            "userId": f"{run}-{(number * BATCH + place) % 2000}",
            "event": event,
            "messageId": f"{run}-{number}-{place}",
            "properties": {"revenue": 12.5, "currency": "USD", "product": "bench", "place": place},
        }
        for place in range(BATCH)
    ]


def _raw_inserts(uri: str) -> float:
    """Events/s that `insert_many` of equal documents takes from as many clients, majority acknowledged."""
    with pymongo.MongoClient[Json](uri) as client:
        rows = client.get_database("bench_raw").get_collection("events")

        def insert(start: int) -> None:
            for number in range(start, BATCHES, CLIENTS):
                rows.insert_many([{**item, "_id": item["messageId"]} for item in _batch("raw", "Bench raw", number)])

        begin = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(insert, range(CLIENTS)))
        spent = time.monotonic() - begin
        client.drop_database("bench_raw")
    return BATCHES * BATCH / spent
