import json
from datetime import UTC, datetime, timedelta

import pytest

from consent.domain.erasures import Facts, Part, certificate_text, due, impersonal


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("2026-01-15", "2026-02-15"),
        ("2026-01-31", "2026-02-28"),
        ("2028-01-31", "2028-02-29"),
        ("2026-12-31", "2027-01-31"),
        ("2026-11-30", "2026-12-30"),
    ],
)
def test_a_person_is_answered_within_a_month(asked, answered) -> None:
    asked, answered = (datetime.fromisoformat(f"{day}T10:00:00+00:00") for day in (asked, answered))
    assert due(asked) == answered


@pytest.mark.parametrize("origin", ["", "https://shop.example/privacy#erase", "case:4711_b"])
def test_origins_that_say_nothing_of_the_person(origin) -> None:
    assert impersonal(origin)


@pytest.mark.parametrize("origin", ["anna@example.com", "Anna Example", "https://shop.example/?mail=a", "é", "x" * 201])
def test_origins_that_could_name_the_person_are_refused(origin) -> None:
    assert not impersonal(origin)


def facts(**changes) -> Facts:
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
    parts = [Part("sales", noon, {"orders": (0, 2), "leads": (1, 0)}), Part("consent", noon, {}, interrupted=True)]
    values = {
        "tenant": "acme", "erasure_request": "erasureRequests/1", "customers": ["customers/2", "customers/1"],
        "method": "METHOD_AGENT", "origin": "case:1", "rounds": 2, "request_time": noon,
        "complete_time": noon + timedelta(minutes=1), "residue": timedelta(days=35), "parts": parts,
    }  # fmt: skip
    return Facts(**(values | changes))


def test_the_certificate_says_who_what_when_and_what_still_ages_out() -> None:
    told = json.loads(certificate_text(facts()))
    assert told["customers"] == ["customers/1", "customers/2"]
    assert [each["service"] for each in told["services"]] == ["consent", "sales"]
    assert told["services"][1]["items"] == [
        {"kind": "leads", "removed": 1, "anonymized": 0},
        {"kind": "orders", "removed": 0, "anonymized": 2},
    ]
    assert [each["counts"] for each in told["services"]] == ["at least", "exact"]
    assert told["residue"]["gone_by"] == "2026-02-19T12:01:00.000Z"


def test_equal_facts_have_equal_certificates_and_others_have_not() -> None:
    parts = list(reversed(facts().parts))
    assert certificate_text(facts()) == certificate_text(facts(parts=parts, customers=["customers/1", "customers/2"]))
    assert certificate_text(facts()) != certificate_text(facts(rounds=1))
