import logging
import time
from contextlib import contextmanager
from types import SimpleNamespace

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from chassis import context, errors, keys, permissions, server, tenancy
from chassis.interceptors import DEADLINE_DEFAULT_S, DEADLINE_MAX_S
from testkit.waiting import eventually

from .conftest import bearer, unpacked

NAME = "shelves/a/things/b"
REQUEST_ID = "6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11"


@contextmanager
def refused(code: grpc.StatusCode, reason: str):
    """Expects a refusal; the yielded object gets its details by type name."""
    told = SimpleNamespace()
    with pytest.raises(grpc.RpcError) as caught:
        yield told
    assert caught.value.code() is code
    status = rpc_status.from_call(caught.value)
    assert status is not None
    told.status = status
    for kind in (error_details_pb2.BadRequest, error_details_pb2.RetryInfo, error_details_pb2.PreconditionFailure):
        told.__dict__[kind.DESCRIPTOR.name] = unpacked(status, kind)
    told.info = unpacked(status, error_details_pb2.ErrorInfo)
    assert (told.info.reason, told.info.domain) == (reason, "things.rapport")


def test_request_runs_in_the_tenant_of_its_token(serving, servicer, things):
    stub = serving().stub
    stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    seen = servicer.contexts[0]
    assert (seen.tenant, seen.principal, seen.method) == ("acme", "principals/ada", "things.v1.ThingService/GetThing")
    assert seen.permissions == {"things.*"}
    assert (seen.request_id, seen.body_hash) == (None, None)
    assert context.current_or_none() is None


def test_request_id_and_body_hash(serving, servicer, things):
    stub = serving().stub
    for title, request_id in (("a", REQUEST_ID), ("a", REQUEST_ID.replace("6f", "7f")), ("b", REQUEST_ID)):
        thing = things.pb.Thing(title=title, color="RED")
        request = things.pb.CreateThingRequest(parent="shelves/a", thing=thing, request_id=request_id)
        stub.CreateThing(request, metadata=bearer())
    first, other_id, other_body = servicer.contexts
    assert first.request_id == REQUEST_ID
    assert first.body_hash == other_id.body_hash != other_body.body_hash


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (list, "CREDENTIAL_MISSING"),
        (lambda: [("authorization", "Basic YTpi")], "CREDENTIAL_MISSING"),
        (lambda: [("authorization", "Bearer x.y.z")], "TOKEN_INVALID"),
        (lambda: bearer(audience="identity"), "TOKEN_INVALID"),
    ],
)
def test_strangers_are_refused(serving, servicer, things, metadata, reason):
    stub = serving().stub
    with refused(grpc.StatusCode.UNAUTHENTICATED, reason):
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=metadata())
    assert servicer.contexts == []


def test_expired_token_is_refused(serving, things, monkeypatch):
    stub = serving().stub
    then = time.time() - 400
    with monkeypatch.context() as patch:
        patch.setattr(keys.time, "time", lambda: then)
        old = bearer()
    with refused(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED"):
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=old)


def test_permission_is_checked_before_the_fields(serving, servicer, things):
    stub = serving().stub
    with refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING") as told:
        stub.GetThing(things.pb.GetThingRequest(), metadata=bearer(("things.things.create", "thing.*", "identity.*")))
    assert told.info.metadata["permission"] == "things.things.read"
    assert servicer.contexts == []


@pytest.mark.parametrize("granted", ["*", "things.*", "things.things.*", "things.things.read"])
def test_wildcards_permit(serving, things, granted):
    assert serving().stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer((granted,))).title == "kept"


@given(
    st.lists(st.sampled_from("abc"), min_size=3, max_size=3),
    st.sets(st.sampled_from(["*", "a.*", "b.*", "a.a.*", "a.b.*", "a.b.c", "c.c.c"])),
)
def test_permits_exactly_what_a_prefix_covers(parts, granted):
    expected = any(
        item == ".".join(parts) if not item.endswith("*") else (".".join(parts) + ".").startswith(item[:-1])
        for item in granted
    )
    assert permissions.permits(granted, ".".join(parts)) is expected


def test_wildcard_permission_needs_a_wider_or_equal_grant():
    assert permissions.permits({"a.*"}, "a.b.*")
    assert permissions.permits({"a.b.*"}, "a.b.*")
    assert not permissions.permits({"a.b.*"}, "a.*")
    assert not permissions.permits({"a.*"}, "*")
    assert not permissions.is_permission("a.b")
    assert permissions.is_permission("a.b.c")


@pytest.mark.parametrize(("method", "principal"), [("FollowLink", "public"), ("Exchange", "internal")])
def test_methods_without_token_run_without_tenant(serving, servicer, things, method, principal):
    seen = []

    def behave(_request):
        with pytest.raises(tenancy.TenantMissing):
            tenancy.tenant()
        tenancy.enter("umbrella")
        seen.append(tenancy.tenant())
        return things.pb.Thing()

    servicer.behave = behave
    getattr(serving().stub, method)(things.pb.TokenRequest())
    assert servicer.contexts[0].principal == principal
    assert seen == ["umbrella"]


