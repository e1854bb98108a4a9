"""The small parts at the edge: rates, keys, etags, addresses, time limits, bodies, errors."""

import gzip
import io
import json

import grpc
import pytest
from flask import Flask, Request
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st
from rapport.access.v1 import access_service_pb2
from werkzeug.test import EnvironBuilder

from chassis.errors import InvalidArgument, Unauthenticated, Unavailable
from gateway import bodies, credentials, errors, etags, idempotency, timeouts
from gateway.admission import _network
from gateway.credentials import Credential
from gateway.errors import HttpRefusal
from gateway.limits import TokenBuckets
from gateway.pages.opt_in import masked_address


def request(data=b"", stream=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    builder = EnvironBuilder(method="POST", data=data, headers=named)
    environ = builder.get_environ()
    if stream is not None:  # As gunicorn hands over a chunked body.
        environ |= {"wsgi.input": stream, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        environ.pop("CONTENT_LENGTH", None)
    return Request(environ)


def test_a_bucket_gives_its_burst_then_refills_at_its_rate():
    buckets = TokenBuckets(rate=2, burst=3, entries=10)
    assert [buckets.take("a", 100.0).allowed for _ in range(4)] == [True, True, True, False]
    refused = buckets.take("a", 100.0)
    assert (refused.limit, refused.remaining, refused.retry_after_s) == (3, 0, 0.5)
    assert refused.reset_s == 1.5
    assert buckets.take("a", 100.5).allowed
    assert not buckets.take("a", 100.5).allowed
    assert buckets.take("b", 100.5).allowed


def test_buckets_are_bounded_and_forget_the_least_recently_used():
    buckets = TokenBuckets(rate=0.001, burst=1, entries=2)
    for key in ("a", "b", "c"):
        assert buckets.take(key, 0.0).allowed
    assert not buckets.take("c", 0.0).allowed
    assert buckets.take("a", 0.0).allowed


@given(st.lists(st.floats(0, 3), max_size=50))
def test_a_bucket_never_gives_more_than_burst_and_rate(gaps):
    buckets, now, given_out = TokenBuckets(rate=2, burst=3, entries=1), 0.0, 0
    for gap in gaps:
        now += gap
        given_out += buckets.take("a", now).allowed
    assert given_out <= 3 + 2 * now + 1e-6


def test_uuids_are_used_as_they_are_and_other_keys_become_stable_uuids():
    known = "6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11"
    assert idempotency.request_id_of(known) == known
    assert idempotency.request_id_of(known.upper()) == known
    assert idempotency.request_id_of(f'"{known}"') == known
    derived = idempotency.request_id_of("order-17")
    assert derived == idempotency.request_id_of("order-17")
    assert derived != idempotency.request_id_of("order-18")
    assert derived[14] == "4"
    assert derived[19] in "89ab"


@given(st.text(min_size=1, max_size=255))
def test_every_key_becomes_a_uuid(key):
    assert len(idempotency.request_id_of(key)) == 36


@pytest.mark.parametrize(
    ("value", "good"), [('"7"', True), ('W/"7"', True), ("*", True), ("7", False), ('"1", "2"', False)]
)
def test_if_match_is_one_quoted_etag(value, good):
    if good:
        assert etags.if_match(request(If_Match=value)) == value
    else:
        with pytest.raises(InvalidArgument, match="one quoted etag"):
            etags.if_match(request(If_Match=value))


def test_if_none_match_compares_weakly():
    for value in ('"7"', 'W/"7"', '"1", "7"', "*"):
        assert etags.none_match(request(If_None_Match=value), '"7"')
    assert not etags.none_match(request(If_None_Match='"70"'), '"7"')
    assert not etags.none_match(request(), '"7"')
    assert etags.header_value("7") == '"7"'
    assert etags.header_value('"7"') == '"7"'


@pytest.mark.parametrize("value", ["0", "0.09", "5e-324", "-1", "soon", "nan", "inf", ""])
def test_refuses_time_limits_in_which_no_call_could_be_made(value):
    with pytest.raises(InvalidArgument, match="X-Rapport-Timeout"):
        timeouts.deadline_of(request(X_Rapport_Timeout=value), 10)


def test_reads_credentials_from_either_header():
    assert credentials.from_headers(request(Authorization="Bearer rk.a.b.c")) == Credential("api_key", "rk.a.b.c")
    assert credentials.from_headers(request(Authorization="bearer eyJ.a.b")) == Credential("jwt", "eyJ.a.b")
    assert credentials.from_headers(request(X_Api_Key="rk.a.b.c")) == Credential("api_key", "rk.a.b.c")
    assert credentials.from_headers(request()) is None
    assert credentials.write_key_from_headers(request(Authorization="Basic cmsuYS5iOg==")) == Credential(
        "write_key", "rk.a.b"
    )
    assert "rk.a" not in repr(Credential("api_key", "rk.a"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic cms6"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + "x" * 9000},
        {"Authorization": "Bearer r\xe4k"},
        {"Authorization": "Bearer rk.a", "X_Api_Key": "rk.a"},
    ],
)
def test_refuses_malformed_credentials(headers):
    with pytest.raises(Unauthenticated):
        credentials.from_headers(request(**headers))


@pytest.mark.parametrize("value", ["Bearer rk.a", "Basic ***", "Basic 4pY="])
def test_refuses_malformed_write_keys(value):
    with pytest.raises(Unauthenticated):
        credentials.write_key_from_headers(request(Authorization=value))


def read(**given):
    return bodies.read(request(**given), 1000)


def test_reads_plain_packed_and_chunked_bodies():
    body = b'{"a": 1}'
    assert read(data=body, Content_Type="application/json") == body
    assert read(data=body, Content_Type="application/json; charset=UTF-8") == body
    assert read(data=body, Content_Type="application/merge-patch+json") == body
    assert read(data=gzip.compress(body), Content_Type="application/json", Content_Encoding="gzip") == body
    assert read(stream=io.BytesIO(body), Content_Type="application/json") == body
    assert read() == b""


@pytest.mark.parametrize(
    ("status", "given"),
    [
        (413, {"data": b"x" * 1001, "Content_Type": "application/json"}),
        (413, {"stream": io.BytesIO(b"x" * 5000), "Content_Type": "application/json"}),
        (413, {"data": gzip.compress(b"x" * 100_000), "Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (400, {"data": gzip.compress(b"{}")[:-3], "Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (400, {"data": gzip.compress(b"{}") * 2, "Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (400, {"data": b"{}", "Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (415, {"data": b"{}", "Content_Type": "application/json", "Content_Encoding": "br"}),
        (415, {"data": b"{}", "Content_Type": "text/xml"}),
        (415, {"data": b"{}", "Content_Type": "application/json; charset=utf-16"}),
        (415, {"data": b"{}"}),
    ],
)
def test_refuses_bodies_by_size_packing_and_type(status, given):
    with pytest.raises(HttpRefusal) as caught:
        read(**given)
    assert caught.value.http_status == status


def test_masks_addresses():
    assert masked_address("203.0.113.77") == "203.0.113.0"
    assert masked_address("::ffff:203.0.113.77") == "203.0.113.0"
    assert masked_address("2001:db8:1:2:3:4:5:6") == "2001:db8:1::"
    assert masked_address(None) == ""
    assert _network("2001:db8:1:2:3:4:5:6") == _network("2001:db8:1:2::1")
    assert _network("203.0.113.77") != _network("203.0.113.78")
    # As a socket that listens on both families names IPv4 clients.
    assert _network("::ffff:203.0.113.77") == _network("203.0.113.77") != _network("::ffff:203.0.113.78")


def test_every_canonical_code_has_its_http_status():
    assert set(errors.HTTP_STATUS) == set(code_pb2.Code.values()) - {code_pb2.OK}


def answer(error):
    with Flask("test").app_context():
        return errors.response(error)


def test_tells_a_refusal_as_status_json():
    refused = answer(Unavailable("GONE_FISHING", "Later.", metadata={"until": "noon"}, retry_after_s=1.2))
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "2"
    assert json.loads(refused.get_data()) == {
        "error": {
            "code": 503,
            "status": "UNAVAILABLE",
            "message": "Later.",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "GONE_FISHING",
                    "domain": "gateway.rapport",
                    "metadata": {"until": "noon"},
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.200s"},
            ],
        }
    }
    assert answer(Unauthenticated("X", "x")).headers["WWW-Authenticate"].startswith("Bearer")


def test_a_detail_of_an_unknown_type_is_told_by_its_type_alone():
    refusal = errors.RpcRefusal(errors.Status(code=3, message="m"))
    refusal.status.details.add(type_url="type.googleapis.com/unheard.Of", value=b"\xff")
    assert json.loads(answer(refusal).get_data())["error"]["details"] == [{"@type": "type.googleapis.com/unheard.Of"}]


@pytest.mark.parametrize("code", list(grpc.StatusCode)[1:])
def test_what_no_service_explained_leaks_nothing(code):
    class Failed(grpc.RpcError, grpc.Call):
        code = lambda self: found  # noqa: E731
        details = lambda self: "failed to connect to ipv4:10.0.0.7:50051 KeyError('secret')"  # noqa: E731
        trailing_metadata = lambda self: ()  # noqa: E731
        initial_metadata = is_active = time_remaining = cancel = add_callback = lambda *_: None

    found = code
    refused = answer(errors.from_rpc_error(Failed()))
    assert refused.status_code == errors.HTTP_STATUS[code.value[0]]
    text = refused.get_data(as_text=True)
    assert "10.0.0.7" not in text
    assert "secret" not in text
    assert json.loads(text)["error"]["details"][0]["domain"] == "gateway.rapport"


def test_a_credential_is_known_by_its_use():
    credential = Credential("api_key", "rk.a")
    assert credential.fingerprint("identity", "a") != credential.fingerprint("identitya", "")
    assert credential.fingerprint("access") != Credential("write_key", "rk.a").fingerprint("access")
    assert access_service_pb2.ExchangeCredentialRequest(api_key="x").WhichOneof("credential") == credential.kind
