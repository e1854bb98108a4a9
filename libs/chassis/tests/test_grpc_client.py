import socket
import time
from contextlib import ExitStack

import grpc
import pytest
from opentelemetry import trace

from chassis import client, context, errors, keys, server, tenancy
from chassis.settings import ConfigurationError
from testkit.waiting import eventually

from .conftest import ThingServicer, bearer

NAME = "shelves/a/things/b"


@pytest.fixture(autouse=True)
def _close_channels():
    yield
    client.close_channels()


@pytest.fixture
def stub_to(things, settings):
    def make(target, token_source=None):
        opened = client.channel(settings(upstreams={"things": target}), "things", token_source)
        return things.rpc.ThingServiceStub(opened)

    return make


def test_calls_carry_the_token_of_the_block(serving, servicer, things, stub_to):
    stub = stub_to(serving().target)
    with client.call_credentials(client.service_token("acme", "things")):
        stub.GetThing(things.pb.GetThingRequest(name=NAME))
    seen = servicer.contexts[0]
    assert (seen.tenant, seen.principal) == ("acme", tenancy.service_principal())
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetThing(things.pb.GetThingRequest(name=NAME))
    assert client.error_info(caught.value).reason == "CREDENTIAL_MISSING"


def test_token_source_is_asked_at_each_call(serving, servicer, things, stub_to):
    tenants = iter(["one", "two"])
    stub = stub_to(serving().target, lambda: client.service_token(next(tenants), "things"))
    for _ in range(2):
        stub.GetThing(things.pb.GetThingRequest(name=NAME))
    assert [seen.tenant for seen in servicer.contexts] == ["one", "two"]


def test_explicit_metadata_wins(serving, servicer, things, stub_to):
    stub = stub_to(serving().target, lambda: client.service_token("other", "things"))
    stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert servicer.contexts[0].tenant == "acme"


def test_calls_get_the_time_that_is_left(serving, servicer, things, stub_to):
    stub = stub_to(serving().target)
    left = []
    servicer.behave = lambda _request: left.append(context.current().remaining()) or things.pb.Thing()
    with tenancy.service_context("acme", deadline=time.monotonic() + 2):
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer(), timeout=9)
    stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    rounding = 0.2  # gRPC sends time limits in coarse steps.
    assert 0 < left[0] <= 2 + rounding < left[1] <= client.TIMEOUT_DEFAULT_S + rounding
    with tenancy.service_context("acme", deadline=time.monotonic() - 1), pytest.raises(errors.DeadlineExceeded):
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert len(left) == 2


def test_one_trace_runs_through_caller_and_service(serving, servicer, things, stub_to, telemetry_captured):
    stub = stub_to(serving().target)
    seen = []
    servicer.behave = lambda _request: seen.append(trace.get_current_span().get_span_context()) or things.pb.Thing()
    telemetry_captured.spans.clear()
    with trace.get_tracer("test").start_as_current_span("root") as root:
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    spans = eventually(lambda: (found := telemetry_captured.spans.get_finished_spans()) and len(found) == 3 and found)
    by_kind = {span.kind.name: span for span in spans}
    assert seen[0].trace_id == root.get_span_context().trace_id
    assert by_kind["SERVER"].parent.span_id == by_kind["CLIENT"].context.span_id
    assert by_kind["CLIENT"].parent.span_id == root.get_span_context().span_id


def test_failed_call_marks_its_span_without_the_text(serving, servicer, things, stub_to, telemetry_captured):
    def behave(_request):
        raise errors.NotFound("THING_NOT_FOUND", "no thing of ada@example.com")

    servicer.behave = behave
    stub = stub_to(serving().target)
    telemetry_captured.spans.clear()
    with pytest.raises(grpc.RpcError):
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    spans = eventually(lambda: (found := telemetry_captured.spans.get_finished_spans()) and len(found) == 2 and found)
    client_span = next(span for span in spans if span.kind.name == "CLIENT")
    assert client_span.status.description == "NOT_FOUND"
    assert all("ada@" not in span.to_json() for span in spans)


def test_unavailable_is_repeated_by_itself(serving, servicer, things, stub_to):
    def behave(_request):
        if len(servicer.requests) < 3:
            raise errors.Unavailable("OUT", "Try again.")
        return things.pb.Thing(title="third")

    servicer.behave = behave
    stub = stub_to(serving().target)
    assert stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer()).title == "third"


def test_other_refusals_are_not_repeated(serving, servicer, things, stub_to):
    def behave(_request):
        raise errors.Aborted("ETAG_MISMATCH", "Read it again.")

    servicer.behave = behave
    stub = stub_to(serving().target)
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert client.error_info(caught.value).reason == "ETAG_MISMATCH"
    assert len(servicer.requests) == 1


def test_calls_are_spread_over_all_addresses(things, settings, stub_to):
    servicers = [ThingServicer(things), ThingServicer(things)]
    with ExitStack() as stack:
        targets = [
            stack.enter_context(
                server.in_process(settings(), [(things.rpc.add_ThingServiceServicer_to_server, servicer)])
            )
            for servicer in servicers
        ]
        stub = stub_to(f"ipv4:{','.join(targets)}")

        def both_called():
            stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
            return all(servicer.requests for servicer in servicers)

        eventually(both_called)


def test_channels_are_kept(settings):
    configured = settings(upstreams={"things": "127.0.0.1:1", "other": "127.0.0.1:2"})
    first = client.channel(configured, "things")
    assert client.channel(configured, "things") is first
    assert client.channel(configured, "other") is not first


def test_unknown_service_is_a_configuration_error(settings):
    with pytest.raises(ConfigurationError, match="RAPPORT_UPSTREAMS: names no address of 'identity'"):
        client.channel(settings(), "identity")


def test_uncaught_upstream_errors_are_translated(things, stub_to):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        stub = stub_to(f"127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetThing(things.pb.GetThingRequest(name=NAME), metadata=bearer())
    assert client.error_info(caught.value) is None
    translated = errors.from_exception(caught.value)
    assert isinstance(translated, errors.Unavailable)
    assert translated.reason == "UPSTREAM_UNAVAILABLE"


def test_uncaught_refusals_of_an_upstream_are_our_defect(serving, things, stub_to):
    with pytest.raises(grpc.RpcError) as caught:
        stub_to(serving().target).GetThing(things.pb.GetThingRequest(name=NAME))
    assert errors.from_exception(caught.value).reason == "INTERNAL"


def test_service_token_reaches_its_audience_only(settings):
    settings()
    token = client.service_token("acme", "consent")
    assert keys.keyring().open_token(token, "consent").permissions == {"consent.*"}
    with pytest.raises(keys.InvalidToken):
        keys.keyring().open_token(token, "identity")
