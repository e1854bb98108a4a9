import socket
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from chassis.smtp import Mailer, PermanentMailError, SmtpSettings, TransientMailError

RAW = b"From: shop@example.org\r\nTo: a@example.org\r\nMessage-ID: <m1@shop>\r\nSubject: Hi\r\n\r\n.dot\r\nBody\r\n"


class Box:
    """Keeps mails, and refuses by the recipient's name."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.peers: set[object] = set()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        self.peers.add(session.peer)
        if address.startswith("gone"):
            return "550 5.1.1 no such person ada@example.org"
        if address.startswith("full"):
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if envelope.rcpt_tos[0].startswith("spam"):
            return "554 5.7.1 refused"
        if envelope.rcpt_tos[0].startswith("grey"):
            return "451 4.7.1 come back"
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"


@pytest.fixture
def smtp():
    box = Box()

    def login(server, session, envelope, mechanism, data):
        return AuthResult(success=data.password == b"right", handled=False)

    controller = Controller(
        box, hostname="127.0.0.1", port=0, authenticator=login, auth_require_tls=False, enable_SMTPUTF8=True
    )
    controller.port = _free_port()
    controller.start()
    yield SimpleNamespace(box=box, port=controller.port)
    controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mailer(port: int, **fields) -> Mailer:
    return Mailer(SmtpSettings(**{"smtp_port": port, "smtp_starttls": False, **fields}))


def send(to: Mailer, rcpt_to: str) -> None:
    to.send(RAW, "<m1@shop>", "bounce@example.org", rcpt_to)


def test_message_arrives_as_rendered_over_one_connection(smtp):
    with mailer(smtp.port) as to:
        send(to, "a@example.org")
        send(to, "jürgen@example.org")
    assert [mail[1] for mail in smtp.box.mails] == [["a@example.org"], ["jürgen@example.org"]]
    assert smtp.box.mails[0][0] == "bounce@example.org"
    assert smtp.box.mails[0][2] == RAW
    assert len(smtp.box.peers) == 1


@pytest.mark.parametrize(
    ("who", "kind", "code"),
    [
        ("gone", PermanentMailError, 550),
        ("spam", PermanentMailError, 554),
        ("full", TransientMailError, 452),
        ("grey", TransientMailError, 451),
    ],
)
def test_refusals_are_told_apart_and_do_not_spoil_the_connection(smtp, who, kind, code):
    with mailer(smtp.port) as to:
        with pytest.raises(kind) as caught:
            send(to, f"{who}@example.org")
        assert caught.value.code == code
        assert "@" not in str(caught.value)
        send(to, "a@example.org")
    assert len(smtp.box.mails) == 1


def test_login_failure_is_ours_not_the_mails(smtp):
    with mailer(smtp.port, smtp_user="shop", smtp_password="wrong") as to, pytest.raises(TransientMailError) as caught:
        send(to, "a@example.org")
    assert "login" in str(caught.value)
    with mailer(smtp.port, smtp_user="shop", smtp_password="right") as to:
        send(to, "a@example.org")
    assert len(smtp.box.mails) == 1


def test_required_starttls_is_never_given_up(smtp):
    with mailer(smtp.port, smtp_starttls=True) as to, pytest.raises(TransientMailError, match="STARTTLS"):
        send(to, "a@example.org")
    assert smtp.box.mails == []


def test_absent_server_is_transient_and_recovered_from(smtp):
    with mailer(_free_port()) as to, pytest.raises(TransientMailError, match="ConnectionRefusedError"):
        send(to, "a@example.org")
    with mailer(smtp.port) as to:
        send(to, "a@example.org")
        to._connection.sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(TransientMailError):
            send(to, "a@example.org")
        send(to, "a@example.org")
    assert len(smtp.box.mails) == 2


def test_message_must_carry_its_id(smtp):
    with mailer(smtp.port) as to, pytest.raises(ValueError, match="Message-ID"):
        to.send(RAW, "<other@shop>", "bounce@example.org", "a@example.org")
