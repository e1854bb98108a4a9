"""Real gRPC servers with scripted answers stand behind the gateway: the chain of checks in them is the platform's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from google.protobuf.message import Message
from rapport.access.v1 import access_service_pb2

from chassis import client as chassis_client
from chassis import clock, keys, server, telemetry, tenancy
from chassis.errors import Unauthenticated
from chassis.settings import Settings as ChassisSettings
from contracts import descriptors
from gateway.app import create_app
from gateway.settings import Settings
from testkit.keys import TEST_KEYRING

ALL, NONE, WRITE = "rk.acme.all", "rk.acme.none", "rk.acme.write"
PERMISSIONS = {ALL: {"*"}, NONE: set(), WRITE: {"identity.events.ingest"}}

Answer = Callable[[Any], Message]


class ScriptedServices:
    """All services: every RPC answers with an empty message unless the test scripts it, and is remembered."""

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.answers: dict[str, Answer] = {}
        self.beside: dict[str, tuple[tuple[str, str], ...]] = {}
        """RPC -> what it tells beside its answer, as trailing metadata."""
        self._lock = threading.Lock()

    def reset(self) -> None:
        with self._lock:
            self.calls, self.answers, self.beside = [], {"ExchangeCredential": exchange}, {}

    def requests(self, rpc: str) -> list[Any]:
        with self._lock:
            return [request for name, request, _ in self.calls if name == rpc]

    def metadata(self, rpc: str) -> dict[str, Any]:
        with self._lock:
            return next(found for name, _, found in reversed(self.calls) if name == rpc)

    def servicer(self, service: Any, base: type) -> Any:
        def method(rpc: Any) -> Any:
            output = descriptors.message_class(rpc.output_type.full_name)

            def handle(_self: Any, request: Any, context: Any) -> Message:
                with self._lock:
                    kept = type(request)()
                    kept.CopyFrom(request)
                    metadata = dict(context.invocation_metadata()) | {"remaining": context.time_remaining()}
                    self.calls.append((rpc.name, kept, metadata))
                    answer = self.answers.get(rpc.name)
                    if rpc.name in self.beside:
                        context.set_trailing_metadata(self.beside[rpc.name])
                return answer(request) if answer else output()

            return handle

        return type("Scripted", (base,), {rpc.name: method(rpc) for rpc in service.methods})()


def exchange(request: Any) -> Message:
    kind = request.WhichOneof("credential")
    secret = getattr(request, kind)
    if secret not in PERMISSIONS or (kind == "write_key") != (secret == WRITE):
        raise Unauthenticated("CREDENTIAL_UNKNOWN", "No such credential, or it was revoked.")
    token = keys.keyring().mint_token(
        tenant=request.tenant or "acme",
        principal="principals/tester",
        permissions=PERMISSIONS[secret],
        audience=request.audience,
        ttl_s=60,
    )
    answer = access_service_pb2.ExchangeCredentialResponse(
        token=token, tenant="acme", principal="principals/tester", source="shop" if kind == "write_key" else ""
    )
    answer.expire_time.FromDatetime(clock.real_now() + timedelta(seconds=60))
    return answer


@pytest.fixture(scope="session")
def settings() -> Settings:
    settings = Settings(keys=TEST_KEYRING, bind_host="127.0.0.1", environment="test")
    keys.configure(settings)
    clock.configure(settings)
    tenancy.configure(settings)
    telemetry.setup(settings)
    return settings


@pytest.fixture(scope="session")
def scripted_session(settings: Settings) -> Iterator[ScriptedServices]:
    services = ScriptedServices()
    with ExitStack() as stack:
        for service in descriptors.services():
            name = service.full_name.split(".")[1]
            module = import_module(f"rapport.{name}.v1.{name}_service_pb2_grpc")
            add = getattr(module, f"add_{service.name}Servicer_to_server")
            servicer = services.servicer(service, getattr(module, f"{service.name}Servicer"))
            own = ChassisSettings(service=name, keys=TEST_KEYRING, environment="test")
            services.targets[name] = stack.enter_context(server.in_process(own, [(add, servicer)]))
        yield services
        chassis_client.close_channels()


@pytest.fixture
def services(scripted_session: ScriptedServices) -> ScriptedServices:
    scripted_session.reset()
    return scripted_session


@pytest.fixture
def make_app(services: ScriptedServices, settings: Settings) -> Callable[..., Flask]:
    def make(**overrides: Any) -> Flask:
        changes = {"upstreams": services.targets, "default_timeout_s": 5.0} | overrides
        return create_app(settings.model_copy(update=changes))

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def auth() -> dict[str, str]:
    return {"Authorization": f"Bearer {ALL}"}
