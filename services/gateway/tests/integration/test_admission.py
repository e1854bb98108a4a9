"""Credentials, their cache, and rates."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from rapport.access.v1 import tenant_pb2

from chassis import clock
from chassis.errors import Unauthenticated, Unavailable
from testkit import eventually

ALL, NONE = "rk.acme.all", "rk.acme.none"


def get(client, key=ALL, path="/v1/tenants/acme", **headers):
    return client.get(path, headers={"X-Api-Key": key, **headers})


def test_a_credential_is_exchanged_once_for_each_service_and_tenant(client, services):
    for _ in range(3):
        assert get(client).status_code == 200
    assert get(client, path="/v1/customers").status_code == 200
    assert get(client, **{"X-Rapport-Tenant": "other"}).status_code == 200
    seen = [(request.audience, request.tenant) for request in services.requests("ExchangeCredential")]
    assert seen == [("access", ""), ("identity", ""), ("access", "other")]


def test_a_revoked_credential_is_refused_once_its_exchange_is_old(make_app, services):
    client = make_app(credential_cache_s=0.3).test_client()
    assert get(client).status_code == 200

    def revoked(_):
        raise Unauthenticated("CREDENTIAL_REVOKED", "Revoked.")

    services.answers["ExchangeCredential"] = revoked
    eventually(lambda: get(client).status_code == 401, 5, "the revoked key is refused")


def test_a_grant_is_as_old_as_the_question_for_it(make_app, services):
    """Access may have read the key just before it was revoked, and have answered long after."""
    client, working = make_app(credential_cache_s=2.0).test_client(), services.answers["ExchangeCredential"]

    def slow(request):
        if len(services.requests("ExchangeCredential")) == 1:
            threading.Event().wait(1.9)
        return working(request)

    services.answers["ExchangeCredential"] = slow
    begun = time.monotonic()
    eventually(
        lambda: get(client).status_code == 200 and len(services.requests("ExchangeCredential")) == 2, 10, "asked again"
    )
    assert 1.9 < time.monotonic() - begun < 3.7, "not two seconds after the answer"


def test_refusals_are_remembered_for_a_moment(client, services):
    for _ in range(5):
        assert get(client, "rk.acme.wrong").status_code == 401
    assert len(services.requests("ExchangeCredential")) == 1
    assert get(client, "rk.acme.other").status_code == 401
    assert len(services.requests("ExchangeCredential")) == 2


def test_access_out_of_reach_is_unavailable_and_not_remembered(client, services, scripted_session):
    def down(_):
        raise Unavailable("DATABASE_UNAVAILABLE", "Down.", retry_after_s=2)

    working = services.answers["ExchangeCredential"]
    services.answers["ExchangeCredential"] = down
    answer = get(client)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    services.answers["ExchangeCredential"] = working
    assert get(client).status_code == 200


def test_nobody_listening_is_unavailable(make_app, services):
    client = make_app(upstreams={**services.targets, "access": "127.0.0.1:1"}).test_client()
    answer = get(client, **{"X-Rapport-Timeout": "3"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "127.0.0.1" not in answer.text
    assert answer.json["error"]["details"][0]["reason"] == "UPSTREAM_UNAVAILABLE"


def test_each_credential_has_its_rate(make_app, services):
    client = make_app(rate_per_s=0.01, rate_burst=3).test_client()
    answers = [get(client) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[3]
    assert refused.headers["RateLimit-Limit"] == "3"
    assert 0 < int(refused.headers["Retry-After"]) <= 100
    assert refused.json["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert get(client, NONE).status_code == 403


def test_guessing_credentials_is_held_to_the_rate_of_an_address(make_app, services):
    client = make_app(address_rate_per_s=0.01, address_rate_burst=4).test_client()
    statuses = [get(client, f"rk.acme.{number}").status_code for number in range(6)]
    assert statuses == [401, 401, 401, 401, 429, 429]
    assert len(services.requests("ExchangeCredential")) == 4
    assert client.get("/c/token").status_code == 429
    assert client.get("/v1/optIns:view?token=x").status_code == 429


def test_addresses_behind_a_trusted_proxy_are_told_apart(make_app, services):
    direct = make_app(address_rate_per_s=0.01, address_rate_burst=1).test_client()
    assert direct.get("/v1/customers", headers={"X-Forwarded-For": "203.0.113.1"}).status_code == 401
    assert direct.get("/v1/customers", headers={"X-Forwarded-For": "203.0.113.2"}).status_code == 429
    proxied = make_app(address_rate_per_s=0.01, address_rate_burst=1, trusted_proxies=1).test_client()
    for address in ("203.0.113.1", "9.9.9.9, 203.0.113.2"):
        assert proxied.get("/v1/customers", headers={"X-Forwarded-For": address}).status_code == 401
    # What stands before the proxy's own entry is the client's claim.
    assert proxied.get("/v1/customers", headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.2"}).status_code == 429


def test_concurrent_calls_all_get_their_own_answers(make_app, services):
    app = make_app()
    services.answers["GetTenant"] = lambda request: tenant_pb2.Tenant(name=request.name)

    def name(number):
        return get(app.test_client(), path=f"/v1/tenants/t{number}").json["name"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(name, range(100))) == [f"tenants/t{number}" for number in range(100)]


def test_ready_once_every_service_was_reached(make_app, services):
    ready = make_app().test_client().get("/readyz")
    assert (ready.status_code, ready.json["upstreams"]["identity"]) == (200, "reachable")
    unready = make_app(upstreams={**services.targets, "consent": "127.0.0.1:1"}).test_client().get("/readyz")
    assert (unready.status_code, unready.json["upstreams"]["consent"]) == (503, "unreachable")


def test_a_caller_without_patience_is_told_that_time_is_over(make_app, services):
    released = threading.Event()
    working = services.answers["ExchangeCredential"]

    def wait(request):
        released.wait(10)
        return working(request)

    services.answers["ExchangeCredential"] = wait
    answer = get(make_app().test_client(), **{"X-Rapport-Timeout": "1"})
    released.set()
    assert (answer.status_code, answer.json["error"]["status"]) == (504, "DEADLINE_EXCEEDED")


def test_a_grant_is_kept_no_longer_than_what_was_given_for_it_lasts(client, services):
    working = services.answers["ExchangeCredential"]
    ends = clock.real_now() + timedelta(seconds=1)

    def ending(request):
        if clock.real_now() >= ends:
            raise Unauthenticated("KEY_EXPIRED", "The key has expired.")
        answer = working(request)
        answer.expire_time.FromDatetime(ends)
        return answer

    services.answers["ExchangeCredential"] = ending
    assert get(client).status_code == 200
    eventually(lambda: get(client).status_code == 401, 5, "the expired key is refused")
    assert clock.real_now() < ends + timedelta(seconds=2)
    assert len(services.requests("ExchangeCredential")) == 2
