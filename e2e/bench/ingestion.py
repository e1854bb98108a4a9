"""Ingestion through HTTP: 8 clients in a closed loop, batches of 100 events."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pymongo
import requests

from e2e.bench.figures import say, tell
from e2e.demo.api import Json, wait_for
from e2e.platform import Platform
from e2e.tenants import Tenant

CLIENTS, BATCH, BATCHES = 8, 100, 200


def measure(platform: Platform, tenant: Tenant) -> None:
    """Tells ingest_ack and ingest_visible (events/s), each against `insert_many` with majority on the same mongod."""
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

    say(f"ingestion: {BATCHES * BATCH} events from {CLIENTS} clients")
    begin = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, range(CLIENTS)))
    acknowledged = time.monotonic() - begin
    tell("ingest_ack", BATCHES * BATCH / acknowledged, "events/s", raw)

    def visible() -> bool:
        found = tenant.api.get("/v1/timelineEntries:summarize", event=event)
        return int(found.get("eventCount", 0)) >= BATCHES * BATCH

    # Each look sums up all of them: often enough to tell, seldom enough not to be what is measured.
    wait_for(visible, "all events in the timelines", pause=0.5)
    tell("ingest_visible", BATCHES * BATCH / (time.monotonic() - begin), "events/s", raw)


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
