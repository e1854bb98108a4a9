"""One customer's scores: as other services read them, 8 clients, each asking again as soon as it is answered; and how
soon they follow what the customer buys, from the shop's call of the gateway on, the whole platform beside.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import grpc
import pymongo
import requests
from rapport.scoring.v1 import scoring_service_pb2, scoring_service_pb2_grpc

from chassis.keys import Keyring
from e2e import tenants
from e2e.bench.figures import percentile, say, tell
from e2e.demo.api import Json, patiently, wait_for
from e2e.platform import Platform
from e2e.tenants import Tenant

CLIENTS, SECONDS, WARM_UP_SECONDS = 8, 10, 3
CUSTOMERS, ORDERS, PRICE = 200, 4, 12.5
MARK_MS = 25.0
PROBES = 20
FOLLOW_MARK_S = 5.0


def measure(platform: Platform) -> None:
    """Tells get_scores_p95 (ms), beside finding the same documents with as many threads in the same run; and
    scores_follow_p95 (s), beside its mark.
    """
    tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"bench-{uuid.uuid4().hex[:8]}")
    names = _scored(platform, tenant)
    told = platform.environment("scoring-serve")
    token = Keyring(told["RAPPORT_KEYS"]).mint_token(
        tenant=tenant.id,
        principal="principals/bench",
        permissions={"scoring.customerScores.get"},
        audience="scoring",
        ttl_s=120,
    )
    say(f"scores: {CLIENTS} clients for {SECONDS} s (mark: {MARK_MS:g} ms)")
    spent = asked(f"{told['RAPPORT_BIND_HOST']}:{told['RAPPORT_GRPC_PORT']}", token, names)
    with pymongo.MongoClient[Json](platform.mongodb_uri) as client:
        rows = client.get_database(told["RAPPORT_DATABASE"])["scores"]
        tell("get_scores_p95", percentile(spent, 0.95), "ms", percentile(found(rows, tenant.id, names), 0.95))
        say(f"scores: {PROBES} purchases, one after the other")
        delays = [_delay(platform, tenant, rows, number) for number in range(PROBES)]
        tell("scores_follow_p95", percentile(delays, 0.95), "s", FOLLOW_MARK_S)


def asked(address: str, token: str, names: Sequence[str]) -> list[float]:
    """Milliseconds of each call of the service at that address, by clients with a channel of their own."""

    def client(number: int) -> list[float]:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = scoring_service_pb2_grpc.ScoringServiceStub(channel)  # type: ignore[no-untyped-call] # generated
            metadata = [("authorization", f"Bearer {token}")]

            def call(name: str) -> None:
                request = scoring_service_pb2.GetCustomerScoresRequest(name=name)
                assert stub.GetCustomerScores(request, metadata=metadata, timeout=10).name == name

            return _again_and_again(call, names[number:])

    return _at_once(client)


def found(rows: pymongo.collection.Collection[Json], tenant: str, names: Sequence[str]) -> list[float]:
    """Milliseconds of each look-up of the documents by their ids."""

    def client(number: int) -> list[float]:
        def find(name: str) -> None:
            assert rows.find_one({"_id": f"{tenant}/{name.split('/')[1]}"}) is not None

        return _again_and_again(find, names[number:])

    return _at_once(client)


def _delay(platform: Platform, tenant: Tenant, rows: pymongo.collection.Collection[Json], number: int) -> float:
    """Seconds from a purchase to scores that know it."""
    order = _order(number, 0) | {"messageId": f"probe-{number}", "timestamp": datetime.now(UTC).isoformat()}
    # No other customer has spent as much in as many purchases.
    order["properties"] = {"revenue": 100 + number, "currency": "USD", "order_id": f"probe-{number}"}
    revenue = int(ORDERS * PRICE * 100) + 100 * (100 + number)
    known = {"tenant": tenant.id, "currency": "USD", "purchases": ORDERS + 1, "revenue_minor": revenue}
    begin = time.monotonic()
    _post(platform, tenant, [order])
    wait_for(
        lambda: rows.find_one(known, {"_id": 1}) is not None, "the scores know the purchase", timeout=60, pause=0.05
    )
    return time.monotonic() - begin


def _post(platform: Platform, tenant: Tenant, batch: Sequence[Json]) -> None:
    write_key = next(iter(tenant.write_keys.values()))
    patiently(
        lambda: requests.post(f"{platform.gateway}/v1/batch", json={"batch": batch}, auth=(write_key, ""), timeout=60)
    )


def _at_once(client: Callable[[int], list[float]]) -> list[float]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return [each for spent in pool.map(client, range(CLIENTS)) for each in spent]


def _again_and_again(call: Callable[[str], None], names: Sequence[str]) -> list[float]:
    """Of the calls after the warm-up."""
    spent = []
    begin = time.monotonic()
    for name in cycle(names):
        before = time.monotonic()
        if before - begin >= WARM_UP_SECONDS + SECONDS:
            break
        call(name)
        if before - begin >= WARM_UP_SECONDS:
            spent.append((time.monotonic() - before) * 1000)
    return spent


def _scored(platform: Platform, tenant: Tenant) -> list[str]:
    """Names of the scores of customers who have bought something."""
    say(f"scores: making {CUSTOMERS} customers with {ORDERS} orders each")
    orders = (_order(number, place) for number in range(CUSTOMERS) for place in range(ORDERS))
    while batch := list(islice(orders, 100)):
        _post(platform, tenant, batch)
    api = tenant.api
    all_orders = str(CUSTOMERS * ORDERS)
    wait_for(lambda: api.get("/v1/purchases:summarize").get("purchaseCount") == all_orders, "all purchases are known")
    purpose = {"displayName": "Profiling", "legalBasis": "LEGAL_BASIS_LEGITIMATE_INTERESTS"}
    api.post("/v1/purposes", purpose | {"channels": ["CHANNEL_NONE"]}, purposeId="profiling")
    job = api.post("/v1/scoringJobs")["name"]
    wait_for(lambda: "endTime" in api.get(f"/v1/{job}"), "the scoring job ended", timeout=120)
    return [str(scores["name"]) for scores in api.pages("/v1/customerScores", "customerScores")]


def _order(number: int, place: int) -> Json:
    return {
        "type": "track",
        "userId": f"user-{number}",
        "event": "Order Completed",
        "messageId": f"{number}-{place}",
        "timestamp": (datetime.now(UTC) - timedelta(days=30 * place + number % 30)).isoformat(),
        "properties": {"revenue": PRICE, "currency": "USD", "order_id": f"{number}-{place}"},
    }
