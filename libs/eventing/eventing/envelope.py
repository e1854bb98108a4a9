"""The envelope of an event: CloudEvents 1.0, binary mode, over AMQP headers.

Attributes travel as `ce-<name>` headers, the body is the serialized protobuf message alone. Extensions: `tenant`,
`datasubjects` (comma-separated pseudonymous ids), `sequence` (sorts as text, CloudEvents "sequence" extension) and
the plain `traceparent` header of W3C Trace Context. Headers that start with `rapport-` are delivery state of one
queue (attempts, why a message is dead) and no part of the event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

CONTENT_TYPE = "application/protobuf"
ATTEMPT_HEADER = "rapport-attempt"
DEAD_REASON_HEADER = "rapport-dead-reason"
DEAD_HANDLER_HEADER = "rapport-dead-handler"
DEAD_ERROR_HEADER = "rapport-dead-error"
DEAD_TIME_HEADER = "rapport-dead-time"

_DIGITS_MAX = 18
"""Of a number that fits into 64 bits, as the database wants it."""
_REQUIRED = ("id", "source", "type", "subject", "time", "tenant", "sequence")


class UndecodableEvent(Exception):  # noqa: N818 - named for what it is, as gRPC statuses are
    """The message is no event of this platform. `reason` is UPPER_SNAKE; the text names the part, never a value."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event with everything but its meaning.

    id: UUIDv7 of the event. type: full name of the message, such as `rapport.identity.v1.CustomerMerged`.
    source: `//rapport/<service>`. subject: resource name of the aggregate. time: when it happened (business clock).
    datasubjects: names of the people the event is about. sequence: (version of the aggregate after the write, index
    of the event in that write). attempt: how many times handling it has failed in this queue. erased: those of
    `datasubjects` that have been erased, filled by the worker for handlers that asked for such events.
    """

    id: str
    type: str
    source: str
    subject: str
    tenant: str
    time: datetime
    sequence: tuple[int, int]
    body: bytes = field(repr=False)
    datasubjects: tuple[str, ...] = ()
    traceparent: str = ""
    attempt: int = 0
    erased: frozenset[str] = frozenset()

    @classmethod
    def from_outbox(cls, entry: Mapping[str, Any], service: str) -> Self:
        """The event of an outbox or fact-log entry written by `docstore`."""
        time: datetime = entry["time"]
        version, index = entry["sequence"]
        return cls(
            id=entry.get("id") or entry["uid"],
            type=entry["type"],
            source=f"//rapport/{service}",
            subject=entry["subject"],
            tenant=entry["tenant"],
            time=time if time.tzinfo else time.replace(tzinfo=UTC),
            sequence=(version, index),
            body=bytes(entry["body"]),
            datasubjects=tuple(entry.get("datasubjects") or ()),
            traceparent=entry.get("traceparent") or "",
        )

    @classmethod
    def from_amqp(cls, headers: Mapping[str, Any] | None, properties: Mapping[str, Any], body: bytes) -> Self:
        """The event of a delivered message. Raises UndecodableEvent."""
        headers = headers or {}
        if properties.get("content_type") != CONTENT_TYPE:
            raise UndecodableEvent("CONTENT_TYPE", f"the content type is not {CONTENT_TYPE}")
        values = {name: headers.get(f"ce-{name}") for name in (*_REQUIRED, "specversion")}
        for name, value in values.items():
            if not isinstance(value, str) or not value:
                raise UndecodableEvent("ENVELOPE", f"the header ce-{name} is missing or no text")
        if values["specversion"] != "1.0":
            raise UndecodableEvent("ENVELOPE", "the header ce-specversion is not 1.0")
        if "/" in str(values["tenant"]):
            raise UndecodableEvent("ENVELOPE", "the header ce-tenant is no id of a tenant")
        text: dict[str, str] = {name: str(value) for name, value in values.items()}
        try:
            time = datetime.fromisoformat(text["time"])
            if time.tzinfo is None:
                raise UndecodableEvent("ENVELOPE", "the header ce-time has no offset")
            time = time.astimezone(UTC)
        except (ValueError, OverflowError):
            raise UndecodableEvent("ENVELOPE", "the header ce-time is no RFC 3339 instant") from None
        version, _, index = text["sequence"].partition(".")
        if not all(number.isdecimal() and len(number) <= _DIGITS_MAX for number in (version, index)):
            raise UndecodableEvent("ENVELOPE", "the header ce-sequence is not <version>.<index>")
        attempt = headers.get(ATTEMPT_HEADER, 0)
        if not isinstance(attempt, int) or attempt < 0:
            raise UndecodableEvent("ENVELOPE", f"the header {ATTEMPT_HEADER} is no count")
        subjects, traceparent = headers.get("ce-datasubjects"), headers.get("traceparent")
        return cls(
            id=text["id"],
            type=text["type"],
            source=text["source"],
            subject=text["subject"],
            tenant=text["tenant"],
            time=time,
            sequence=(int(version), int(index)),
            body=body,
            datasubjects=tuple(subjects.split(",")) if isinstance(subjects, str) and subjects else (),
            traceparent=traceparent if isinstance(traceparent, str) else "",
            attempt=attempt,
        )

    def to_headers(self) -> dict[str, Any]:
        """The AMQP headers of the event, as published by its owner."""
        headers: dict[str, Any] = {
            "ce-specversion": "1.0",
            "ce-id": self.id,
            "ce-source": self.source,
            "ce-type": self.type,
            "ce-subject": self.subject,
            "ce-time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "ce-tenant": self.tenant,
            "ce-sequence": f"{self.sequence[0]:012d}.{self.sequence[1]:04d}",
        }
        if self.datasubjects:
            headers["ce-datasubjects"] = ",".join(self.datasubjects)
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers

    def to_properties(self) -> dict[str, Any]:
        """The AMQP properties of the event, `headers` among them; the message is persistent."""
        return {
            "content_type": CONTENT_TYPE,
            "delivery_mode": 2,
            "message_id": self.id,
            "headers": self.to_headers(),
        }
