import logging

import pytest
from google.rpc import code_pb2, error_details_pb2

from chassis import errors


def details(status):
    found = {}
    for kind in ("ErrorInfo", "BadRequest", "PreconditionFailure", "RetryInfo"):
        for detail in status.details:
            message = getattr(error_details_pb2, kind)()
            if detail.Unpack(message):
                found[kind] = message
    return found


def test_codes_are_the_canonical_ones():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.RapportError) and kind is not errors.RapportError:
            canonical = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name)[1:]
            assert code_pb2.Code.Name(kind.code) == canonical


def test_status_holds_one_error_info_and_what_applies():
    plain = errors.to_status(errors.NotFound("THING_NOT_FOUND", "No such thing."), "things.rapport")
    assert list(details(plain)) == ["ErrorInfo"]
    full = errors.InvalidArgument(
        "BAD", "Bad.", metadata={"k": "v"}, violations=[("a.b", "Mend it.")], retry_after_s=0.25
    )
    found = details(errors.to_status(full, "things.rapport"))
    assert found["ErrorInfo"] == error_details_pb2.ErrorInfo(reason="BAD", domain="things.rapport", metadata={"k": "v"})
    assert found["BadRequest"].field_violations[0].field == "a.b"
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize(
    ("message", "field", "problem", "told"),
    [("x", "names", "Wrong.", 25), ("é", "names", "Give one of these. " * 40, 3), ("x", "n" * 10_000, "Wrong.", 0)],
)
def test_status_fits_into_response_headers(message, field, problem, told):
    violations = [(f"{field}[{n}]", problem) for n in range(1_000)]
    status = errors.to_status(errors.InvalidArgument("BAD", message * 10_000, violations=violations), "things.rapport")
    assert status.ByteSize() <= 4_096
    assert len(status.message.encode()) == 1_000
    found = details(status)
    assert found["ErrorInfo"].reason == "BAD"
    assert [each.field for each in found["BadRequest"].field_violations] == [path for path, _ in violations[:told]]


def test_cause_is_kept():
    cause = OSError()
    assert errors.Unavailable("AWAY", "Away.", cause=cause).__cause__ is cause


def test_unexpected_error_is_logged_under_its_id(caplog):
    with caplog.at_level(logging.ERROR):
        refusal = errors.from_exception(ValueError("ada"))
    assert refusal.code == code_pb2.INTERNAL
    assert caplog.records[0].error_id == refusal.metadata["error_id"]
    assert "ada" not in refusal.message


def test_nearest_translation_wins_and_may_pass(monkeypatch):
    monkeypatch.setattr(errors, "_translations", {})
    errors.register_translation(OSError, lambda _error: errors.Unavailable("OS", "Away."))
    errors.register_translation(ConnectionError, lambda _error: None)
    assert errors.from_exception(TimeoutError()).reason == "OS"
    assert errors.from_exception(ConnectionResetError()).reason == "OS"
    assert errors.from_exception(KeyError()).reason == "INTERNAL"


def test_own_errors_pass_unchanged():
    error = errors.Aborted("ETAG_MISMATCH", "Read it again.")
    assert errors.from_exception(error) is error


@pytest.mark.parametrize("retry_after_s", [0.0, 0.001, 86_400.5])
def test_retry_delay_is_exact(retry_after_s):
    status = errors.to_status(errors.Unavailable("AWAY", "Away.", retry_after_s=retry_after_s), "d")
    assert details(status)["RetryInfo"].retry_delay.ToTimedelta().total_seconds() == retry_after_s
