"""Features of customers as somebody thinks of them: what is refused, and what follows from what is given."""

from math import isnan, nan

import pytest

from scoring.domain import churn_what_if
from scoring.domain.churn_rules import LOOKED_AT

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


def refused(**given: float) -> dict[str, str]:
    """Problems by the feature they are told at, of a customer with some features changed."""
    problems = churn_what_if.problems_of(given)
    problems = problems or churn_what_if.contradictions(churn_what_if.completed(KNOWN, given), given)
    found: dict[str, str] = {}
    for field, problem in problems:
        name = field.removeprefix("features.")
        found[name] = f"{found.get(name, '')} {problem}"
    return found


def test_it_knows_each_feature_of_the_model() -> None:
    assert KNOWN.keys() == {feature.name for feature in LOOKED_AT}
    assert refused() == {}
    assert refused(**KNOWN) == {}
    assert churn_what_if.completed(KNOWN, {}) == KNOWN


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
            "mean_purchase_gap is none where purchase_days_365d is 1, and only there.",
        ),
        (
            {"last_purchase_gap": nan},
            "last_purchase_gap",
            "last_purchase_gap is none where purchase_days_365d is 1, and only there.",
        ),
    ],
)
def test_what_cannot_be_is_told_at_the_feature_that_was_given(given, name, problem) -> None:
    assert problem in refused(**given)[name]


def test_who_bought_nothing_within_a_year_has_no_risk() -> None:
    none = {name: 0.0 for name in KNOWN if name.startswith(("purchases_", "revenue_"))}
    assert "has left" in refused(**none)["purchases_365d"]


def test_what_follows_from_others_follows_unless_it_is_given() -> None:
    given = {"days_since_last_purchase": 29.0, "purchases_90d": 4.0}
    found = churn_what_if.completed(KNOWN, given)
    assert (found["purchase_lateness"], found["purchase_rate_ratio"]) == (0.5, 6.11)
    assert isnan(churn_what_if.completed(KNOWN, {"purchases_90d": 6.0})["purchase_rate_ratio"])
    assert churn_what_if.completed(KNOWN, given | {"purchase_lateness": 2.0})["purchase_lateness"] == 2.0


def test_of_somebody_unknown_all_is_needed_that_every_customer_has() -> None:
    needed = {field.removeprefix("features.") for field, _ in churn_what_if.missing({"purchases_30d": 1})}
    assert len(needed) == 10
    assert KNOWN.keys() - needed == {
        *("purchases_30d", "mean_order_value_365d", "mean_purchase_gap", "last_purchase_gap"),
        *("purchase_lateness", "purchase_rate_ratio"),
    }
