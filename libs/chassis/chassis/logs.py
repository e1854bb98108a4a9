"""JSON lines on standard output, with the trace and tenant of what was going on, and without personal data.

Say what happened in the message and put ids in `extra`; anything else is not for logs. Two nets hold what slips
through: exceptions appear as type and code locations only (their texts quote values: a duplicate key error holds the
key), and whatever looks like an e-mail address or a password in a URL is blotted out.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from chassis import context
from chassis.errors import RapportError

if TYPE_CHECKING:
    from chassis.settings import Settings

_FRAMES = 30
_MESSAGE_MAX = 2_000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_EMAIL = re.compile(r"[^\s@<>\"'(),:;=]+@[\w-]+(\.[\w-]+)+")
_URL_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_BLOT = "[redacted]"


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, message, service, role, ids of trace, tenant and method."""

    def __init__(self, service: str = "", role: str = "") -> None:
        super().__init__()
        self._fixed = {"service": service, "role": role}

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(_message(record)),
            **self._fixed,
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
            line["span_id"] = trace.format_span_id(span.span_id)
        current = context.current_or_none()
        if current is not None:
            line["tenant"] = current.tenant
            line["method"] = current.method
        for key, value in vars(record).items():
            if key not in _STANDARD and isinstance(value, str | int | float | bool):
                line[key] = redact(value) if isinstance(value, str) else value
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def configure(settings: "Settings") -> None:
    """Sends all logging of the process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(settings.service, settings.role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)
    # The HTTP client of the telemetry exporter logs every request.
    logging.getLogger("urllib3").setLevel(max(logging.WARNING, root.level))


def redact(text: str) -> str:
    """`text` without e-mail addresses and without logins in URLs."""
    return _EMAIL.sub(_BLOT, _URL_LOGIN.sub(f"{_BLOT}@", text)) if "@" in text else text


def describe(error: BaseException) -> dict[str, Any]:
    """What may be told of an exception: types along the chain of causes, code locations, our own reason codes."""
    described: dict[str, Any] = {
        "type": _type_name(error),
        "locations": [
            f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        ],
    }
    if isinstance(error, RapportError):
        described["reason"] = error.reason
    if isinstance(error, OSError) and error.errno is not None:
        described["errno"] = error.errno
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        described["cause"] = _type_name(cause)
    return described


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(record: logging.LogRecord) -> str:
    arguments = record.args
    # `logger.warning("...: %s", error)` would print the error's text.
    if isinstance(arguments, tuple) and any(isinstance(item, BaseException) for item in arguments):
        arguments = tuple(_type_name(item) if isinstance(item, BaseException) else item for item in arguments)
    message = record.msg
    if isinstance(message, BaseException):
        message = _type_name(message)
    text = str(message) % arguments if arguments else str(message)
    return text if len(text) <= _MESSAGE_MAX else text[:_MESSAGE_MAX] + "..."
