"""The access service served in this process, and callers of it."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from rapport.access.v1 import access_service_pb2 as pb
from rapport.access.v1 import access_service_pb2_grpc, tenant_pb2

from access.serve import servicers
from access.settings import Settings
from chassis import server
from chassis.keys import keyring
from testkit.refusals import Refusal, refusal_of


class Caller:
    """Calls as one principal; every call opens with a token of its own."""

    def __init__(self, channel: grpc.Channel, tenant: str, permissions: set[str], principal: str) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)
        self._claims = {"tenant": tenant, "permissions": permissions, "principal": principal, "audience": "access"}

    def __call__(self, method: str, request: Message) -> Any:
        """The answer of a method."""
        metadata = [("authorization", f"Bearer {keyring().mint_token(**self._claims)}")]
        return getattr(self._stub, method)(request, metadata=metadata, timeout=20)

    def refused(self, method: str, request: Message) -> Refusal:
        """Why a method is refused."""
        with pytest.raises(grpc.RpcError) as caught:
            self(method, request)
        return refusal_of(caught.value)


@pytest.fixture(scope="module")
def channel(database: Settings) -> Iterator[grpc.Channel]:
    with server.in_process(database, servicers(database)) as target, grpc.insecure_channel(target) as opened:
        yield opened


@pytest.fixture(scope="module")
def caller(channel: grpc.Channel) -> Callable[..., Caller]:
    def make(tenant: str = "acme", permissions: set[str] | None = None, principal: str = "principals/boss") -> Caller:
        return Caller(channel, tenant, {"*"} if permissions is None else permissions, principal)

    return make


@pytest.fixture(scope="module")
def exchange(channel: grpc.Channel) -> Callable[..., pb.ExchangeCredentialResponse]:
    """Exchanges a credential without any token, as the gateway does."""
    stub = access_service_pb2_grpc.AccessServiceStub(channel)

    def call(audience: str = "identity", **credential: str) -> pb.ExchangeCredentialResponse:
        return stub.ExchangeCredential(pb.ExchangeCredentialRequest(audience=audience, **credential), timeout=20)

    return call


@pytest.fixture(scope="module")
def exchange_refused(exchange: Callable[..., pb.ExchangeCredentialResponse]) -> Callable[..., Refusal]:
    """Why a credential is refused."""

    def call(**arguments: str) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            exchange(**arguments)
        return refusal_of(caught.value)

    return call


@pytest.fixture(scope="module")
def tenant_message() -> Callable[..., tenant_pb2.Tenant]:
    def make(display_name: str = "Acme", **settings: Any) -> tenant_pb2.Tenant:
        values = {"time_zone": "Europe/Berlin", "currency_code": "EUR", "language_codes": ["de"], **settings}
        return tenant_pb2.Tenant(display_name=display_name, settings=tenant_pb2.TenantSettings(**values))

    return make


@pytest.fixture(scope="module")
def acme(caller: Callable[..., Caller], tenant_message: Callable[..., tenant_pb2.Tenant]) -> str:
    """A tenant besides `platform`."""
    caller("platform")("CreateTenant", pb.CreateTenantRequest(tenant_id="acme", tenant=tenant_message()))
    return "acme"
