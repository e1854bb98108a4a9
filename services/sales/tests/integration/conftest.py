import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message as Proto
from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.sales.v1 import sales_service_pb2, sales_service_pb2_grpc

from chassis import ids, server, tenancy
from chassis.keys import keyring
from eventing.delivery import Delivery
from eventing.verdicts import DONE
from localrun.ports import free_port
from sales.handlers import Handlers
from sales.servicer import SalesServicer
from sales.settings import SalesSettings
from testkit.roles import RoleProcess
from testkit.telling import delivered, enveloped


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
        envelope = enveloped(event, self.tenant, *about, subject=subject, event_id=event_id, sequence=sequence)
        outcome = delivered(self._delivery, envelope)
        assert outcome == DONE, outcome
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


@pytest.fixture
def runner(role, settings: SalesSettings) -> Callable[[], RoleProcess]:
    """Makes a runner process; start it with `.start().wait_ready()`."""
    return lambda: role(settings.model_copy(update={"role": "run", "probe_port": free_port()}))
