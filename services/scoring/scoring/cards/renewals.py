"""What a card tells of a model of renewals: of contracts of each period how many are renewed, real and told."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from scoring.cards import plots
from scoring.cards.figures import number
from scoring.cards.plots import Band


def tested(values: Mapping[str, Any]) -> str:
    """How it told renewals it was not fitted to, in words."""
    metrics, test = values["metrics"], values["test"]
    if "better" not in metrics:
        return "Not tested: one rate for all needs no proof."
    value, low, high = (number(metrics["better"][name]) for name in ("value", "low", "high"))
    return (
        f"Its log loss of {test['renewals']} renewals that came due in the last period, which it was not fitted to, is "
        f"{number(metrics['log_loss'])}, that of one rate for all {number(metrics['usual_log_loss'])}: better by "
        f"{value} ({low} to {high}). It told {number(test['expected_losses'])} losses, {test['losses']} came."
    )


def periods(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each period what was fitted, and the shares by how many renewals contracts came through, with a plot."""
    shown = {each["period"]: each["points"] for each in values["metrics"].get("retention", ())}
    return [
        {**each, "points": shown.get(each["period"], ()), "plot": _plot(each["period"], shown.get(each["period"], ()))}
        for each in values["parameters"].get("renewals", {}).get("periods", ())
    ]


def _plot(period: str, points: Sequence[Mapping[str, Any]]) -> Markup | None:
    """None where there is but one point."""

    def band(name: str, of: tuple[str, str, str], css: str) -> Band:
        value, low, high = ([point[each] for point in points] for each in of)
        return Band(name, value, low, high, css)

    if not points[1:]:
        return None
    bands = [band("real", ("renewed", "low", "high"), "b"), band("told", ("told", "told_low", "told_high"), "a")]
    tenures = [point["renewals"] for point in points]
    return plots.steps(f"Share that renews, contracts of a {period}", tenures, bands, "renewals come through before")
