"""The plots of a model's card, from what is stored of it."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from markupsafe import Markup

from scoring.cards import made_anew, plots, revenue, waiting
from scoring.cards.plots import Bar, Series
from scoring.cards.wording import NEXT_OFFER, OFFERED, USAGE, WORDS, Words

_PLOTS = (
    *("calibration", "revenue", "waiting", "gain", "beside", "survival", "outcome", "drift"),
    *("alarms", "clusters", "hours"),
)
_EXPECTED_AND_REAL = (("expected", "expected", "a"), ("real", "actual", "b"))
"""Series of tenths: name, value and colour."""


def drawn(values: Mapping[str, Any]) -> dict[str, Markup | None]:
    """Each of the card's plots by its name; None where there is nothing to draw. values: the stored fields."""
    test = values["test"] or {}
    words = OFFERED if values["kind"] == NEXT_OFFER else WORDS[values["kind"]]
    found: dict[str, Markup | None] = dict.fromkeys(_PLOTS)
    if deciles := test.get("deciles"):
        series = [_series(name, deciles, of, css) for name, of, css in _EXPECTED_AND_REAL]
        found["calibration"] = _tenths(f"Calibration by tenths of the {words.rows}", series, words)
        if gained := gains(deciles):
            shares = [share for share, _ in gained]
            lines = [Series("by score", [share for _, share in gained], "a"), Series("by chance", shares, "c")]
            found["gain"] = plots.curves(
                "Cumulative gain", shares, lines, f"share of {words.rows}, the {words.first} first"
            )
        if beside := test.get("champion_deciles"):
            # Where the champion has learned from part of the test, both are told of the rest.
            mine = test.get("deciles_beside", deciles)
            series = [
                _series("this model, real", mine, "actual", "a"),
                _series("champion of then, real", beside, "actual", "b"),
            ]
            found["beside"] = _tenths(f"Real {words.events} in the tenths each model made", series, words)
    if money := revenue.tested(values):
        of_money = [_series(name, money["deciles"], of, css) for name, of, css in _EXPECTED_AND_REAL]
        found["revenue"] = _tenths(f"Revenue of a customer in {values['currency']}", of_money, words)
    if thirds := test.get("waiting"):
        found["waiting"] = waiting.plot(thirds)
    if survival := test.get("survival"):
        weeks = [point["weeks"] for point in survival]
        alive = Series("still a customer", [point["alive"] for point in survival], "a")
        found["survival"] = plots.curves("Silence", weeks, [alive], "weeks since the last purchase")
    if tenths := lived_tenths(values):
        series = [_series("expected", tenths, "expected", "a"), _series("happened", tenths, "actual", "b")]
        found["outcome"] = _tenths("What happened since", series, words)
    if clusters := values["metrics"].get("clusters"):
        sizes = [Series("share of the customers", [each["share"] for each in clusters], "a")]
        places = [str(place) for place in range(1, len(clusters) + 1)]
        found["clusters"] = plots.grouped_bars("Sizes of the clusters", places, sizes, "cluster, as listed")
    if hours := values["metrics"].get("usual_hours"):
        series = [Series("Monday to Friday", hours["workday"], "a"), Series("weekend", hours["weekend"], "b")]
        labels = [str(hour) for hour in range(len(hours["workday"]))]
        found["hours"] = plots.grouped_bars("When customers are active", labels, series, "hour of their day")
    if values["kind"] == USAGE and (alarms := made_anew.alarms(values)):
        found["alarms"] = _alarms(alarms, values["parameters"]["usage"]["rate"])
    if drifts := values["drifts"]:
        bars = [Bar(each["feature"], each["psi"], each["low"], each["high"], each["drifted"]) for each in drifts]
        found["drift"] = plots.intervals("Drift", bars, drifts[0]["bound"], "population stability index")
    return found


def _alarms(alarms: Sequence[tuple[int, float, float]], rate: float) -> Markup:
    """Shares of customers who were told as unusual in past weeks, beside the stated rate."""
    series = [
        Series("drops", [drops for _, drops, _ in alarms], "a"),
        Series("surges", [surges for _, _, surges in alarms], "b"),
        Series("stated", [rate] * len(alarms), "c"),
    ]
    return plots.grouped_bars("Alarms in past weeks", [str(ago) for ago, _, _ in alarms], series, "weeks ago")


def lived_tenths(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the newest outcome that has any: of offers they come once the model's horizon has passed."""
    return next((outcome["deciles"] for outcome in values["outcomes"] if outcome["deciles"]), [])


def _series(name: str, tenths: Sequence[Mapping[str, Any]], of: str, css: str) -> Series:
    return Series(name, [tenth[of] for tenth in tenths], css)


def _tenths(title: str, series: Sequence[Series], words: Words) -> Markup:
    labels = [str(number + 1) for number in range(max(len(each.values) for each in series))]
    return plots.grouped_bars(title, labels, series, f"tenth of the {words.rows}, the {words.first} last")


def gains(deciles: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Share of the rows, those with the highest scores first, and of the events that were theirs."""
    best = list(reversed(deciles))
    customers = list(accumulate((tenth["customers"] for tenth in best), initial=0))
    bought = list(accumulate((tenth["actual"] * tenth["customers"] for tenth in best), initial=0.0))
    if not best or not bought[-1]:
        return []
    return [(some / customers[-1], of / bought[-1]) for some, of in zip(customers, bought, strict=True)]
