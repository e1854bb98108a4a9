import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message as Proto
from pydantic import SecretStr
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.ticketing.v1 import ticketing_service_pb2, ticketing_service_pb2_grpc

import docstore
from chassis import server, tenancy
from chassis.keys import keyring
from chassis.lifecycle import Stopping
from contracts import descriptors
from docstore import blobs
from localrun.ports import free_port
from testkit.roles import RoleProcess
from testkit.telling import enveloped, handle
from textmodel import process
from ticketing.handlers import Handlers
from ticketing.servicer import TicketingServicer
from ticketing.settings import TicketingSettings
from ticketing.store.text_models import UID
from ticketing.usecases import learning, routing, timekeeping
from ticketing.usecases.learned_models import Learnable

from .learning_here import learned_here

WEEKDAYS = [
    {"day_of_week": day, "start": {"hours": 9}, "end": {"hours": 17}}
    for day in ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
]


@pytest.fixture(scope="module")
def settings(database: TicketingSettings, tmp_path_factory: pytest.TempPathFactory) -> TicketingSettings:
    return database.model_copy(
        update={
            "mail_from": "Shop <help@shop.example>",
            "smtp_host": "127.0.0.1",
            "smtp_port": 1,
            "smtp_starttls": False,
            "upstreams": {"identity": "127.0.0.1:1"},
            "clock_file": tmp_path_factory.mktemp("clock") / "offset.json",
        }
    )


@pytest.fixture(scope="module")
def channel(settings: TicketingSettings) -> Iterator[grpc.Channel]:
    add = ticketing_service_pb2_grpc.add_TicketingServiceServicer_to_server
    with (
        server.in_process(settings, [(add, TicketingServicer(settings))]) as address,
        grpc.insecure_channel(address) as found,
    ):
        yield found


class Client:
    """Calls as one principal of one tenant; a keyword call builds the request: `client.GetTicket(name=...)`."""

    def __init__(self, channel: grpc.Channel, tenant: str, permissions: tuple[str, ...] = ("ticketing.*",)) -> None:
        self._stub = ticketing_service_pb2_grpc.TicketingServiceStub(channel)
        self.tenant = tenant
        self.permissions = permissions

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**fields: Any) -> Proto:
            request = getattr(ticketing_service_pb2, f"{method}Request")(**fields)
            token = keyring().mint_token(
                tenant=self.tenant,
                principal="principals/tester",
                permissions=self.permissions,
                audience="ticketing",
            )
            return getattr(self._stub, method)(request, metadata=(("authorization", f"Bearer {token}"),), timeout=20)

        return call

    def context(self) -> AbstractContextManager[object]:
        return tenancy.service_context(self.tenant)

    @staticmethod
    def customer() -> str:
        """The name of a customer nobody has heard of."""
        return f"customers/{uuid.uuid4()}"

    def ticket(self, **fields: Any) -> Any:
        """A question, unless told otherwise."""
        return self.CreateTicket(ticket={"subject": "Where is it?", "kind": "KIND_QUESTION"} | fields)

    def agent(self, agent_id: str = "ann", **fields: Any) -> Any:
        """An agent who is available for two tickets, unless told otherwise."""
        values = {"display_name": agent_id.title(), "capacity": 2, "available": True}
        return self.CreateAgent(agent=values | fields, agent_id=agent_id)

    def queue(self, queue_id: str, **fields: Any) -> Any:
        return self.CreateQueue(queue={"display_name": queue_id} | fields, queue_id=queue_id)

    def calendar(self, calendar_id: str = "office", **fields: Any) -> Any:
        """Nine to five on weekdays in Berlin, unless told otherwise."""
        values = {"display_name": "Office", "time_zone": "Europe/Berlin", "hours": WEEKDAYS}
        return self.CreateCalendar(calendar=values | fields, calendar_id=calendar_id)

    def always(self) -> Any:
        """A calendar that is always open."""
        hours = [{"day_of_week": day, "end": {"hours": 24}} for day in range(1, 8)]
        return self.calendar("always", time_zone="UTC", hours=hours)

    def policy(self, policy_id: str = "standard", **fields: Any) -> Any:
        """An hour for the first answer, eight for the resolution of normal tickets, unless told otherwise."""
        target = {
            "priority": "PRIORITY_NORMAL",
            "first_response": timedelta(hours=1),
            "resolution": timedelta(hours=8),
        }
        values = {"display_name": "Standard", "calendar": "calendars/office", "targets": [target]}
        return self.CreateSlaPolicy(sla_policy=values | fields, sla_policy_id=policy_id)

    def say(self, ticket: Any, text: str = "Any news?", author: str = "AUTHOR_CUSTOMER", **fields: Any) -> Any:
        return self.CreateTicketMessage(parent=ticket.name, ticket_message={"author": author, "text": text}, **fields)

    def now(self, ticket: Any) -> Any:
        """The ticket as it now is."""
        return self.GetTicket(name=ticket.name)

    def tell(self, event: Proto, subject: str, sequence: int = 1) -> None:
        """Hands an event to the handlers."""
        handle(Handlers, enveloped(event, self.tenant, subject=subject, sequence=sequence))

    def merge(self, customer: str, into: str, sequence: int = 1) -> None:
        alias = {"customer": customer, "canonical_customer": into}
        self.tell(identity_events_pb2.CustomerMerged(alias=alias), customer, sequence)

    def told(self, *resources: str) -> list[tuple[str, Proto]]:
        """Short names and messages of all events waiting to be published, in order, of some resources or all."""
        found = []
        with self.context():
            for collection in ("tickets", "agents", "queues"):
                for row in docstore.collection(collection).find({}, {"outbox": 1, "uid": 1}):
                    if not resources or f"{collection}/{row['uid']}" in resources:
                        found += [(entry["id"], entry) for entry in row.get("outbox", ())]
        entries = [entry for _, entry in sorted(found, key=lambda each: each[0])]
        return [
            (entry["type"].rpartition(".")[2], descriptors.message_class(entry["type"]).FromString(entry["body"]))
            for entry in entries
        ]

    def told_names(self, *resources: str) -> list[str]:
        return [name for name, _ in self.told(*resources)]


@pytest.fixture
def client(channel) -> Iterator[Client]:
    """Everything in a tenant of its own for each test."""
    made = Client(channel, f"t{uuid.uuid4().hex[:12]}")
    yield made
    with made.context():
        routing.rules.forget()


@pytest.fixture
def work(settings: TicketingSettings) -> Callable[[], None]:
    """Does in this process what `run` does, until nothing is due."""

    def until_idle() -> None:
        while timekeeping.keep_time(settings):
            pass

    return until_idle


@pytest.fixture
def runner(role, settings: TicketingSettings, amqp: str):
    """Makes a runner process; start it with `.start().wait_ready()`."""

    def make() -> RoleProcess:
        changes = {"role": "run", "probe_port": free_port(), "amqp_uri": SecretStr(amqp)}
        return role(settings.model_copy(update=changes))

    return make


@pytest.fixture
def learn_one(settings, client, monkeypatch) -> Callable[[Learnable], None]:
    """Does in this process what `run` does, once, for one model of this tenant."""
    monkeypatch.setattr(process, "learn_apart", learned_here)

    def once(learnable: Learnable) -> None:
        with client.context():
            long_ago = datetime(2020, 1, 1, tzinfo=UTC)
            learnable.state.rows().update_one({"uid": UID}, {"$set": {"due": long_ago}})
        learning.learn_due(settings, blobs.store(settings), Stopping())
        with client.context():
            learnable.placed.forget()

    return once
