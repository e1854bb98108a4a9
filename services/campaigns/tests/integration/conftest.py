import asyncio
import json
import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pymongo
import pytest
from aiosmtpd.controller import Controller
from google.protobuf.message import Message as Proto
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from pydantic import SecretStr
from rapport.campaigns.v1 import campaigns_service_pb2, campaigns_service_pb2_grpc, message_pb2
from rapport.consent.v1 import consent_pb2, consent_service_pb2, consent_service_pb2_grpc, events_pb2, purpose_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

import docstore
from campaigns.handlers import Handlers
from campaigns.servicer import CampaignsServicer
from campaigns.settings import CampaignsSettings
from campaigns.store import Message
from campaigns.usecases import advancing, sending, unsubscribing
from chassis import client as chassis_client
from chassis import clock, ids, server, tenancy
from chassis.keys import keyring
from chassis.smtp import Mailer
from eventing.delivery import Delivery
from eventing.delivery import Message as Delivered
from eventing.envelope import Envelope
from eventing.subscribe import subscriptions
from localrun.ports import free_port
from testkit.keys import TEST_KEYRING
from testkit.plugin import settings_class
from testkit.roles import RoleProcess

EMAIL = purpose_pb2.CHANNEL_EMAIL
FORM = consent_pb2.Evidence(method="METHOD_FORM")
SEGMENT = "segments/at-risk"
PURPOSE = "purposes/news"


class MailServer:
    """Keeps what it is given; answers as told by recipient, and not at all while it hangs."""

    def __init__(self) -> None:
        self.received: list[tuple[str, EmailMessage]] = []
        self.answers: dict[str, str] = {}
        self.hangs = threading.Event()

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd calls it
        (recipient,) = envelope.rcpt_tos
        self.received.append((recipient, message_from_bytes(envelope.content, policy=policy.default)))
        while self.hangs.is_set():
            await asyncio.sleep(0.02)
        return self.answers.get(recipient, "250 OK")

    def to(self, recipient: str) -> list[EmailMessage]:
        """The mails a recipient got, repeats included."""
        return [mail for address, mail in list(self.received) if address == recipient]


@pytest.fixture(scope="module")
def mail_server() -> Iterator[tuple[MailServer, int]]:
    handler, port = MailServer(), free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    handler.hangs.clear()
    controller.stop()


@pytest.fixture
def inbox(mail_server) -> Iterator[MailServer]:
    yield mail_server[0]
    mail_server[0].answers.clear()
    mail_server[0].hangs.clear()


@pytest.fixture(scope="session")
def consent_process(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleProcess]:
    """The real consent service, on a database of its own."""
    folder = tmp_path_factory.mktemp("consent")
    settings = settings_class("consent")(
        service="consent",
        environment="test",
        bind_host="127.0.0.1",
        grpc_port=free_port(),
        mongodb_uri=mongodb,
        database=f"test_consent_{secrets.token_hex(4)}",
        keys=TEST_KEYRING,
        blob_url=f"file://{folder}",
        mail_from="Shop <no-reply@shop.example>",
        drain_s=0.2,
    )
    RoleProcess(settings.model_copy(update={"role": "migrate"}), folder / "migrate.log").run()
    process = RoleProcess(settings, folder / "serve.log").start().wait_ready()
    yield process
    if process.process.poll() is None:
        process.kill()
    with pymongo.MongoClient(mongodb) as servers:
        servers.drop_database(settings.database)


@pytest.fixture(scope="module")
def settings(
    database: CampaignsSettings,
    amqp: str,
    consent_process: RoleProcess,
    mail_server,
    tmp_path_factory: pytest.TempPathFactory,
) -> CampaignsSettings:
    return database.model_copy(
        update={
            "amqp_uri": SecretStr(amqp),
            "mail_from": "Shop <no-reply@shop.example>",
            "public_url": "https://crm.example",
            "smtp_host": "127.0.0.1",
            "smtp_port": mail_server[1],
            "smtp_starttls": False,
            "clock_file": tmp_path_factory.mktemp("clock") / "offset.json",
            "upstreams": {"consent": f"127.0.0.1:{consent_process.settings.grpc_port}"},
        }
    )


@pytest.fixture(scope="module")
def channels(settings: CampaignsSettings) -> Iterator[dict[str, grpc.Channel]]:
    servicers = [
        (campaigns_service_pb2_grpc.add_CampaignsServiceServicer_to_server, CampaignsServicer(settings)),
    ]
    with (
        server.in_process(settings, servicers) as address,
        grpc.insecure_channel(address) as campaigns,
        grpc.insecure_channel(settings.upstreams["consent"]) as consent,
    ):
        yield {"campaigns": campaigns, "consent": consent}
    chassis_client.close_channels()


