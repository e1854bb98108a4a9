"""Marked values, and the search for them wherever the platform tells how it is doing."""

import io
import json
import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field

import pytest
import requests

import eventing.dead
from e2e.demo.api import Json
from e2e.platform import Platform

CONTROL = "privacy-control"
SERVICES = ("access", "campaigns", "consent", "gateway", "identity", "sales", "scoring", "ticketing")
PLACES = ("logs", "spans", "metrics", "dead letters")


def _mark() -> str:
    return f"zq{secrets.token_hex(6)}"


def _digits(count: int) -> str:
    return "".join(secrets.choice("123456789") for _ in range(count))


@dataclass
class Marks:
    """The planted values by what they are; secrets that the platform makes itself are added as they are made."""

    name: str = field(default_factory=_mark)
    email: str = field(default_factory=lambda: f"{_mark()}@example.org")
    other_email: str = field(default_factory=lambda: f"{_mark()}@example.org")
    phone: str = field(default_factory=lambda: f"+49151{_digits(8)}")
    trait: str = field(default_factory=_mark)
    trait_name: str = field(default_factory=_mark)
    user_id: str = field(default_factory=_mark)
    anonymous_id: str = field(default_factory=_mark)
    property: str = field(default_factory=_mark)
    message_id: str = field(default_factory=_mark)
    quarantined: str = field(default_factory=_mark)
    ipv6: str = field(default_factory=lambda: f"2001:db8:{secrets.randbelow(0xEFFF) + 0x1000:x}:7a:1:2:3:4")
    user_agent: str = field(default_factory=_mark)
    origin: str = field(default_factory=lambda: f"https://shop.example/{_mark()}")
    wrong_key: str = field(default_factory=lambda: f"rk.acme.{uuid.uuid4()}.{secrets.token_urlsafe(32)}")
    jwt: str = field(default_factory=lambda: f"eyJhbGciOiJSUzI1NiJ9.{_mark()}.{_mark()}")
    wrong_link: str = field(default_factory=_mark)
    path: str = field(default_factory=_mark)
    query: str = field(default_factory=_mark)
    header: str = field(default_factory=_mark)
    body_key: str = field(default_factory=_mark)
    broken: str = field(default_factory=_mark)
    mail_subject: str = field(default_factory=_mark)
    mail_text: str = field(default_factory=_mark)
    mail_sender: str = field(default_factory=lambda: f"{_mark()}@example.org")
    mail_sender_name: str = field(default_factory=_mark)
    mail_message_id: str = field(default_factory=lambda: f"{_mark()}@example.org")
    attachment: str = field(default_factory=_mark)
    ticket_subject: str = field(default_factory=_mark)
    ticket_text: str = field(default_factory=_mark)
    requester: str = field(default_factory=lambda: f"{_mark()}@example.org")
    answer: str = field(default_factory=_mark)
    lead: str = field(default_factory=_mark)
    company: str = field(default_factory=_mark)
    lead_email: str = field(default_factory=lambda: f"{_mark()}@example.org")
    lead_phone: str = field(default_factory=lambda: f"+49151{_digits(8)}")
    lead_message: str = field(default_factory=_mark)
    disqualified: str = field(default_factory=_mark)
    contact: str = field(default_factory=_mark)
    contact_phone: str = field(default_factory=lambda: f"+49151{_digits(8)}")
    deal: str = field(default_factory=_mark)
    lost: str = field(default_factory=_mark)
    order_number: str = field(default_factory=_mark)
    promise: str = field(default_factory=_mark)
    erasure_origin: str = field(default_factory=lambda: f"https://shop.example/{_mark()}")
    made: dict[str, str] = field(default_factory=dict)

    def all(self) -> dict[str, str]:
        """Name -> value."""
        return {name: value for name, value in vars(self).items() if name != "made"} | self.made


@dataclass(frozen=True)
class Scan:
    """Looks for values wherever the platform tells about itself, from `since` (ns) on."""

    platform: Platform
    since: int

    def found(self, values: dict[str, str], *, control: bool = False) -> dict[str, set[str]]:
        """Place -> names of the values in it. `control`: in what the proof planted, else in all the rest."""
        texts = dict(zip(PLACES, (self._logs, self._spans, self._metrics, self._dead_letters), strict=True))
        return {place: _within(values, text(control)) for place, text in texts.items()}

    def _logs(self, control: bool) -> Iterator[str]:
        for log in self.platform.state.rglob("*.log*"):
            if log.is_file() and (log.name == f"{CONTROL}.log") == control:
                yield log.read_text(errors="replace")

    def _spans(self, control: bool) -> Iterator[str]:
        for span in self.spans():
            if (span["service"] == CONTROL) == control:
                yield json.dumps(span)

    def spans(self) -> Iterator[Json]:
        """The spans that began since."""
        kept = requests.get(f"{self.platform.traces}/spans", timeout=120).json()["spans"]
        return (span for span in kept if span["start_ns"] >= self.since)

    def _metrics(self, control: bool) -> Iterator[str]:
        for series in self.metrics():
            if (series["service"] == CONTROL) == control:
                yield json.dumps(series)

    def metrics(self) -> list[Json]:
        """The last point of every series."""
        found: list[Json] = requests.get(f"{self.platform.traces}/metrics", timeout=60).json()["metrics"]
        return found

    def _dead_letters(self, control: bool) -> Iterator[str]:
        for service in workers(self.platform):
            listed = dead(self.platform, "list", "--service", service, "--limit", "10000", "--json")
            for letter in json.loads(listed):
                if (letter["source"] == CONTROL) == control:
                    yield json.dumps(letter)
            if not control:
                yield dead(self.platform, "list", "--service", service, "--limit", "10000")


def _within(values: dict[str, str], texts: Iterator[str]) -> set[str]:
    """Names of the values in the texts, also in part: an address without its domain, a key by its secret alone."""
    needles = {
        name: value.partition("@")[0] if "@" in value else re.split(r"[/.]", value)[-1].lstrip("+")
        for name, value in values.items()
    }
    found: set[str] = set()
    for text in texts:
        folded = text.lower()
        found |= {name for name, needle in needles.items() if needle.lower() in folded}
    return found


def workers(platform: Platform) -> list[str]:
    """The services that react to events, and so may have dead letters."""
    return sorted(name.removesuffix("-work") for name in platform.processes() if name.endswith("-work"))


def dead(platform: Platform, *arguments: str) -> str:
    """What the dead-letter tool prints; run in this process, for a program of its own takes a second to start."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as environment, redirect_stdout(said), redirect_stderr(said):
        environment.setenv("RAPPORT_AMQP_URI", platform.amqp_uri)
        assert eventing.dead.main(list(arguments)) == 0
    return said.getvalue()
