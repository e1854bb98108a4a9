"""What a card tells of the revenue that a model expected: stored minor units in, whole money out."""

from collections.abc import Mapping
from typing import Any

from chassis import money


def tested(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The test of revenue in whole money: of lifetime value, since it is tested."""
    found = (values["test"] or {}).get("revenue")
    if not found:
        return None
    whole = 10 ** money.check_currency(values["currency"])
    tenths = [
        {**tenth, "expected": tenth["expected"] / whole, "actual": tenth["actual"] / whole}
        for tenth in found["deciles"]
    ]
    return {**found, "expected": found["expected"] / whole, "actual": found["actual"] / whole, "deciles": tenths}


def lived(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was expected and spent after the release, in whole money."""
    seen = [(outcome, outcome["revenue"]) for outcome in values["outcomes"] if outcome.get("revenue")]
    whole = 10 ** money.check_currency(values["currency"]) if seen else 1
    return [
        {
            **found,
            **{name: outcome[name] for name in ("as_of", "weeks")},
            "expected": found["expected"] / whole,
            "actual": found["actual"] / whole,
        }
        for outcome, found in seen
    ]
