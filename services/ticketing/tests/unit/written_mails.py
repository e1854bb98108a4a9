"""Mails as tests write them, and what becomes of them."""

import contextlib
import time
from email import policy
from email.message import EmailMessage

import pytest

from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_parsing import parse


def mail(text: str = "My order is late.", **fields: str) -> EmailMessage:
    message = EmailMessage(policy.SMTP)
    given = {"From": "Ann Smith <ann@example.com>", "To": "help@shop.example", "Subject": "Order 7"} | fields
    for name, value in given.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def raw(*lines: str, body: str = "Hello") -> bytes:
    return "\r\n".join(["From: ann@example.com", *lines, "", body]).encode("utf-8", "surrogateescape")


def refused(content: bytes) -> MailRefused:
    with pytest.raises(MailRefused) as raised:
        parse(content)
    assert raised.value.problem.endswith(".")
    return raised.value


def seconds(content: bytes) -> float:
    started = time.process_time()
    with contextlib.suppress(MailRefused):
        parse(content)
    return time.process_time() - started
