import io
import json
import logging

import pytest
from opentelemetry import trace

from chassis import errors, logs, tenancy


@pytest.fixture
def lines():
    """A logger and a function giving what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter("things", "serve"))
    logger = logging.getLogger("test.lines")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_line_tells_where_it_belongs(lines, telemetry_captured):
    logger, written = lines
    with tenancy.service_context("acme", method="nightly"), trace.get_tracer("t").start_as_current_span("s") as span:
        logger.info("stored %d of %s", 3, "events", extra={"batch": "b1", "thing": object()})
    line = written()[0]
    assert line["message"] == "stored 3 of events"
    assert (line["level"], line["logger"], line["service"], line["role"]) == ("INFO", "test.lines", "things", "serve")
    assert (line["tenant"], line["method"], line["batch"]) == ("acme", "nightly", "b1")
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert line["time"].endswith("+00:00")
    assert "thing" not in line


def test_line_without_context_is_plain(lines):
    logger, written = lines
    logger.warning("on its own\nsecond")
    line = written()[0]
    assert line["message"] == "on its own\nsecond"
    assert not {"tenant", "trace_id", "exception"} & set(line)


def test_exceptions_show_types_and_places_only(lines):
    logger, written = lines

    def fail():
        try:
            raise KeyError("ada lovelace")
        except KeyError as error:
            raise ValueError("born 1815") from error

    try:
        fail()
    except ValueError:
        logger.exception("could not store")
    text = json.dumps(written())
    assert "lovelace" not in text
    assert "1815" not in text
    told = written()[0]["exception"]
    assert (told["type"], told["cause"]) == ("ValueError", "KeyError")
    assert any("test_log_lines.py" in place and place.endswith(" fail") for place in told["locations"])


def test_exceptions_given_as_arguments_lose_their_text(lines):
    logger, written = lines
    error = errors.NotFound("GONE", "about ada lovelace")
    logger.warning("failed: %s (%s)", error, 3)
    logger.warning(error)
    logger.error("failed", exc_info=error)
    assert written()[0]["message"] == "failed: chassis.errors.NotFound (3)"
    assert written()[1]["message"] == "chassis.errors.NotFound"
    assert written()[2]["exception"]["reason"] == "GONE"
    assert "lovelace" not in json.dumps(written())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("sent to ada@example.com today", "sent to [redacted] today"),
        ("ada.l+x@mail.example.co.uk,bob@example.com", "[redacted],[redacted]"),
        ("amqp://guest:secret@broker:5672/v", "amqp://[redacted]@broker:5672/v"),
        ("mongodb://u:p%40ss@a,b/?x=1", "mongodb://[redacted]@a,b/?x=1"),
        ("nothing @ all", "nothing @ all"),
    ],
)
def test_addresses_and_logins_are_blotted_out(lines, text, kept):
    logger, written = lines
    logger.info("%s", text, extra={"where": text})
    assert (written()[0]["message"], written()[0]["where"]) == (kept, kept)


def test_long_messages_are_cut(lines):
    logger, written = lines
    logger.info("x" * 100_000)
    assert len(written()[0]["message"]) < 2_100
