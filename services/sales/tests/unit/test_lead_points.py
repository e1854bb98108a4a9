"""The table of points."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sales.domain.lead_points import TOLD_AT_LEAST, Known, reasons

BEST = Known(
    source="SOURCE_REFERRAL",
    has_company=True,
    employee_count=250,
    has_budget=True,
    region_code="DE",
    home_region="DE",
    has_email=True,
    has_phone=True,
    message_length=TOLD_AT_LEAST,
    is_customer=True,
)

SOURCES = st.sampled_from(
    ["SOURCE_WEB", "SOURCE_EVENT", "SOURCE_REFERRAL", "SOURCE_PARTNER", "SOURCE_PHONE", "SOURCE_EMAIL",
     "SOURCE_ADVERTISEMENT", "SOURCE_IMPORT", "SOURCE_OTHER"]
)  # fmt: skip
KNOWN = st.builds(
    Known,
    source=SOURCES,
    has_company=st.booleans(),
    employee_count=st.integers(0, 10_000),
    has_budget=st.booleans(),
    region_code=st.sampled_from(["", "DE", "FR"]),
    home_region=st.sampled_from(["", "DE"]),
    has_email=st.booleans(),
    has_phone=st.booleans(),
    message_length=st.integers(0, 100),
    is_customer=st.booleans(),
)


def points(known: Known) -> int:
    return sum(reason.points for reason in reasons(known))


def test_the_best_lead_has_100_points_and_an_empty_one_none() -> None:
    assert points(BEST) == 100
    assert points(Known(source="SOURCE_OTHER")) == 0


def test_every_line_of_the_table() -> None:
    given = {reason.rule: reason.points for reason in reasons(BEST)}
    assert given == {
        "COMPANY": 10, "COMPANY_SIZE": 15, "BUDGET": 15, "HOME_REGION": 10, "SOURCE_REFERRAL": 15, "PHONE": 10,
        "EMAIL": 5, "MESSAGE": 10, "CUSTOMER": 10,
    }  # fmt: skip
    sizes = {count: points(Known(source="SOURCE_OTHER", employee_count=count)) for count in (0, 1, 9, 10, 50, 249, 250)}
    assert sizes == {0: 0, 1: 4, 9: 4, 10: 8, 50: 12, 249: 12, 250: 15}
    told = {name: points(Known(source=f"SOURCE_{name}")) for name in ("PHONE", "EVENT", "PARTNER", "WEB", "EMAIL")}
    assert told == {"PHONE": 15, "EVENT": 10, "PARTNER": 10, "WEB": 8, "EMAIL": 8}
    assert points(Known(source="SOURCE_ADVERTISEMENT")) == 4
    assert points(replace(BEST, message_length=TOLD_AT_LEAST - 1)) == 90
    assert points(replace(BEST, region_code="", home_region="")) == 90


@given(KNOWN)
def test_a_score_is_within_0_and_100_and_each_rule_counts_once(known: Known) -> None:
    found = reasons(known)
    assert 0 <= points(known) <= 100
    assert len({reason.rule for reason in found}) == len(found)
    assert all(reason.points > 0 and reason.description.endswith(".") for reason in found)


@given(KNOWN)
def test_knowing_more_never_takes_points(known: Known) -> None:
    more = replace(known, has_company=True, has_phone=True, has_email=True, is_customer=True, has_budget=True)
    assert points(more) >= points(known)
