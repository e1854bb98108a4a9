"""What cards tell of the test of models whose kind tells until the next job only: nothing is measured afterwards."""

from collections.abc import Callable, Mapping
from typing import Any

from scoring.cards import renewals
from scoring.cards.figures import number, percent


def _told_apart(values: Mapping[str, Any]) -> str:
    """Of a model of send times: what it told better than one histogram for all."""
    if "better" not in values["metrics"]:
        return "Not tested: the hours of all need no proof."
    metrics, test = values["metrics"], values["test"]
    value, low, high = (number(metrics["better"][name]) for name in ("value", "low", "high"))
    return (
        f"Its log loss of the hours of the week is {number(metrics['log_loss_168'])} on {test['customers']} customers "
        f"in {test['days']} days that it was not fitted to, that of one histogram for all "
        f"{number(metrics['usual_log_loss_168'])}: better by {value} ({low} to {high})."
    )


def _held_together(values: Mapping[str, Any]) -> str:
    """Of clusters: how good they are, and how much like the ones before."""
    metrics = values["metrics"]
    if "silhouette" not in metrics:
        return "The groups are those of recency, frequency and monetary value, which need no proof."
    like = (
        f" Customers are divided like by the model before to {number(metrics['agreement_with_previous'])} (adjusted "
        f"Rand index, 1 is alike, 0 as by chance); {metrics['kept_from_previous']:.0f} clusters keep their names."
        if "agreement_with_previous" in metrics
        else ""
    )
    return (
        f"Of two customers of one cluster {percent(metrics['prediction_strength'])} are kept together by clusters of "
        "the other half of the customers, in the worst cluster (prediction strength). Silhouette on a sample "
        f"{number(metrics['silhouette'])}, 1 is best; inertia {number(metrics['inertia'])}.{like}"
    )


def _alarmed(values: Mapping[str, Any]) -> str:
    """Of usage: how many it told of, and how often its thresholds alarmed in past weeks, beside the stated rate."""
    metrics, learned = values["metrics"], values["parameters"]["usage"]
    if "drop" not in metrics:
        return "Not in use: there is too little to verify the rate of false alarms it states."
    drops, surges, unknown = (f"{metrics[name]:.0f}" for name in ("drop", "surge", "not_judged"))
    told = (
        f"It told of {drops} customers that they use far less than usual, of {surges} far more; of {unknown} too "
        f"little is known. At most {percent(learned['rate'])} of the weeks of quiet customers are to be told as drops, "
        "and as many as surges."
    )
    weeks = [week for week in metrics["weeks"] if week["judged"]]
    if not weeks:
        return f"{told} The thresholds are cautious: how often they alarmed in past weeks is not known."
    judged = sum(week["judged"] for week in weeks)
    shares = [percent(sum(week[side] for week in weeks) / judged) for side in ("drops", "surges")]
    return (
        f"{told} In the {len(weeks)} weeks before, {judged:.0f} weeks of customers were judged, each from what came "
        f"before it: {shares[0]} are told as drops, {shares[1]} as surges, right and false ones together."
    )


def alarms(values: Mapping[str, Any]) -> list[tuple[int, float, float]]:
    """Of usage: how many weeks ago, and the shares of customers told as drops and as surges; the last week last."""
    weeks = values["metrics"].get("weeks", ())
    return [
        (len(weeks) - place, week["drops"] / week["judged"], week["surges"] / week["judged"])
        for place, week in enumerate(weeks)
        if week["judged"]
    ]


def hours(values: Mapping[str, Any]) -> list[tuple[int, float, float]]:
    """Of send times: each hour of the day with the shares of activity on working days and on weekends in it."""
    usual = values["metrics"].get("usual_hours")
    if not usual:
        return []
    return [(hour, *shares) for hour, shares in enumerate(zip(usual["workday"], usual["weekend"], strict=True))]


TESTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "SEND_TIME": _told_apart,
    "CLUSTERS": _held_together,
    "RENEWAL": renewals.tested,
    "USAGE": _alarmed,
}
"""By kind of model, in words."""
