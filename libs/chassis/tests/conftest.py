import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import context, keys, server
from chassis.settings import Settings

KEYRING = json.dumps({"current": "k1", "keys": {"k1": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}})


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Stubs of the test-only proto: `.pb` (messages) and `.rpc` (stubs and servicers)."""
    from grpc_tools import protoc

    from contracts.build import include_paths

    root = tmp_path_factory.mktemp("stubs")
    source = root / "things" / "v1" / "things.proto"
    source.parent.mkdir(parents=True)
    source.write_text((Path(__file__).parent / "things.proto").read_text())
    includes = [f"-I{path}" for path in (root, *include_paths())]
    assert protoc.main(["protoc", *includes, f"--python_out={root}", f"--grpc_python_out={root}", str(source)]) == 0
    sys.path.insert(0, str(root))
    return SimpleNamespace(pb=import_module("things.v1.things_pb2"), rpc=import_module("things.v1.things_pb2_grpc"))


@pytest.fixture(scope="session")
def telemetry_captured() -> SimpleNamespace:
    """The process's own telemetry, kept in memory: `.spans` (exporter) and `.metrics` (reader)."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return SimpleNamespace(spans=spans, metrics=reader)


@pytest.fixture
def settings(telemetry_captured: SimpleNamespace) -> Callable[..., Settings]:
    """Makes settings of the service `things` and loads their keyring."""

    def make(**fields: Any) -> Settings:
        made = Settings(**{"service": "things", "keys": KEYRING, **fields})
        keys.configure(made)
        return made

    return make


class ThingServicer:
    """Answers with what `behave` returns, and keeps the contexts of all requests."""

    def __init__(self, things: SimpleNamespace) -> None:
        self.things = things
        self.contexts: list[context.RequestContext] = []
        self.requests: list[Any] = []
        self.behave: Callable[[Any], Any] = lambda _request: things.pb.Thing(title="kept")

    def _answer(self, request: Any, _grpc_context: grpc.ServicerContext) -> Any:
        self.contexts.append(context.current())
        self.requests.append(request)
        return self.behave(request)

    GetThing = CreateThing = FollowLink = Exchange = _answer


@pytest.fixture
def servicer(things: SimpleNamespace) -> ThingServicer:
    return ThingServicer(things)


@pytest.fixture
def serving(
    things: SimpleNamespace, settings: Callable[..., Settings], servicer: ThingServicer
) -> Iterator[Callable[..., SimpleNamespace]]:
    """Starts the thing server: `.target`, `.stub` on a plain channel, `.channel`."""
    with ExitStack() as stack:

        def start(ready: server.Ready = (), **fields: Any) -> SimpleNamespace:
            pairs = [(things.rpc.add_ThingServiceServicer_to_server, servicer)]
            target = stack.enter_context(server.in_process(settings(**fields), pairs, ready))
            channel = stack.enter_context(grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]))
            return SimpleNamespace(target=target, channel=channel, stub=things.rpc.ThingServiceStub(channel))

        yield start


def bearer(
    permissions: tuple[str, ...] = ("things.*",), audience: str = "things", **more: Any
) -> list[tuple[str, str]]:
    token = keys.keyring().mint_token(
        **{"tenant": "acme", "principal": "principals/ada", **more}, permissions=permissions, audience=audience
    )
    return [("authorization", f"Bearer {token}")]


def unpacked(status, kind: type[Message]):
    message = kind()
    return next((message for detail in status.details if detail.Unpack(message)), None)