class Client:
    """Calls as one principal of one tenant; a keyword call builds the request: `client.GetMessage(name=...)`."""

    def __init__(self, channels: dict[str, grpc.Channel], tenant: str, permissions: tuple[str, ...]) -> None:
        self._stubs = {
            "campaigns": campaigns_service_pb2_grpc.CampaignsServiceStub(channels["campaigns"]),
            "consent": consent_service_pb2_grpc.ConsentServiceStub(channels["consent"]),
        }
        self.tenant = tenant
        self.permissions = permissions

    def __getattr__(self, method: str) -> Callable[..., Any]:
        service, module = "campaigns", campaigns_service_pb2
        if not hasattr(self._stubs["campaigns"], method):
            service, module = "consent", consent_service_pb2

        def call(**fields: Any) -> Proto:
            request = getattr(module, f"{method}Request")(**fields)
            metadata = ()
            if self.permissions:
                token = keyring().mint_token(
                    tenant=self.tenant, principal="principals/tester", permissions=self.permissions, audience=service
                )
                metadata = (("authorization", f"Bearer {token}"),)
            return getattr(self._stubs[service], method)(request, metadata=metadata, timeout=20)

        return call

    def context(self) -> AbstractContextManager[object]:
        return tenancy.service_context(self.tenant)

    @staticmethod
    def customer() -> str:
        """The name of a customer nobody has heard of."""
        return f"customers/{uuid.uuid4()}"

    def purpose(self) -> None:
        self.CreatePurpose(
            purpose_id="news",
            purpose={
                "display_name": "News",
                "legal_basis": "LEGAL_BASIS_CONSENT",
                "channels": ["CHANNEL_EMAIL"],
                "notice": {"texts": [{"language_code": "en", "text": "We write once a month."}]},
            },
        )

    def grant(self, *customers: str) -> None:
        for customer in customers:
            self.GrantConsent(customer=customer, purpose=PURPOSE, channel=EMAIL, evidence=FORM)

    def withdraw(self, customer: str) -> None:
        self.WithdrawConsent(customer=customer, purpose=PURPOSE, channel=EMAIL, evidence=FORM)

    def template(self, template_id: str = "hello", **fields: Any) -> Any:
        values = {
            "display_name": "Hello",
            "variables": [{"name": "given_name", "fallback": "there"}],
            "contents": [
                {
                    "language_code": "en",
                    "subject": "Hello {{ given_name }}",
                    "text": "Dear {{ given_name }}, see https://shop.example/sale?x=1 today.",
                    "html": '<html><body><p>Dear {{ given_name }}</p><a href="https://shop.example/sale?x=1">Sale'
                    "</a></body></html>",
                },
                {"language_code": "de", "subject": "Hallo {{ given_name }}", "text": "Hallo {{ given_name }}.",
                 "fallbacks": {"given_name": "du"}},
            ],
        }  # fmt: skip
        return self.CreateTemplate(template=values | fields, template_id=template_id)

    def journey(self, journey_id: str = "win-back", *steps: dict, trigger: dict | None = None, **fields: Any) -> Any:
        """An active journey; without steps: one mail, and the end."""
        values = {
            "display_name": "Win back",
            "trigger": trigger or {"segment": SEGMENT},
            "steps": steps or (self.mail("mail"), {"id": "end", "end": {}}),
        }
        made = self.CreateJourney(journey=values | fields, journey_id=journey_id)
        return self.ActivateJourney(name=made.name)

    @staticmethod
    def mail(step: str, template: str = "templates/hello") -> dict:
        return {"id": step, "send": {"template": template, "purpose": PURPOSE}}

    def tell(
        self, event: Proto, subject: str = "things/1", event_id: str = "", sequence: int = 1, **values: Any
    ) -> str:
        """Hands an event to the handlers, as the worker does; returns its id."""
        envelope = Envelope(
            id=event_id or ids.uuid7(),
            type=event.DESCRIPTOR.full_name,
            source="//rapport/other",
            subject=subject,
            tenant=self.tenant,
            time=clock.now(),
            sequence=(sequence, 0),
            body=event.SerializeToString(),
        )
        (found,) = subscriptions(Handlers)[envelope.type]
        with self.context():
            docstore.in_transaction(lambda: getattr(Handlers(), found.method)(event, envelope))
        return envelope.id

    def know(self, *customers: str, **fields: str) -> None:
        """Identity tells of customers; their address is their id's first part at example.com."""
        for customer in customers:
            state = {"customer": customer, "email": self.address(customer), "given_name": "Ann"} | fields
            self.tell(identity_events_pb2.CustomerUpdated(customer=state), customer)

    @staticmethod
    def address(customer: str) -> str:
        return f"{customer.rpartition('/')[2][:8]}@example.com"

    def enter(self, *customers: str, event_id: str = "", **scores: Any) -> str:
        """Customers come into the segment."""
        snapshots = [{"customer": customer, "p_alive": 0.2} | scores for customer in customers]
        return self.tell(
            scoring_events_pb2.SegmentEntered(segment=SEGMENT, customers=snapshots), SEGMENT, event_id=event_id
        )

    def merge(self, customer: str, into: str, sequence: int = 1) -> None:
        alias = {"customer": customer, "canonical_customer": into}
        self.tell(identity_events_pb2.CustomerMerged(alias=alias), customer, sequence=sequence)

    def told_withdrawn(self, customer: str) -> None:
        consent = {"consent": "consents/1", "customer": customer, "purpose": PURPOSE, "channel": EMAIL}
        self.tell(events_pb2.ConsentWithdrawn(consent=consent), "consents/1")

    def messages(self, **wanted: str) -> list[Any]:
        """All messages of the tenant, or those with these values."""
        filter = " AND ".join(f'{field} = "{value}"' for field, value in wanted.items())
        return list(self.ListMessages(page_size=1000, filter=filter).messages)

    def states(self, **wanted: str) -> Counter[str]:
        """How many messages are in each state, with their reasons; such as `REFUSED NEVER_ASKED`."""
        name = message_pb2.Message.State.Name
        found = (f"{name(each.state)} {each.reason}".strip() for each in self.messages(**wanted))
        return Counter(text.replace("REASON_", "").replace("STATE_", "") for text in found)

    def entries(self, journey: str = "win-back") -> list[Any]:
        return list(self.ListJourneyEntries(parent=f"journeys/{journey}", page_size=1000).journey_entries)


