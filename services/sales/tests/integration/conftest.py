import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message as Proto
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.sales.v1 import sales_service_pb2, sales_service_pb2_grpc

from chassis import clock, ids, server, tenancy
from chassis.keys import keyring
from eventing.delivery import Delivery, Message
from eventing.envelope import Envelope
from eventing.verdicts import Settle
from localrun.ports import free_port
from sales.handlers import Handlers
from sales.servicer import SalesServicer
from sales.settings import SalesSettings
from testkit.roles import RoleProcess


@pytest.fixture(scope="module")
def settings(database: SalesSettings, tmp_path_factory: pytest.TempPathFactory) -> SalesSettings:
    return database.model_copy(update={"clock_file": tmp_path_factory.mktemp("clock") / "offset.json"})


@pytest.fixture(scope="module")
def channel(settings: SalesSettings) -> Iterator[grpc.Channel]:
    servicers = [(sales_service_pb2_grpc.add_SalesServiceServicer_to_server, SalesServicer())]
    with server.in_process(settings, servicers) as address, grpc.insecure_channel(address) as opened:
        yield opened


class Client:
    """Calls as one principal of one tenant; a keyword call builds the request: `client.GetLead(name=...)`."""

    def __init__(self, channel: grpc.Channel, tenant: str, permissions: tuple[str, ...] = ("sales.*",)) -> None:
        self._stub = sales_service_pb2_grpc.SalesServiceStub(channel)
        self._delivery = Delivery("sales", Handlers)
        self.tenant = tenant
        self.permissions = permissions

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**fields: Any) -> Any:
            request = getattr(sales_service_pb2, f"{method}Request")(**fields)
            token = keyring().mint_token(
                tenant=self.tenant, principal="principals/tester", permissions=self.permissions, audience="sales"
            )
            metadata = (("authorization", f"Bearer {token}"),)
            return getattr(self._stub, method)(request, metadata=metadata, timeout=30)

        return call

    def context(self) -> AbstractContextManager[object]:
        return tenancy.service_context(self.tenant)

    @staticmethod
    def customer() -> str:
        """The name of a customer nobody has heard of."""
        return f"customers/{uuid.uuid4()}"

    def rep(self, uid: str, **fields: Any) -> Any:
        values = {"principal": f"principals/{uid}", "display_name": uid.title(), "capacity": 10, "available": True}
        return self.CreateSalesRep(sales_rep=values | fields, sales_rep_id=uid)

    def lead(self, **fields: Any) -> Any:
        return self.CreateLead(lead={"display_name": "Ada Lovelace", "source": "SOURCE_WEB"} | fields)

    def account(self, **fields: Any) -> Any:
        return self.CreateAccount(account={"display_name": "Acme"} | fields)

    def tell(
        self, event: Proto, subject: str = "things/1", event_id: str = "", sequence: int = 1, about: tuple = ()
    ) -> str:
        """Delivers an event, as the worker does; returns its id."""
        envelope = Envelope(
            id=event_id or ids.uuid7(),
            type=event.DESCRIPTOR.full_name,
            source="//rapport/other",
            subject=subject,
            tenant=self.tenant,
            time=clock.now(),
            sequence=(sequence, 0),
            datasubjects=tuple(about),
            body=event.SerializeToString(),
        )
        properties = envelope.to_properties()
        (outcome,) = self._delivery.process([Message(properties.pop("headers"), properties, envelope.body)])
        assert outcome.settle is Settle.DONE, outcome
        return envelope.id

    def track(self, *events: dict[str, Any], event_id: str = "") -> str:
        """Identity tells of events."""
        about = tuple({event["customer"]: None for event in events})
        return self.tell(identity_events_pb2.EventsTracked(events=events), "batches/1", event_id, about=about)

    @staticmethod
    def bought(customer: str, minor: int | None, number: str = "", **fields: Any) -> dict[str, Any]:
        """An `Order Completed` of that many cents."""
        values: dict[str, Any] = {
            "customer": customer,
            "event": "Order Completed",
            "source": "shop",
            "message_id": ids.uuid7(),
            "event_time": datetime(2026, 5, 1, 12, tzinfo=UTC),
            "order_id": number,
        }
        if minor is not None:
            values["amount"] = cents(minor)
        return values | fields

    @classmethod
    def returned(cls, customer: str, minor: int | None, number: str, **fields: Any) -> dict[str, Any]:
        """An `Order Refunded` of that many cents, or of all."""
        return cls.bought(customer, minor, number) | {"event": "Order Refunded"} | fields

    def merge(self, customer: str, into: str, sequence: int = 1) -> None:
        alias = {"customer": customer, "canonical_customer": into}
        self.tell(identity_events_pb2.CustomerMerged(alias=alias), customer, sequence=sequence)

    def settle_in(self, currency: str = "EUR", region: str = "DE") -> None:
        """Access tells of the tenant."""
        tenant = {
            "name": f"tenants/{self.tenant}",
            "uid": self.tenant,
            "settings": {"time_zone": "UTC", "currency_code": currency, "region_code": region},
        }
        self.tell(access_events_pb2.TenantCreated(tenant=tenant), f"tenants/{self.tenant}")


