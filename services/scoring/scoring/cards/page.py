"""Draws a card from what is stored of a model: pure text in, pure text out; everything is escaped."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from scoring.cards import figures, made_anew, model_plots, offers, renewals, revenue, waiting
from scoring.cards.wording import KINDS, NEXT_OFFER, OFFERED, PARTS, STATES, TELLS, USAGE, WORDS, Words

HTML, MARKDOWN = "html", "markdown"
FORMATS = (HTML, MARKDOWN)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]!|<>~&]|^[#+=-]|(?<=^\d)[.)])")
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
    return environment(HTML).get_template("card.html").render(_shown(card), plots=model_plots.drawn(card.values))


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
        "tenths": OFFERED if values["kind"] == NEXT_OFFER else WORDS[values["kind"]],
        "gates": values["gates"],
        "parameters": _parameters(values),
        "clusters": values["metrics"].get("clusters", ()),
        "hours": made_anew.hours(values),
        "alarms": made_anew.alarms(values) if values["kind"] == USAGE else (),
        "renewals": renewals.periods(values),
        "deciles": list(enumerate(test.get("deciles", ()), 1)),
        "revenue": revenue.tested(values),
        "waiting": test.get("waiting", ()),
        "waiting_rows": waiting.table(test["waiting"]) if test.get("waiting") else [],
        "gains": model_plots.gains(test.get("deciles", ())),
        "candidates": _candidates(values["metrics"]),
        "rival": card.rival,
        "rival_state": STATES[card.rival.state] if card.rival else "",
        "beside": _beside(card),
        "outcomes": values["outcomes"],
        "lived_tenths": model_plots.lived_tenths(values),
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
    for part in PARTS[values["kind"]]:
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


def _beside(card: Card) -> list[tuple[str, str, str]]:
    """What is told of the model and its rival side by side."""
    if card.rival is None:
        return []
    words = WORDS[card.values["kind"]]
    rows: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("Data until", lambda values: figures.instant(values["as_of"])),
        (words.rows.capitalize(), lambda values: f"{values['customers']}"),
        *((f"Model of {part.replace('_', ' ')}", _model_of(part)) for part in PARTS[card.values["kind"]]),
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