@pytest.fixture
def client(channels) -> Client:
    """Everything in a tenant of its own for each test."""
    return Client(channels, f"t{uuid.uuid4().hex[:12]}", ("campaigns.*", "consent.*"))


@pytest.fixture
def public(channels) -> Client:
    """A caller without any credential."""
    return Client(channels, "", ())


@pytest.fixture
def ready(client: Client) -> Client:
    """A purpose, a template and an active journey that sends it to whoever comes into the segment."""
    client.purpose()
    client.template()
    client.journey()
    return client


@pytest.fixture
def hear(client: Client) -> Callable[..., None]:
    """Hears an event as the worker does: what comes late, again, or about erased people is left out."""
    delivery = Delivery("campaigns", Handlers)

    def event(message: Proto, subject: str, *about: str, sequence: int = 1) -> None:
        told = Envelope(
            id=ids.uuid7(),
            type=message.DESCRIPTOR.full_name,
            source="//rapport/other",
            subject=subject,
            tenant=client.tenant,
            time=clock.now(),
            datasubjects=about,
            sequence=(sequence, 0),
            body=message.SerializeToString(),
        )
        properties = told.to_properties()
        (outcome,) = delivery.process([Delivered(properties.pop("headers"), properties, told.body)])
        assert outcome.settle.value == "done"

    return event


@pytest.fixture
def work(settings: CampaignsSettings) -> Callable[[], None]:
    """Does in this process what `run` does, until nothing is due."""

    def until_idle() -> None:
        with Mailer(settings) as mailer:
            while advancing.advance(settings) + sending.send_due(settings, mailer):
                pass
            unsubscribing.tell_consent(settings)

    return until_idle


class Travel:
    """Moves the business clock of this process, and of those that share its clock file."""

    def __init__(self, settings: CampaignsSettings) -> None:
        self._settings = settings
        self._offset = timedelta()

    def __call__(self, **delta: float) -> None:
        self._set(self._offset + timedelta(**delta))

    def to(self, instant: datetime) -> None:
        """Makes it `instant`."""
        self._set(instant.astimezone(UTC) - datetime.now(UTC))

    def _set(self, offset: timedelta) -> None:
        self._offset = offset
        path: Path = self._settings.clock_file
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps({"offset_seconds": offset.total_seconds()}))
        aside.replace(path)
        clock.configure(self._settings)


@pytest.fixture
def travel(settings: CampaignsSettings) -> Iterator[Travel]:
    yield Travel(settings)
    settings.clock_file.unlink(missing_ok=True)
    clock.configure(settings)


@pytest.fixture
def runner(role, settings: CampaignsSettings):
    """Makes a runner process; start it with `.start().wait_ready()`."""

    def make() -> RoleProcess:
        return role(settings.model_copy(update={"role": "run", "probe_port": free_port()}))

    return make


@pytest.fixture
def stored(client: Client) -> Callable[[str], list[dict[str, Any]]]:
    """The stored messages to a customer."""

    def rows(customer: str) -> list[dict[str, Any]]:
        with client.context():
            return list(Message.rows().find({"customer": customer}))

    return rows


@pytest.fixture
def refused() -> Callable[..., Any]:
    """`with refused("REASON") as error:` expects a refusal; `error` then tells its details."""
    return _Refused


class _Refused:
    def __init__(self, reason: str, code: grpc.StatusCode | None = None) -> None:
        self._reason = reason
        self._code = code
        self.details = SimpleNamespace(violations={})

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
        assert info.domain == "campaigns.rapport"
        if self._code is not None:
            assert error.code() is self._code
        return True