def cents(minor: int, currency: str = "EUR") -> dict[str, Any]:
    """An amount as the fields of a message."""
    units, rest = divmod(abs(minor), 100)
    sign = -1 if minor < 0 else 1
    return {"currency_code": currency, "units": sign * units, "nanos": sign * rest * 10_000_000}


@pytest.fixture
def client_of(channel) -> Callable[..., Client]:
    """Makes a client of a tenant, of a new one if not named, with these permissions."""
    return lambda tenant="", permissions=("sales.*",): Client(
        channel, tenant or f"t{uuid.uuid4().hex[:12]}", permissions
    )


@pytest.fixture
def client(client_of) -> Client:
    """Everything in a tenant of its own for each test."""
    return client_of()


class Travel:
    """Moves the business clock of this process, and of those that share its clock file."""

    def __init__(self, settings: SalesSettings) -> None:
        self._settings = settings
        self._offset = timedelta()

    def __call__(self, **delta: float) -> None:
        self._offset += timedelta(**delta)
        path: Path = self._settings.clock_file
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps({"offset_seconds": self._offset.total_seconds()}))
        aside.replace(path)
        clock.configure(self._settings)


@pytest.fixture
def travel(settings: SalesSettings) -> Iterator[Travel]:
    yield Travel(settings)
    settings.clock_file.unlink(missing_ok=True)
    clock.configure(settings)


@pytest.fixture
def runner(role, settings: SalesSettings) -> Callable[[], RoleProcess]:
    """Makes a runner process; start it with `.start().wait_ready()`."""
    return lambda: role(settings.model_copy(update={"role": "run", "probe_port": free_port()}))


@pytest.fixture
def refused() -> Callable[..., Any]:
    """`with refused("REASON") as error:` expects a refusal; `error` then tells its details."""
    return _Refused


class _Refused:
    def __init__(self, reason: str, code: grpc.StatusCode | None = None) -> None:
        self._reason = reason
        self._code = code
        self.details = SimpleNamespace(violations={}, metadata={})

    def __enter__(self) -> SimpleNamespace:
        return self.details

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            raise AssertionError(f"expected a refusal with {self._reason}, got none")
        if not isinstance(error, grpc.RpcError):
            return False
        status: status_pb2.Status = rpc_status.from_call(error)
        assert status is not None, error
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            if detail.Unpack(request):
                self.details.violations = {each.field: each.description for each in request.field_violations}
        assert info.reason == self._reason, status
        assert info.domain == "sales.rapport"
        self.details.metadata = dict(info.metadata)
        if self._code is not None:
            assert error.code() is self._code
        return True
