"""Draws a card from what is stored of a model: pure text in, pure text out; everything is escaped."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scoring.cards import figures, made_anew, offers, plots, renewals, revenue, waiting
from scoring.cards.plots import Bar, Series

HTML, MARKDOWN = "html", "markdown"
FORMATS = (HTML, MARKDOWN)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]!|<>~&]|^[#+=-]|(?<=^\d)[.)])")
_PLOTS = ("calibration", "revenue", "waiting", "gain", "beside", "survival", "outcome", "drift", "alarms")

KINDS = {
    "LIFETIME_VALUE": "Lifetime value",
    "CHURN": "Churn",
    "LEAD_CONVERSION": "Lead conversion",
    "RESPONSE": "Response",
    "NEXT_OFFER": "Next offer",
    "SEND_TIME": "Send time",
    "CLUSTERS": "Clusters",
    "USAGE": "Usage",
    "RENEWAL": "Renewals",
}
TELLS = {
    "LIFETIME_VALUE": "purchases to come of each customer and what they are worth",
    "CHURN": "how likely it is that a customer stops buying, or ends a contract",
    "LEAD_CONVERSION": "how likely it is that a lead is converted within 30 days of its creation",
    "RESPONSE": "how likely it is that a customer will answer a campaign",
    "NEXT_OFFER": "which product a customer will buy next",
    "SEND_TIME": "when in the week a customer is active",
    "CLUSTERS": "which group of customers who are alike each is in",
    "USAGE": "whether a customer uses as much as is usual of this customer",
    "RENEWAL": "how likely it is that a customer renews a contract",
}
STATES = {
    "CANDIDATE": "not judged yet",
    "CHAMPION": "champion: scores come from it",
    "CHALLENGER": "challenger: measured beside the champion",
    "RETIRED": "retired: another model took its place",
    "REJECTED": "rejected: it did not pass its gates",
    "ROLLED_BACK": "rolled back",
}


@dataclass(frozen=True)
class Words:
    """What a card calls the rows a model was tested on, what happened to them, and the first of them by score."""

    rows: str
    events: str
    first: str


WORDS = {
    "LIFETIME_VALUE": Words("customers", "purchases", "most promising"),
    "CHURN": Words("customers", "departures", "most at risk"),
    "LEAD_CONVERSION": Words("leads", "conversions", "most promising"),
    "RESPONSE": Words("customers", "answers", "most promising"),
    "NEXT_OFFER": Words("customers", "purchases", "most promising"),
    "SEND_TIME": Words("customers", "active hours", "most active"),
    "CLUSTERS": Words("customers", "purchases", "most promising"),
    "USAGE": Words("customers", "events", "most unusual"),
    "RENEWAL": Words("contracts", "renewals", "most loyal"),
}

_PARTS = {
    "LIFETIME_VALUE": ("purchases", "spend"),
    "CHURN": ("churn",),
    "LEAD_CONVERSION": ("lead_conversion",),
    "RESPONSE": ("response",),
    "NEXT_OFFER": ("offers",),
    "SEND_TIME": ("send_time",),
    "CLUSTERS": ("clusters",),
    "USAGE": ("usage",),
    "RENEWAL": ("renewals",),
}
"""Parts of a model's parameters."""

NEXT_OFFER, USAGE = "NEXT_OFFER", "USAGE"
_OFFERED = Words("offers", "purchases", "most probable")
"""Of the tenths of a model of offers: each customer has ten of them."""
_EXPECTED_AND_REAL = (("expected", "expected", "a"), ("real", "actual", "b"))
"""Series of tenths: name, value and colour."""
_FIGURES = ("auc", "auc_interval", "brier", "ece", "lift")


@dataclass(frozen=True)
class Rival:
    """The model that stands beside: the champion of a challenger, or the challenger of a champion."""

    name: str
    state: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """Everything a card tells. `values` are the stored fields of the model."""

    name: str
    values: Mapping[str, Any]
    rival: Rival | None


def html(card: Card) -> str:
    """A page of its own: no script, nothing loaded from elsewhere, readable on a phone."""
    return environment(HTML).get_template("card.html").render(_shown(card), plots=_plots(card))


