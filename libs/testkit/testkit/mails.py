"""A mail server on loopback that keeps what it is given and answers as a test tells it."""

import asyncio
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from localrun.ports import free_port


class MailServer:
    """Keeps what it is given; answers as told by recipient, and not at all while it hangs.

    received: recipient and message as it came, in the order of arrival, repeats included. answers: recipient -> SMTP
    answer, such as "550 no such user"; everybody else's mails are taken.
    """

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.answers: dict[str, str] = {}
        self.hangs = threading.Event()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it
        """Takes one message of one recipient."""
        (recipient,) = envelope.rcpt_tos
        assert isinstance(envelope.content, bytes)
        self.received.append((recipient, envelope.content))
        while self.hangs.is_set():
            await asyncio.sleep(0.02)
        return self.answers.get(recipient, "250 OK")

    def to(self, recipient: str) -> list[EmailMessage]:
        """The mails a recipient got, repeats included."""
        return [
            message_from_bytes(raw, policy=policy.default)
            for address, raw in list(self.received)
            if address == recipient
        ]


@pytest.fixture(scope="module")
def mail_server() -> Iterator[tuple[MailServer, int]]:
    """A mail server and its port on 127.0.0.1."""
    handler, port = MailServer(), free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    handler.hangs.clear()
    controller.stop()


@pytest.fixture
def inbox(mail_server: tuple[MailServer, int]) -> Iterator[MailServer]:
    """The mail server, which takes every mail again after the test."""
    yield mail_server[0]
    mail_server[0].answers.clear()
    mail_server[0].hangs.clear()
