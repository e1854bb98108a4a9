"""What a card tells of a model of offers: of the ten products it ranked first, who bought one."""

from collections.abc import Mapping
from typing import Any

_NEWCOMERS = "Products that came after it had learned are offered by how many buy them; this test had none."


def tested(values: Mapping[str, Any]) -> str:
    """The hit rates of its test, beside what is popular and the champion of then."""
    metrics, test = values["metrics"], values["test"] or {}
    if "hit_rate_at_10" not in metrics:
        return "Not tested: what is popular needs no proof."
    usual = f"{metrics['popular_hit_rate_at_10']:.1%}"
    if interval := metrics.get("popular_hit_rate_at_10_interval"):
        usual += f" ({interval[0]:.1%} to {interval[1]:.1%})"
    told = (
        f"{_rate(metrics['hit_rate_at_10'])} of {test['customers']} customers bought one of the ten products it ranked "
        f"first, within {test['days']} days that it was not fitted to; of the ten most popular ones {usual}. "
        f"{_NEWCOMERS}"
    )
    beside = test.get("beside")
    if not beside or not beside["tested"]:
        return told
    return (
        f"{told} In the {beside['days']} days that neither it nor the champion of then, {beside['champion']}, had "
        f"learned from, it had {_rate(beside['hits'])} of {beside['tested']} customers, the champion "
        f"{_rate(beside['champions'])}."
    )


def promised(values: Mapping[str, Any]) -> str:
    """The hit rate it was released with, for the longest time."""
    found = (values["test"] or {}).get("promised") or {}
    if not found:
        return "not tested"
    days = max(found, key=int)
    return f"{found[days]:.1%} within {days} days"


def lived(values: Mapping[str, Any]) -> str:
    """The hit rate that came, as of the newest."""
    if not values["outcomes"]:
        return "not measured yet"
    seen = values["outcomes"][0]
    return f"{_rate(seen['hit_rate'])} within {seen['weeks'] * 7:.0f} days"


def _rate(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