def markdown(card: Card) -> str:
    """The same as text; plots are rows of blocks."""
    return environment(MARKDOWN).get_template("card.md").render(_shown(card))


@cache
def environment(format: str) -> Environment:
    """What draws the templates of all cards in that format; everything is escaped."""
    environment = Environment(
        loader=PackageLoader("scoring.cards"),
        autoescape=format == HTML,
        finalize=None if format == HTML else _finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": figures.number,
        "percent": figures.percent,
        "figure": figures.figure,
        "instant": figures.instant,
        "date": figures.date,
        "blocks": figures.blocks,
    }
    return environment


def _finalized(value: object) -> str:
    """Text from elsewhere means nothing in Markdown: no markup, no line of its own, no cell."""
    if isinstance(value, figures.Plain):
        return value
    return _MARKDOWN.sub(r"\\\1", " ".join(str(value).split()))


def _shown(card: Card) -> dict[str, Any]:
    values = card.values
    test = values["test"] or {}
    return {
        "name": card.name,
        "model": values,
        "kind": KINDS[values["kind"]],
        "tells": TELLS[values["kind"]] + (f", in {values['currency']}" if values["currency"] else ""),
        "state": STATES[values["state"]],
        "words": WORDS[values["kind"]],
        "made_anew": values["kind"] in made_anew.TESTED,
        "tested_on": made_anew.TESTED[values["kind"]](values)
        if values["kind"] in made_anew.TESTED
        else _tested_on(test, WORDS[values["kind"]]),
        "hits": offers.tested(values) if values["kind"] == NEXT_OFFER else "",
        "tenths": _OFFERED if values["kind"] == NEXT_OFFER else WORDS[values["kind"]],
        "gates": values["gates"],
        "parameters": _parameters(values),
        "clusters": values["metrics"].get("clusters", ()),
        "alarms": made_anew.alarms(values) if values["kind"] == USAGE else (),
        "renewals": renewals.periods(values),
        "deciles": list(enumerate(test.get("deciles", ()), 1)),
        "revenue": revenue.tested(values),
        "waiting": test.get("waiting", ()),
        "waiting_rows": waiting.table(test["waiting"]) if test.get("waiting") else [],
        "gains": _gains(test.get("deciles", ())),
        "candidates": _candidates(values["metrics"]),
        "rival": card.rival,
        "rival_state": STATES[card.rival.state] if card.rival else "",
        "beside": _beside(card),
        "outcomes": values["outcomes"],
        "lived_tenths": _lived_tenths(values),
        "lived_revenue": revenue.lived(values),
        "drifts": values["drifts"],
    }


def _tested_on(test: Mapping[str, Any], words: Words) -> str:
    if "beside" in test:
        return "What it told of the ten products it ranked first for each customer, and what was then bought."
    if "weeks" in test and "customers" in test:
        return f"{test['customers']} customers in {test['weeks']:.4g} weeks that the model was not fitted to."
    if "customers" in test:
        return f"The newest {test['customers']} {words.rows}, by what was trained on earlier ones."
    return "What it told and what happened, where it was not fitted to that."


def _parameters(values: Mapping[str, Any]) -> list[tuple[str, str, float, float | None, float | None]]:
    """Part, name, value and the 90 percent interval of each, where there is one."""
    found = []
    for part in _PARTS[values["kind"]]:
        intervals = values["metrics"].get(f"{part}_intervals", {})
        for name, value in values["parameters"].get(part, {}).items():
            if isinstance(value, int | float):
                low, high = intervals.get(name, (None, None))
                found.append((part, name, value, low, high))
    return found


def _candidates(metrics: Mapping[str, Any]) -> list[tuple[str, bool, Mapping[str, Any]]]:
    """Name, whether it tells, and figures on the rows of the test: of every candidate that was trained for a model of
    propensity, and of telling the same of everybody; then of what ranks without a model.
    """
    found = [
        (name.replace("_", " "), name == metrics.get("chosen"), {**dict.fromkeys(_FIGURES), **figures})
        for name, figures in metrics.get("test", {}).items()
    ]
    rivals = [name for name in metrics if name.endswith("_auc")]
    return found + [(name[:-4], False, {**dict.fromkeys(_FIGURES), "auc": metrics[name]}) for name in rivals]


