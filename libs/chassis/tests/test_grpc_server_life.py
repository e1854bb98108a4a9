"""A server from its start to its end: overload, readiness, draining, reflection."""

import threading
from contextlib import ExitStack
from types import SimpleNamespace

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from chassis import server
from chassis.lifecycle import Stopping
from chassis.settings import ConfigurationError
from testkit.waiting import eventually

from .conftest import bearer, unpacked

NAME = "shelves/a/things/b"


def test_overload_is_refused_while_health_answers(serving, servicer, things):
    release, running = threading.Event(), threading.Semaphore(0)

    def behave(_request):
        running.release()
        assert release.wait(20)
        return things.pb.Thing()

    servicer.behave = behave
    started = serving(grpc_threads=1, grpc_max_concurrent=3)
    request = things.pb.GetThingRequest(name=NAME)
    held = [started.stub.GetThing.future(request, metadata=bearer(), timeout=20) for _ in range(3)]
    try:
        assert running.acquire(timeout=10)

        def overloaded():
            try:
                started.stub.GetThing(request, metadata=bearer(), timeout=0.3)
            except grpc.RpcError as error:
                return error if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else None

        error = eventually(overloaded)
        assert unpacked(rpc_status.from_call(error), error_details_pb2.RetryInfo) is not None
        assert health(started, "live") == "SERVING"
    finally:
        release.set()
    for call in held:
        call.result(timeout=20)
    eventually(lambda: started.stub.GetThing(request, metadata=bearer()) is not None)


def health(started, service: str) -> str:
    answer = health_pb2_grpc.HealthStub(started.channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=5
    )
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def test_readiness_follows_its_checks(serving, monkeypatch):
    monkeypatch.setattr(server, "_READY_INTERVAL_S", 0.02)
    broken = threading.Event()

    def store_answers():
        if broken.is_set():
            raise ConnectionError("no store")

    started = serving(ready=[store_answers])
    eventually(lambda: health(started, "ready") == health(started, "") == "SERVING")
    broken.set()
    eventually(lambda: health(started, "ready") == "NOT_SERVING")
    assert health(started, "live") == "SERVING"
    broken.clear()
    eventually(lambda: health(started, "ready") == "SERVING")


def test_drain_ends_running_requests_and_refuses_readiness(settings, servicer, things):
    release, running = threading.Event(), threading.Event()

    def behave(_request):
        running.set()
        assert release.wait(20)
        return things.pb.Thing(title="in time")

    servicer.behave = behave
    port = free_port()
    configured = settings(bind_host="127.0.0.1", grpc_port=port, drain_s=1.0, shutdown_grace_s=10)
    stopping = Stopping()
    pairs = [(things.rpc.add_ThingServiceServicer_to_server, servicer)]
    thread = threading.Thread(target=server.serve, args=(configured, stopping, pairs, lambda: None))
    thread.start()
    with ExitStack() as stack:
        stack.callback(release.set)
        channel = stack.enter_context(
            grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)])
        )
        grpc.channel_ready_future(channel).result(timeout=10)
        started = SimpleNamespace(channel=channel)
        eventually(lambda: health(started, "ready") == "SERVING")
        call = things.rpc.ThingServiceStub(channel).GetThing.future(
            things.pb.GetThingRequest(name=NAME), metadata=bearer(), timeout=20
        )
        assert running.wait(10)
        stopping.set()
        eventually(lambda: health(started, "ready") == "NOT_SERVING")
        release.set()
        assert call.result(timeout=10).title == "in time"
    thread.join(20)
    assert not thread.is_alive()


def test_taken_port_is_a_configuration_error(settings, serving, things, servicer):
    port = int(serving().target.rpartition(":")[2])
    configured = settings(bind_host="127.0.0.1", grpc_port=port)
    pairs = [(things.rpc.add_ThingServiceServicer_to_server, servicer)]
    with pytest.raises(ConfigurationError, match="RAPPORT_GRPC_PORT"):
        server.serve(configured, Stopping(), pairs)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("enabled", [True, False])
def test_reflection_lists_the_services_when_allowed(serving, enabled):
    started = serving(grpc_reflection=enabled)
    stub = reflection_pb2_grpc.ServerReflectionStub(started.channel)
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5)
    if enabled:
        names = {service.name for answer in answers for service in answer.list_services_response.service}
        assert {"things.v1.ThingService", "grpc.health.v1.Health"} <= names
    else:
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
