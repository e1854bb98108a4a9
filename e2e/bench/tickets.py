"""Tickets through HTTP: 8 clients in a closed loop, each ticket with its first message."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pymongo
import urllib3

from e2e.bench.figures import say, tell
from e2e.demo.api import Json
from e2e.platform import Platform
from e2e.tenants import Tenant

CLIENTS, TICKETS, WARM_UP = 8, 2000, 80


def measure(platform: Platform, tenant: Tenant) -> None:
    """Tells ticket_create (tickets/s), against `insert_one` with majority of equal documents on the same mongod."""
    raw = _raw_inserts(platform.mongodb_uri)
    # The clients share the cores with the platform: no more of them than it takes to send and read.
    connections = urllib3.PoolManager(maxsize=CLIENTS, headers=tenant.api.headers)

    def create(number: int) -> None:
        answer = connections.request("POST", f"{tenant.api.url}/v1/tickets", json=_ticket(number))
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"a ticket was answered with {answer.status}")

    say(f"tickets: {TICKETS} from {CLIENTS} clients")
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(create, range(WARM_UP)))
        begin = time.monotonic()
        list(pool.map(create, range(TICKETS)))
        spent = time.monotonic() - begin
    tell("ticket_create", TICKETS / spent, "tickets/s", raw)


def _ticket(number: int) -> Json:
    return {
        "subject": f"Where is parcel {number}?",
        "customer": f"customers/{uuid.uuid4()}",
        "channel": "CHANNEL_WEB",
        "languageCode": "en",
        "text": "I ordered a lamp two weeks ago and it has not arrived. Where is it? Please tell me.",
    }


def _raw_inserts(uri: str) -> float:
    """Tickets/s that `insert_one` takes from as many clients, majority acknowledged."""
    with pymongo.MongoClient[Json](uri) as client:
        rows = client.get_database("bench_raw").get_collection("tickets")
        begin = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda number: rows.insert_one(_ticket(number)), range(TICKETS)))
        spent = time.monotonic() - begin
        client.drop_database("bench_raw")
    return TICKETS / spent
