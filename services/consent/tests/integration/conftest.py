import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from pymongo import monitoring
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from rapport.consent.v1 import consent_pb2, consent_service_pb2, consent_service_pb2_grpc, purpose_pb2

from chassis import server, tenancy
from chassis.keys import keyring
from consent.mail import Mail
from consent.servicer import ConsentServicer
from consent.settings import ConsentSettings
from consent.store import OptInMail

ALL = ("consent.*",)
EMAIL = "CHANNEL_EMAIL"
FORM = consent_pb2.Evidence(method="METHOD_FORM", origin="https://shop.example/sign-up", ip_address="192.0.2.77")


TOKEN = re.compile(r"https://shop\.example/c/([A-Za-z0-9_-]+)")


class Commands(CommandListener):
    """Counts the commands sent to MongoDB by name."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        self.counted[event.command_name] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


COMMANDS = Commands()
monitoring.register(COMMANDS)


class Client:
    """Calls as one principal of one tenant; a keyword call builds the request: `client.GetPurpose(name=...)`."""

    form = FORM

    def __init__(self, channel: grpc.Channel, tenant: str, permissions: tuple[str, ...]) -> None:
        self._stub = consent_service_pb2_grpc.ConsentServiceStub(channel)
        self.tenant = tenant
        self.permissions = permissions

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**fields: Any) -> Message:
            request = getattr(consent_service_pb2, f"{method}Request")(**fields)
            metadata = ()
            if self.permissions:
                token = keyring().mint_token(
                    tenant=self.tenant,
                    principal="principals/tester",
                    permissions=self.permissions,
                    audience="consent",
                )
                metadata = (("authorization", f"Bearer {token}"),)
            return getattr(self._stub, method)(request, metadata=metadata, timeout=20)

        return call

    @staticmethod
    def customer() -> str:
        """The name of a customer nobody has heard of."""
        return f"customers/{uuid.uuid4()}"

    def context(self) -> AbstractContextManager[object]:
        return tenancy.service_context(self.tenant)

    def purpose(self, purpose_id: str = "news", **fields: Any) -> purpose_pb2.Purpose:
        values = {
            "display_name": "News",
            "legal_basis": "LEGAL_BASIS_CONSENT",
            "channels": ["CHANNEL_EMAIL", "CHANNEL_SMS"],
            "notice": {
                "texts": [
                    {"language_code": "en", "text": "We write once a month."},
                    {"language_code": "de", "text": "Wir schreiben einmal im Monat."},
                ]
            },
        }
        return self.CreatePurpose(purpose=purpose_pb2.Purpose(**(values | fields)), purpose_id=purpose_id)

    def grant(self, customer: str, purpose: str = "purposes/news", **fields: Any) -> consent_pb2.Consent:
        values = {"channel": EMAIL, "evidence": FORM}
        return self.GrantConsent(customer=customer, purpose=purpose, **(values | fields))

    def withdraw(self, customer: str, purpose: str = "purposes/news", **fields: Any) -> consent_pb2.Consent:
        values = {"channel": EMAIL, "evidence": FORM}
        return self.WithdrawConsent(customer=customer, purpose=purpose, **(values | fields))

    def decide(self, customer: str, purpose: str = "purposes/news", **fields: Any) -> consent_pb2.Decision:
        return self.DecideConsent(customer=customer, purpose=purpose, **({"channel": EMAIL} | fields))

    def reason(self, customer: str, purpose: str = "purposes/news", **fields: Any) -> str:
        """Why it is decided as it is, `+` before it when allowed; such as `+CONSENT_GRANTED`."""
        decision = self.decide(customer, purpose, **fields)
        (reason,) = decision.reasons
        allowed = decision.outcome == consent_pb2.Decision.OUTCOME_ALLOWED
        name = consent_pb2.Decision.Reason.Name(reason).removeprefix("REASON_")
        return f"+{name}" if allowed else name

    def ask(self, customer: str, email: str = "alice@example.com", **fields: Any) -> consent_pb2.Consent:
        values = {"purpose": "purposes/news", "evidence": FORM}
        return self.RequestOptIn(customer=customer, email=email, **(values | fields))

    def links(self, consent: consent_pb2.Consent) -> list[str]:
        """The tokens in the messages that wait to be sent about a consent, oldest first."""
        with self.context():
            rows = OptInMail.rows().find({"consent": consent.uid, "state": "WAITING"}, sort=[("_id", 1)])
            mails = [Mail.unsealed(bytes(row["sealed"]), row["uid"]) for row in rows]
        return [self.token(mail.raw) for mail in mails]

    @staticmethod
    def token(raw: bytes) -> str:
        """The token in a message's link."""
        text = message_from_bytes(raw, policy=policy.default).get_body(("plain",)).get_content()
        return TOKEN.search(text)[1]


@pytest.fixture(scope="module")
def settings(database: ConsentSettings, tmp_path_factory: pytest.TempPathFactory) -> ConsentSettings:
    clock_file: Path = tmp_path_factory.mktemp("clock") / "offset.json"
    return database.model_copy(
        update={
            "mail_from": "Shop <no-reply@shop.example>",
            "public_url": "https://shop.example",
            "smtp_starttls": False,
            "clock_file": clock_file,
            "checkpoint_seconds": 3_600.0,
        }
    )


@pytest.fixture(scope="module")
def target(settings: ConsentSettings) -> Iterator[str]:
    servicers = [
        (consent_service_pb2_grpc.add_ConsentServiceServicer_to_server, ConsentServicer(settings)),
    ]
    with server.in_process(settings, servicers) as address:
        yield address


@pytest.fixture(scope="module")
def channel(target: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as opened:
        yield opened


@pytest.fixture
def client(channel: grpc.Channel) -> Client:
    """Everything in a tenant of its own for each test."""
    return Client(channel, f"t{uuid.uuid4().hex[:12]}", ALL)


@pytest.fixture
def commands() -> Commands:
    """The commands sent to MongoDB, counted; clear it first."""
    return COMMANDS


@pytest.fixture
def public(channel: grpc.Channel) -> Client:
    """A caller without any credential."""
    return Client(channel, "", ())
