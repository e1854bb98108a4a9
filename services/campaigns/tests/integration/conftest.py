import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message as Proto
from pydantic import SecretStr
from rapport.campaigns.v1 import campaigns_service_pb2, campaigns_service_pb2_grpc, message_pb2
from rapport.consent.v1 import consent_pb2, consent_service_pb2, consent_service_pb2_grpc, events_pb2, purpose_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

from campaigns.handlers import Handlers
from campaigns.servicer import CampaignsServicer
from campaigns.settings import CampaignsSettings
from campaigns.store import Message
from campaigns.usecases import advancing, sending, unsubscribing
from chassis import client as chassis_client
from chassis import server, tenancy
from chassis.keys import keyring
from chassis.smtp import Mailer
from localrun.ports import free_port
from testkit.neighbours import serving
from testkit.roles import RoleProcess
from testkit.telling import enveloped, handle

EMAIL = purpose_pb2.CHANNEL_EMAIL
FORM = consent_pb2.Evidence(method="METHOD_FORM")
SEGMENT = "segments/at-risk"
PURPOSE = "purposes/news"


@pytest.fixture(scope="session")
def consent_process(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleProcess]:
    """The real consent service, on a database of its own."""
    folder = tmp_path_factory.mktemp("consent")
    with serving("consent", mongodb, folder, mail_from="Shop <no-reply@shop.example>") as process:
        yield process


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

    def tell(self, event: Proto, subject: str = "things/1", event_id: str = "", sequence: int = 1) -> str:
        """Hands an event to the handlers; returns its id."""
        envelope = enveloped(event, self.tenant, subject=subject, event_id=event_id, sequence=sequence)
        handle(Handlers, envelope)
        return envelope.id

    def know(self, *customers: str, **fields: str) -> None:
        """Identity tells of customers; their address is their id's first part at example.com."""
        for customer in customers:
            state = {"customer": customer, "email": self.address(customer), "given_name": "Ann"} | fields
            self.tell(identity_events_pb2.CustomerUpdated(customer=state), customer)

    def consenting(self) -> str:
        """A customer who is known and agrees to news."""
        customer = self.customer()
        self.know(customer)
        self.grant(customer)
        return customer

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
def work(settings: CampaignsSettings) -> Callable[[], None]:
    """Does in this process what `run` does, until nothing is due."""

    def until_idle() -> None:
        with Mailer(settings) as mailer:
            while advancing.advance(settings) + sending.send_due(settings, mailer):
                pass
            unsubscribing.tell_consent(settings)

    return until_idle


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