def test_field_violations_name_the_fields(serving, servicer, things):
    stub = serving().stub
    request = things.pb.CreateThingRequest(parent="nowhere", request_id="1", thing=things.pb.Thing(color=7))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS") as told:
        stub.CreateThing(request, metadata=bearer())
    assert {violation.field for violation in told.BadRequest.field_violations} == {
        "parent",
        "request_id",
        "thing.title",
        "thing.color",
    }
    assert servicer.contexts == []


def test_refusal_of_a_servicer_reaches_the_caller_whole(serving, servicer, things):
    def behave(_request):
        raise errors.FailedPrecondition(
            "THING_BROKEN",
            "The thing is broken; mend it.",
            metadata={"thing": NAME},
            preconditions=[("WHOLE", NAME, "Mend it first.")],
            retry_after_s=1.5,
        )

    servicer.behave = behave
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "THING_BROKEN") as told:
        serving().stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert told.status.message == "The thing is broken; mend it."
    assert dict(told.info.metadata) == {"thing": NAME}
    assert told.PreconditionFailure.violations[0].subject == NAME
    assert told.RetryInfo.retry_delay.ToMilliseconds() == 1500


def test_unexpected_error_tells_an_id_and_no_values(serving, servicer, things, caplog, telemetry_captured):
    def behave(_request):
        try:
            raise KeyError("ada@example.com")
        except KeyError as error:
            raise ValueError("secret of Ada Lovelace") from error

    servicer.behave = behave
    telemetry_captured.spans.clear()
    with refused(grpc.StatusCode.INTERNAL, "INTERNAL") as told, caplog.at_level(logging.INFO):
        serving().stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert "Lovelace" not in str(told.status)
    record = next(record for record in caplog.records if record.message == "unexpected error")
    assert record.error_id == told.info.metadata["error_id"]
    span = eventually(lambda: next(iter(telemetry_captured.spans.get_finished_spans()), None))
    assert span.attributes["error.type"] == "INTERNAL"
    assert span.status.status_code.name == "ERROR"
    assert "Ada" not in span.to_json()
    assert "ada@" not in span.to_json()


def test_caller_faults_do_not_mark_the_span_as_failed(serving, things, telemetry_captured):
    telemetry_captured.spans.clear()
    with refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING"):
        serving().stub.GetThing(things.pb.GetThingRequest(name=NAME))
    span = eventually(lambda: next(iter(telemetry_captured.spans.get_finished_spans()), None))
    assert span.status.status_code.name == "UNSET"
    assert span.attributes["error.type"] == "CREDENTIAL_MISSING"


def test_registered_infrastructure_error_is_translated(serving, servicer, things, monkeypatch):
    class StoreError(Exception):
        pass

    class PrimaryError(StoreError):
        pass

    monkeypatch.setattr(errors, "_translations", {})
    errors.register_translation(
        StoreError, lambda error: errors.Unavailable("STORE_AWAY", "Try again.", retry_after_s=1, cause=error)
    )

    def behave(_request):
        raise PrimaryError

    servicer.behave = behave
    with refused(grpc.StatusCode.UNAVAILABLE, "STORE_AWAY") as told:
        serving().stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert told.RetryInfo.retry_delay.seconds == 1


@pytest.mark.parametrize(("given_s", "allowed_s"), [(None, DEADLINE_DEFAULT_S), (100, DEADLINE_MAX_S), (3, 3)])
def test_every_request_has_a_bounded_deadline(serving, servicer, things, given_s, allowed_s):
    left = []

    def behave(_request):
        left.append(context.current().remaining())
        return things.pb.Thing()

    servicer.behave = behave
    serving().stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer(), timeout=given_s)
    rounding = 0.2  # gRPC sends time limits in coarse steps.
    assert allowed_s - 2 < left[0] <= allowed_s + rounding


@pytest.mark.parametrize(
    ("service", "complaint"),
    [("Forgetful", "method_rule"), ("Streaming", "streams"), ("Vague", "things.rapport/Nowhere")],
)
def test_careless_protos_stop_the_server_from_starting(settings, things, service, complaint):
    add = getattr(things.rpc, f"add_{service}ServiceServicer_to_server")
    servicer = getattr(things.rpc, f"{service}ServiceServicer")()
    with pytest.raises(ValueError, match=complaint), server.in_process(settings(), [(add, servicer)]):
        pass


def test_metrics_tell_method_and_code(serving, things, telemetry_captured):
    stub = serving().stub
    stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    with pytest.raises(grpc.RpcError):
        stub.GetThing(things.pb.GetThingRequest(name="x"), metadata=bearer())

    def counts():
        data = telemetry_captured.metrics.get_metrics_data()
        points = [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "rpc.server.call.duration"
            for point in metric.data.data_points
        ]
        codes = {dict(p.attributes)["rpc.response.status_code"]: p for p in points if "GetThing" in str(p.attributes)}
        return codes if {"OK", "INVALID_ARGUMENT"} <= set(codes) else None

    point = eventually(counts)["OK"]
    assert dict(point.attributes)["rpc.method"] == "things.v1.ThingService/GetThing"
    assert point.explicit_bounds[0] == 0.005
    assert point.max < 5