def _gains(deciles: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Share of the rows, those with the highest scores first, and of the events that were theirs."""
    best = list(reversed(deciles))
    customers = list(accumulate((tenth["customers"] for tenth in best), initial=0))
    bought = list(accumulate((tenth["actual"] * tenth["customers"] for tenth in best), initial=0.0))
    if not best or not bought[-1]:
        return []
    return [(some / customers[-1], of / bought[-1]) for some, of in zip(customers, bought, strict=True)]


def _beside(card: Card) -> list[tuple[str, str, str]]:
    """What is told of the model and its rival side by side."""
    if card.rival is None:
        return []
    words = WORDS[card.values["kind"]]
    rows: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("Data until", lambda values: figures.instant(values["as_of"])),
        (words.rows.capitalize(), lambda values: f"{values['customers']}"),
        *((f"Model of {part.replace('_', ' ')}", _model_of(part)) for part in _PARTS[card.values["kind"]]),
    ]
    rows += (
        [("Test", made_anew.TESTED[card.values["kind"]])]
        if card.values["kind"] in made_anew.TESTED
        else [
            *(
                [("Test", offers.tested), ("Hit rate as promised", offers.promised)]
                if card.values["kind"] == NEXT_OFFER
                else [("Error as promised", _promised)]
            ),
            (f"Distance of expected and real {words.events} by tenths", _miscalibration),
            (
                ("Hit rate since release", offers.lived)
                if card.values["kind"] == NEXT_OFFER
                else ("Error since release", _lived)
            ),
            *([("Distance of expected and real revenue by tenths", _away)] if revenue.tested(card.values) else []),
        ]
    )
    return [(title, of(card.values), of(card.rival.values)) for title, of in rows]


def _model_of(part: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda values: str(values["parameters"].get(part, {}).get("model", ""))


def _promised(values: Mapping[str, Any]) -> str:
    promised = (values["test"] or {}).get("promised", {})
    if not promised:
        return "not tested"
    days = max(promised, key=int)
    return f"{figures.number(promised[days])}, {int(days) // 7} weeks ahead"


def _miscalibration(values: Mapping[str, Any]) -> str:
    away = (values["test"] or {}).get("miscalibration")
    return "not tested" if away is None else figures.percent(away)


def _away(values: Mapping[str, Any]) -> str:
    found = revenue.tested(values)
    return "not tested" if found is None else figures.percent(found["miscalibration"])


def _lived(values: Mapping[str, Any]) -> str:
    if not values["outcomes"]:
        return "not measured yet"
    seen = values["outcomes"][0]
    error = seen["error"]
    value, low, high = (figures.number(error[name]) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high}), {seen['weeks']:.3g} weeks"


def _plots(card: Card) -> dict[str, Markup | None]:
    values = card.values
    test = values["test"] or {}
    words = _OFFERED if values["kind"] == NEXT_OFFER else WORDS[values["kind"]]
    found: dict[str, Markup | None] = dict.fromkeys(_PLOTS)
    if deciles := test.get("deciles"):
        series = [_series(name, deciles, of, css) for name, of, css in _EXPECTED_AND_REAL]
        found["calibration"] = _tenths(f"Calibration by tenths of the {words.rows}", series, words)
        gains = _gains(deciles)
        if gains:
            shares = [share for share, _ in gains]
            lines = [Series("by score", [share for _, share in gains], "a"), Series("by chance", shares, "c")]
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
    if tenths := _lived_tenths(values):
        series = [_series("expected", tenths, "expected", "a"), _series("happened", tenths, "actual", "b")]
        found["outcome"] = _tenths("What happened since", series, words)
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


def _lived_tenths(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the newest outcome that has any: of offers they come once the model's horizon has passed."""
    return next((outcome["deciles"] for outcome in values["outcomes"] if outcome["deciles"]), [])


def _series(name: str, tenths: Sequence[Mapping[str, Any]], of: str, css: str) -> Series:
    return Series(name, [tenth[of] for tenth in tenths], css)


def _tenths(title: str, series: Sequence[Series], words: Words) -> Markup:
    labels = [str(number + 1) for number in range(max(len(each.values) for each in series))]
    return plots.grouped_bars(title, labels, series, f"tenth of the {words.rows}, the {words.first} last")
