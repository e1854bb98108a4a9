"""The identity service served in this process on a real MongoDB, its batches applied by a thread."""

import functools
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from pydantic import SecretStr
from rapport.identity.v1 import identity_service_pb2 as pb
from rapport.identity.v1 import identity_service_pb2_grpc, tracking_event_pb2

import docstore
from chassis import clock, server, tenancy
from chassis.keys import keyring
from identity.servicer import IdentityServicer
from identity.settings import IdentitySettings
from identity.store import Customer, IngestionBatch, Merge
from identity.usecases.applying import apply_batch
from testkit import eventually
from testkit.refusals import Refusal, refusal_of

from .telling import Teller

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Client:
    """Calls as one principal of one tenant: `client.GetCustomer(name=...)`."""

    def __init__(self, channel: grpc.Channel, tenant: str, permissions: set[str]) -> None:
        self._stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
        self._claims = {"principal": "principals/tester", "permissions": permissions, "audience": "identity"}
        self.tenant = tenant

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**fields: Any) -> Message:
            request = getattr(pb, f"{method}Request")(**fields)
            return getattr(self._stub, method)(request, metadata=self._credentials(), timeout=20)

        return call

    def told_beside(self, method: str, consistency_token: str, **fields: Any) -> tuple[Any, dict[str, Any]]:
        """Calls with a consistency token, unless it is empty; the answer and the metadata that came with it."""
        metadata = [*self._credentials(), *([("x-consistency-token", consistency_token)] if consistency_token else [])]
        request = getattr(pb, f"{method}Request")(**fields)
        answer, call = getattr(self._stub, method).with_call(request, metadata=metadata, timeout=20)
        return answer, dict(call.trailing_metadata())

    def _credentials(self) -> list[tuple[str, str]]:
        token = keyring().mint_token(tenant=self.tenant, **self._claims)
        return [("authorization", f"Bearer {token}")]

    def refused(self, method: str, **fields: Any) -> Refusal:
        """Why a method is refused."""
        with pytest.raises(grpc.RpcError) as caught:
            getattr(self, method)(**fields)
        return refusal_of(caught.value)

    def create(self, **fields: Any) -> Any:
        """A customer."""
        return self.CreateCustomer(customer=fields)

    def send(self, *events: dict[str, Any], source: str = "shop") -> Any:
        """Ingests events."""
        return self.IngestEvents(source=source, events=events)

    def apply(self, *events: dict[str, Any], source: str = "shop") -> Any:
        """Ingests events and waits until they are visible; returns the batch."""
        sent = self.send(*events, source=source)
        assert not sent.rejected_events, sent
        return self.applied(sent.ingestion_batch)

    def applied(self, name: str) -> Any:
        """Waits until a batch is applied."""

        def done() -> Any:
            batch = self.GetIngestionBatch(name=name)
            return batch if batch.state == tracking_event_pb2.IngestionBatch.STATE_APPLIED else None

        return eventually(done, message=f"{name} is applied")

    def lookup(self, kind: str, value: str, source: str = "") -> Any:
        """A profile by identifier."""
        return self.LookupCustomer(kind=kind, value=value, source=source)

    def events(self, *classes: type[docstore.Aggregate]) -> list[tuple[str, str, list[int]]]:
        """(type, subject, sequence) of everything this tenant has to publish."""
        with tenancy.service_context(self.tenant):
            rows = [row for cls in classes or (Customer, Merge, IngestionBatch) for row in cls.rows().find({})]
        entries = [entry for row in rows for entry in row.get("outbox", ())]
        return [
            (e["type"].rpartition(".")[2], e["subject"], e["sequence"]) for e in sorted(entries, key=lambda e: e["id"])
        ]

    def context(self) -> Any:
        """The tenant's context, for looking into the database."""
        return tenancy.service_context(self.tenant)


def track(message_id: str, user_id: str = "", event: str = "Order Completed", **fields: Any) -> dict[str, Any]:
    """A track call."""
    return {"message_id": message_id, "kind": "KIND_TRACK", "user_id": user_id, "event": event, **fields}


def order(message_id, user_id, revenue=10.5, **properties):
    return track(message_id, user_id, properties={"revenue": revenue, "order_id": f"o-{message_id}", **properties})


def identify(message_id: str, user_id: str = "", traits: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """An identify call."""
    return {"message_id": message_id, "kind": "KIND_IDENTIFY", "user_id": user_id, "traits": traits or {}, **fields}


def merged(client: Client) -> tuple[str, str, str]:
    """Names of two customers that are one person, and of their merge; needs `applier`."""
    client.apply(identify("i1", "u1", {"email": "one@example.com"}))
    client.apply(identify("i2", "u2", {"email": "one@example.com"}), source="app")
    (merge,) = client.ListMerges().merges
    return merge.customer, merge.merged_customer, merge.name


@pytest.fixture(scope="module")
def channel(database: IdentitySettings) -> Iterator[grpc.Channel]:
    servicers = [(identity_service_pb2_grpc.add_IdentityServiceServicer_to_server, IdentityServicer(database))]
    with server.in_process(database, servicers) as target, grpc.insecure_channel(target) as opened:
        yield opened


@pytest.fixture(scope="module")
def client_of(channel: grpc.Channel) -> Callable[..., Client]:
    def make(tenant: str = "", permissions: set[str] | None = None) -> Client:
        return Client(
            channel, tenant or f"t{uuid.uuid4().hex[:8]}", {"identity.*"} if permissions is None else permissions
        )

    return make


@pytest.fixture
def client(client_of: Callable[..., Client]) -> Client:
    """A client of a tenant of its own."""
    return client_of()


@pytest.fixture(scope="module")
def settings(database: IdentitySettings, amqp: str) -> IdentitySettings:
    """Settings with a broker, for role `run`."""
    return database.model_copy(update={"amqp_uri": SecretStr(amqp)})


@pytest.fixture
def teller(client: Client) -> Teller:
    """Tells the client's tenant what other services would."""
    return Teller(client.tenant, clock.now())


@pytest.fixture(scope="module")
def applier(database: IdentitySettings) -> Iterator[None]:
    """Applies ingestion batches, as role `run` does."""
    stopping = threading.Event()
    apply = functools.partial(apply_batch, settings=database)
    thread = threading.Thread(
        target=docstore.batches.process, args=(IngestionBatch, apply, stopping), kwargs={"parallel": 2}
    )
    thread.start()
    yield
    stopping.set()
    thread.join()
