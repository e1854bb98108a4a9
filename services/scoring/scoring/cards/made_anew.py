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


TESTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "SEND_TIME": _told_apart,
    "CLUSTERS": _held_together,
    "RENEWAL": renewals.tested,
}
"""By kind of model, in words."""
