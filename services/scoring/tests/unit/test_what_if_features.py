"""Features of customers as somebody thinks of them: what is refused, and what follows from what is given."""

from math import isnan, nan

import pytest

from scoring.domain import churn_rules, response_rules
from scoring.domain.what_if_features import CHURN, RESPONSE, Rules

KNOWN = {
    "purchases_30d": 1.0,
    "purchases_90d": 2.0,
    "purchases_180d": 4.0,
    "purchases_365d": 6.0,
    "revenue_30d": 9.99,
    "revenue_90d": 20.0,
    "revenue_180d": 45.5,
    "revenue_365d": 80.0,
    "mean_order_value_365d": 13.33,
    "days_since_last_purchase": 12.0,
    "days_since_first_purchase": 301.5,
    "purchase_days_365d": 6.0,
    "mean_purchase_gap": 58.0,
    "last_purchase_gap": 40.0,
    "purchase_lateness": 0.21,
    "purchase_rate_ratio": 1.53,
}
READER = KNOWN | {
    "active_days_30d": 3.0,
    "active_days_90d": 7.0,
    "events_30d": 5.0,
    "events_90d": 12.0,
    "activity_rate_ratio": 1.43,
    "messages_sent_90d": 6.0,
    "message_clicks_90d": 3.0,
    "clicks_per_message_90d": 0.5,
    "days_since_last_click": 20.0,
}
"""What a model of responses looks at."""
NO_BUYER = {
    name: nan if name.startswith(("days_since", "mean", "last", "purchase_lat", "purchase_rate")) else 0.0
    for name in KNOWN
}


def refused(rules: Rules = CHURN, known: dict[str, float] = KNOWN, /, **given: float) -> dict[str, str]:
    """Problems by the feature they are told at, of a customer with some features changed."""
    problems = rules.problems_of(given)
    problems = problems or rules.contradictions(rules.completed(known, given), given)
    found: dict[str, str] = {}
    for field, problem in problems:
        name = field.removeprefix("features.")
        found[name] = f"{found.get(name, '')} {problem}"
    return found


@pytest.mark.parametrize(
    ("rules", "known", "looked_at"),
    [(CHURN, KNOWN, churn_rules.LOOKED_AT), (RESPONSE, READER, response_rules.LOOKED_AT)],
)
def test_it_knows_each_feature_of_the_model(rules, known, looked_at) -> None:
    assert known.keys() == {feature.name for feature in looked_at}
    assert refused(rules, known) == {}
    assert refused(rules, known, **known) == {}
    assert rules.completed(known, {}) == known


@pytest.mark.parametrize(
    ("given", "name", "problem"),
    [
        ({"salary": 5}, "salary", "No feature of churn: give purchases_30d, "),
        ({"purchases_30d": 0.5}, "purchases_30d", "A whole number, 0 to 1,000,000."),
        ({"purchases_30d": nan}, "purchases_30d", "A number: "),
        ({"purchase_days_365d": 367}, "purchase_days_365d", "0 to 366"),
        ({"revenue_90d": -0.01}, "revenue_90d", "0 to 1,000,000,000,000."),
        ({"mean_order_value_365d": float("inf")}, "mean_order_value_365d", "0 to 1,000,000,000,000."),
        ({"days_since_last_purchase": 365.5}, "days_since_last_purchase", "0 to 365 days."),
        ({"purchases_180d": 7}, "purchases_180d", "purchases_180d is at most what purchases_365d is, 6."),
        ({"purchases_365d": 3}, "purchases_365d", "purchases_180d is at most what purchases_365d is, 3."),
        ({"revenue_30d": 20.5}, "revenue_30d", "at most what revenue_90d is, 20."),
        ({"purchases_30d": 0}, "purchases_30d", "purchases_30d is 1 or more, as the last purchase was 12 days ago."),
        (
            {"days_since_last_purchase": 60},
            "days_since_last_purchase",
            "purchases_30d is 0, as the last purchase was 60 days ago.",
        ),
        (
            {"days_since_first_purchase": 11},
            "days_since_first_purchase",
            "at most what days_since_first_purchase is, 11.",
        ),
        ({"purchase_days_365d": 7}, "purchase_days_365d", "is 1 to what purchases_365d is, 6."),
        (
            {"purchase_days_365d": 1},
            "purchase_days_365d",
            "mean_purchase_gap is none where purchase_days_365d is below 2, and only there.",
        ),
        (
            {"last_purchase_gap": nan},
            "last_purchase_gap",
            "last_purchase_gap is none where purchase_days_365d is below 2, and only there.",
        ),
    ],
)
def test_what_cannot_be_is_told_at_the_feature_that_was_given(given, name, problem) -> None:
    assert problem in refused(**given)[name]


