"""Draws the card of what a journey brought: stored values in, pure text out; everything is escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from chassis import money
from scoring.cards import plots
from scoring.cards.page import HTML, MARKDOWN, environment
from scoring.cards.plots import Bar, Series

STATES = {
    "PENDING": "not computed yet",
    "RUNNING": "not over for anybody yet",
    "TOO_FEW": "too few to tell yet",
    "MEASURED": "sent to against held out",
}


@dataclass(frozen=True)
class JourneyCard:
    """Everything a card tells. windows: days -> what is known of the window, as stored. shown: days of that on top."""

    journey: str
    shown: int
    windows: Mapping[int, Mapping[str, Any]]
    uplift: Mapping[str, Any]
    compute_time: datetime | None


def html(card: JourneyCard) -> str:
    """A page of its own: no script, nothing loaded from elsewhere, readable on a phone."""
    return environment(HTML).get_template("journey.html").render(_shown(card), plots=_plots(card))


def markdown(card: JourneyCard) -> str:
    """The same as text; plots are rows of blocks."""
    return environment(MARKDOWN).get_template("journey.md").render(_shown(card))


def _shown(card: JourneyCard) -> dict[str, Any]:
    top = card.windows.get(card.shown, {"state": "PENDING", "summary": "Not computed yet.", "messages": []})
    curve = card.uplift.get("curve", [])
    return {
        "journey": card.journey,
        "top": top,
        "state": STATES[top["state"]],
        "days": card.shown,
        "compute_time": card.compute_time,
        "rows": [_row(days, window) for days, window in sorted(card.windows.items())],
        "messages": top["messages"],
        "uplift": card.uplift,
        "curve": curve[::4],
        "most": max((gain for _, gain in curve), default=0.0),
    }


def _row(days: int, window: Mapping[str, Any]) -> dict[str, Any]:
    whole = 10 ** money.check_currency(window["currency"]) if window["currency"] else 1
    return {
        "days": days,
        "state": STATES[window["state"]],
        "treated": _group(window["treated"]),
        "held_out": _group(window["held_out"]),
        "share": _scaled(window.get("share"), 100),
        "revenue": _scaled(window.get("revenue"), 1 / whole),
        "currency": window["currency"],
        "waiting": window["waiting"],
    }


def _scaled(difference: Mapping[str, float] | None, by: float) -> dict[str, float | str] | None:
    """A difference in other units; its p-value in words."""
    if difference is None:
        return None
    p = difference["p_value"]
    scaled = {name: value * by for name, value in difference.items() if name != "p_value"}
    return {**scaled, "p": "under 0.001" if p < 0.001 else f"{p:.3f}"}


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    customers = group["customers"]
    return {"customers": customers, "share": group["buyers"] / customers if customers else None}


def _plots(card: JourneyCard) -> dict[str, Markup | None]:
    over = [(days, window) for days, window in sorted(card.windows.items()) if window["state"] != "RUNNING"]
    measured = [(days, window["share"]) for days, window in over if "share" in window]
    return {
        "shares": _shares(over) if measured else None,
        "differences": _differences(measured) if measured else None,
        "qini": _qini(card.uplift["curve"]) if card.uplift.get("curve") else None,
    }


def _shares(over: Sequence[tuple[int, Mapping[str, Any]]]) -> Markup:
    series = [
        Series(name, [100 * window[group]["buyers"] / max(window[group]["customers"], 1) for _, window in over], css)
        for name, group, css in (("sent to", "treated", "a"), ("held out", "held_out", "b"))
    ]
    labels = [f"{days} days" for days, _ in over]
    return plots.grouped_bars("Of a hundred people bought", labels, series, "within so long after the entry")


def _differences(measured: Sequence[tuple[int, Mapping[str, float]]]) -> Markup:
    bars = []
    for days, share in measured:
        value, low, high = (100 * share[name] for name in ("value", "low_90", "high_90"))
        bars.append(Bar(f"{days} days: {value:+.1f}", value, low, high, marked=low > 0 or high < 0))
    return plots.differences("Points more bought of those sent to", bars, "points, with 90 % interval")


def _qini(curve: Sequence[Sequence[float]]) -> Markup:
    shares, gains = [point[0] for point in curve], [point[1] for point in curve]
    chance = [share * gains[-1] for share in shares]
    bottom, top = plots.bounds([*gains, *chance])
    lines = [Series("model", gains, "a"), Series("chance", chance, "c")]
    axis = "share of the people sent to, those the model puts first"
    return plots.curves("Qini curve", shares, lines, axis, bottom=bottom, top=top or 1.0)