@pytest.mark.parametrize(
    ("given", "name", "problem"),
    [
        ({"salary": 5}, "salary", "No feature of response: give purchases_30d, "),
        ({"messages_sent_90d": nan}, "messages_sent_90d", "A number: every customer with a probability of a response"),
        ({"days_since_last_click": 180.5}, "days_since_last_click", "0 to 180 days."),
        ({"active_days_30d": 32}, "active_days_30d", "A whole number, 0 to 31."),
        ({"events_30d": 13}, "events_30d", "events_30d is at most what events_90d is, 12."),
        ({"active_days_90d": 2}, "active_days_90d", "active_days_30d is at most what active_days_90d is, 2."),
        ({"active_days_30d": 6}, "active_days_30d", "active_days_30d is 1 to what events_30d is, 5."),
        ({"active_days_30d": 0}, "active_days_30d", "active_days_30d is 1 to what events_30d is, 5."),
        ({"events_30d": 0, "active_days_30d": 0}, "events_30d", "counts purchases, too: it is 1 or more."),
        ({"message_clicks_90d": 11}, "message_clicks_90d", "events_90d counts purchases and followed links, too: "),
        ({"message_clicks_90d": 0}, "message_clicks_90d", "is 1 or more, as the last click was 20 days ago."),
        ({"days_since_last_click": 120}, "days_since_last_click", "is 0, as the last click was 120 days ago."),
        ({"days_since_last_click": nan}, "days_since_last_click", "is 0 where days_since_last_click is none."),
        ({"days_since_last_purchase": nan}, "days_since_last_purchase", "is none where purchases_365d is 0, and only "),
    ],
)
def test_what_cannot_be_of_who_is_written_to_is_told_at_the_feature_that_was_given(given, name, problem) -> None:
    assert problem in refused(RESPONSE, READER, **given)[name]


def test_all_features_are_named_once_however_many_are_unknown() -> None:
    found = dict(RESPONSE.problems_of({f"unknown_{number}": 1.0 for number in range(3)}))
    assert [problem.partition(":")[0] for problem in found.values()] == [
        "No feature of response",
        *["No feature of response."] * 2,
    ]
    assert found["features.unknown_0"].endswith(f"give {', '.join(RESPONSE.features)}.")


def test_who_bought_nothing_within_a_year_may_respond() -> None:
    assert refused(RESPONSE, READER, **NO_BUYER) == {}
    bought = refused(RESPONSE, READER | NO_BUYER, purchases_365d=1.0)
    assert "days_since_last_purchase is none where purchases_365d is 0, and only there." in bought["purchases_365d"]
    priced = refused(RESPONSE, READER | NO_BUYER, mean_order_value_365d=9.0)
    assert priced == {"mean_order_value_365d": " mean_order_value_365d is none where purchases_365d is 0."}
    assert "A number" in refused(days_since_last_purchase=nan)["days_since_last_purchase"], "as churn asks for one"


def test_who_bought_nothing_within_a_year_has_no_risk() -> None:
    none = {name: 0.0 for name in KNOWN if name.startswith(("purchases_", "revenue_"))}
    assert "has left" in refused(**none)["purchases_365d"]


def test_what_follows_from_others_follows_unless_it_is_given() -> None:
    given = {"days_since_last_purchase": 29.0, "purchases_90d": 4.0}
    found = CHURN.completed(KNOWN, given)
    assert (found["purchase_lateness"], found["purchase_rate_ratio"]) == (0.5, 6.11)
    assert isnan(CHURN.completed(KNOWN, {"purchases_90d": 6.0})["purchase_rate_ratio"])
    assert CHURN.completed(KNOWN, given | {"purchase_lateness": 2.0})["purchase_lateness"] == 2.0


def test_rates_of_activity_and_clicks_follow_unless_they_are_given() -> None:
    given = {"events_30d": 6.0, "message_clicks_90d": 4.0}
    found = RESPONSE.completed(READER, given)
    assert (found["activity_rate_ratio"], found["clicks_per_message_90d"]) == (2.0, 0.67)
    assert isnan(RESPONSE.completed(READER, {"messages_sent_90d": 0.0})["clicks_per_message_90d"])
    assert RESPONSE.completed(READER, given | {"activity_rate_ratio": 9.0})["activity_rate_ratio"] == 9.0


def test_of_somebody_unknown_all_is_needed_that_every_customer_has() -> None:
    needed = {field.removeprefix("features.") for field, _ in CHURN.missing({"purchases_30d": 1})}
    assert len(needed) == 10
    assert KNOWN.keys() - needed == {
        *("purchases_30d", "mean_order_value_365d", "mean_purchase_gap", "last_purchase_gap"),
        *("purchase_lateness", "purchase_rate_ratio"),
    }
    needed = {field.removeprefix("features.") for field, _ in RESPONSE.missing({})}
    assert needed == {
        name for name in READER if not isnan((NO_BUYER | {"days_since_last_click": nan}).get(name, 0))
    } - {
        *("activity_rate_ratio", "clicks_per_message_90d"),
    }
