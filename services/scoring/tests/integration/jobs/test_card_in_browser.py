"""A model's card as people see it: in a real browser, on a phone and on a desk, with nothing running in it."""

import io
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pyarrow as pa
import pytest

from localrun import browser
from scoring.cards import journey_page, page, wording
from scoring.cards.journey_page import JourneyCard
from scoring.cards.page import Card, Rival
from scoring.domain.journey_outcomes import DAY_MS, WINDOWS, Purchase, Tally
from scoring.usecases import journey_reports

from ..seen_plots import seen_plots
from . import test_offer_models, test_train_offers
from .conftest import AS_OF, Shop, model_of
from .test_judge import WEEKS_AGO, judgement, known

MEASURE = """<script>
document.title = [document.documentElement.scrollWidth,
  ...[...document.querySelectorAll("svg")].map(each => Math.round(each.getBoundingClientRect().width))].join(" ");
</script>"""


def values(model: dict[str, Any], number: int, state: str, kind: str = "LIFETIME_VALUE") -> dict[str, Any]:
    """As the registry keeps them."""
    told = model["judgement"]
    begin, end = (datetime.fromisoformat(model[name]) for name in ("window_start", "window_end"))
    return {
        "number": number,
        "kind": kind,
        "state": state,
        "state_message": "Passed all its gates.",
        "message": model["message"] or None,
        "as_of": AS_OF,
        "window_start_time": begin,
        "window_end_time": end,
        "customers": model["customers"],
        "purchases": model["purchases"],
        "consenting": 0.93,
        "currency": model["currency"],
        "fingerprint": model["version"],
        "artefact_sha256": "0" * 64,
        "fallback": False,
        "parameters": model["parameters"],
        "metrics": model["metrics"],
        "features": told["features"],
        "gates": told["candidate"]["gates"],
        "test": told["test"],
        "outcomes": [{**outcome, "as_of": AS_OF} for outcome in told["outcomes"]],
        "drifts": told["drifts"],
    }


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory, all_purchases: pa.Table) -> Card:
    shop = Shop(tmp_path_factory.mktemp("card"), all_purchases)
    old = shop.spec("old", as_of=WEEKS_AGO[13])
    shop.run(old)
    new = shop.spec("new", models=[known(shop, old, "champion")])
    shop.run(new)
    champion = values(model_of(new), 2, "CHAMPION")
    rival = values(model_of(old), 1, "RETIRED")
    assert judgement(new)["outcomes"]
    return Card("models/2", champion, Rival("models/1", "RETIRED", rival))


@pytest.fixture(scope="module")
def cards(fallen_leads, churn_models, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Card]:
    """By kind, each of what a job of it made."""
    leads, (before, churn) = fallen_leads[1], churn_models[1]
    folder, rows = tmp_path_factory.mktemp("offers"), test_train_offers.shop(200, 12)
    before_offers = test_train_offers.made(folder / "before", rows, as_of=test_offer_models.BEFORE)
    released = (test_offer_models.known(folder / "before", "champion"),)
    offers = test_train_offers.made(folder / "now", rows, models=released)
    return {
        kind: Card(
            "models/2",
            values(model, 2, "CHALLENGER", kind),
            Rival("models/1", "CHAMPION", values(rival, 1, "CHAMPION", kind)),
        )
        for kind, model, rival in (
            ("LEAD_CONVERSION", leads, leads),
            ("CHURN", churn, before),
            ("NEXT_OFFER", offers, before_offers),
        )
    }


@pytest.fixture(scope="module")
def journey_card() -> JourneyCard:
    """A quarter of those sent to bought on the third day, a tenth of those held out; 50 days ago."""
    tally = Tally(now=50 * DAY_MS)
    for number in range(1_000):
        held_out = number % 5 == 0
        bought = number % 40 < (4 if held_out else 10)
        tally.add(20, 0, [Purchase(3 * DAY_MS, 2_000, "EUR")] if bought else [], held_out=held_out)
    uplift = {
        "people": 1_000,
        "days": 28,
        "heterogeneous": True,
        "advice": "treat customers whose uplift is over 0.0 points",
        "messages": [],
        "p": 0.001,
        "qini": [0.12, 0.07, 0.17],
        "curve": [[step / 20, 16 * min(1.0, step / 8) - (1.0 if step == 1 else 0.0)] for step in range(21)],
        "traits": ["lifetime value <script>alert(1)</script> lower | than *usual*"],
    }
    windows = {days: journey_reports.report(tally, days) for days in WINDOWS}
    return JourneyCard("journeys/win-back", 28, windows, uplift, AS_OF)


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        assert not any(name in ("src", "href") for name, _ in attrs), "nothing is loaded from elsewhere"
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_card_is_well_formed_and_loads_and_runs_nothing(card: Card) -> None:
    elements = _Elements()
    elements.feed(page.html(card))
    assert elements.open == []
    assert "script" not in elements.seen
    assert elements.seen.count("svg") == 7
    text = page.markdown(card)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) > 50
    assert all(line.endswith("|") for line in tables)
    assert "████" in text
    assert "Squared error against that with the mean spend for all: -" in text
    assert "Revenue in EUR" in text


@pytest.mark.parametrize("width", [500, 1_280])
def test_nothing_of_a_card_sticks_out_to_the_side(card: Card, tmp_path: Path, width: int) -> None:
    file = tmp_path / "card.html"
    # The page itself runs nothing; what measures it is put there by the test.
    file.write_text(page.html(card).replace("</body>", f"{MEASURE}</body>"))
    title = browser.elements(file.as_uri(), width, 800).partition("<title>")[2].partition("</title>")[0]
    across, *plots = map(int, title.split())
    assert across <= width
    assert len(plots) == 7
    assert all(min(width * 0.9, 700) < plot <= width for plot in plots)


def test_the_plots_of_a_card_are_to_be_seen(card: Card, tmp_path: Path) -> None:
    file = tmp_path / "card.html"
    file.write_text(page.html(card))
    picture = matplotlib.image.imread(io.BytesIO(browser.picture(file.as_uri(), 500, 4_500)))
    assert picture.shape[:2] == (4_500, 500)
    red, green, blue = ((picture[..., place] * 255).round().astype(np.int64) for place in range(3))
    colours, pixels = np.unique((red << 16) | (green << 8) | blue, return_counts=True)
    seen = dict(zip(colours.tolist(), pixels.tolist(), strict=True))
    assert seen[0x2F6FB3] > 10_000, "what was expected"
    assert seen[0xD07A1F] > 5_000, "and what happened"


@pytest.mark.parametrize("kind", ["LEAD_CONVERSION", "CHURN", "NEXT_OFFER"])
def test_the_card_of_each_kind_of_model_has_its_plots_in_a_browser(
    cards: dict[str, Card], kind: str, tmp_path: Path
) -> None:
    card, words = cards[kind], wording.WORDS[kind]
    elements, shown = _Elements(), page.html(card)
    elements.feed(shown)
    assert elements.open == []
    seen = seen_plots(shown, tmp_path)
    text = page.markdown(card)
    if kind == "NEXT_OFFER":
        tenths = ("Calibration by tenths of the offers", "What happened since")
        assert seen.keys() == {*tenths, "Cumulative gain", "Drift"}
        assert all(450 < width <= 500 and marks > 2 for width, marks in seen.values())
        assert seen["Drift"][1] == len(card.values["drifts"]) == 4
        metrics, (outcome,) = card.values["metrics"], card.values["outcomes"]
        for name in ("hit_rate_at_10", "popular_hit_rate_at_10_interval"):
            figures = metrics[name] if isinstance(metrics[name], list) else list(metrics[name].values())
            assert all(f"{figure:.1%}" in shown and f"{figure:.1%}" in text for figure in figures)
        row = next(line for line in text.splitlines() if line.startswith("| As of | Weeks | Customers |"))
        told = text[text.index(row) :].splitlines()[2]
        rate = outcome["hit_rate"]
        assert f"| {outcome['actual']} | {rate['value']:.1%} | {rate['low']:.1%} to {rate['high']:.1%} |" in told
        assert told.endswith(f" | {outcome['promised']:.1%} |")
        assert "neither it nor the champion of then, models/before, had learned from" in text
        assert "Hit rate as promised" in text
        return
    tenths = f"of the {words.rows}"
    assert seen.keys() == {
        *(f"Calibration by tenths {tenths}", "Cumulative gain", "What happened since", "Drift"),
        f"Real {words.events} in the tenths each model made",
        *(["Not back yet, by told risk"] if kind == "CHURN" else []),
    }
    assert all(450 < width <= 500 for width, _ in seen.values())
    assert seen["Drift"][1] == len(card.values["drifts"]) > 5
    assert min(marks for name, (_, marks) in seen.items() if name != "Drift") >= 2
    assert {"logistic", "catboost", "average", "base rate"} <= {
        name for name, _, _ in page._candidates(card.values["metrics"])
    }
    metrics = card.values["metrics"]
    figures = metrics["test"][metrics["chosen"]]
    line = next(line for line in text.splitlines() if line.startswith(f"| {metrics['chosen']} (in use) |"))
    assert [float(each) for each in line.split("|")[2:-1] if " to " not in each] == [
        pytest.approx(figures[name], abs=0.001) for name in ("auc", "brier", "ece", "lift")
    ]
    if kind == "CHURN":
        thirds = card.values["test"]["waiting"]
        left = {third["third"]: third["points"][-1]["lasting"] for third in thirds}
        assert left["lowest"] < left["middle"] < left["highest"]
        assert seen["Not back yet, by told risk"][1] == 5, "three lines, and what names two of them"
        assert f"| 0 | 100.0% (100.0% to 100.0%) | {thirds[0]['points'][0]['at_risk']} |" in text
    rival = "recency" if kind == "CHURN" else "points"
    assert f"| {rival} | {metrics[f'{rival}_auc']:.3f} |" in text
    assert text.count(f"| Tenth | {words.rows.capitalize()} | Expected | Real | |") == 2, "of the test and since"
    assert f"{card.values['test']['customers']} {words.rows}, by what was trained on earlier ones" in text


def test_a_journeys_card_tells_every_window_and_runs_nothing(journey_card: JourneyCard) -> None:
    elements = _Elements()
    shown = journey_page.html(journey_card)
    elements.feed(shown)
    assert elements.open == []
    assert "script" not in elements.seen
    assert elements.seen.count("svg") == 3
    assert "points more bought within 28 days, 90 % between" in shown
    assert "not over for anybody yet; 1000 wait" in shown
    text = journey_page.markdown(journey_card)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) == 2 + 5 + 2 + 3 + 2 + 3 + 2 + 6
    assert all(line.endswith("|") for line in tables)
    assert "████" in text
    assert "lower \\| than \\*usual\\*" in text
    pending = JourneyCard("journeys/new", 28, {}, {}, None)
    assert "Not computed yet." in journey_page.html(pending)
    assert "Not computed yet" in journey_page.markdown(pending)


def test_the_qini_plot_of_a_journeys_card_is_to_be_seen(journey_card: JourneyCard, tmp_path: Path) -> None:
    file = tmp_path / "card.html"
    file.write_text(journey_page.html(journey_card).replace("</body>", f"{MEASURE}</body>"))
    title = browser.elements(file.as_uri(), 500, 800).partition("<title>")[2].partition("</title>")[0]
    across, *plots = map(int, title.split())
    assert across <= 500
    assert len(plots) == 3
    assert all(450 < plot <= 500 for plot in plots)
    file.write_text(journey_page.html(journey_card))
    picture = matplotlib.image.imread(io.BytesIO(browser.picture(file.as_uri(), 500, 2_600)))
    blue = np.array([0x2F, 0x6F, 0xB3])
    is_blue = (np.abs((picture[..., :3] * 255).round() - blue) < 3).all(axis=2)
    rows, columns = np.nonzero(is_blue[1_200:])
    # The line by the model goes from the left of its plot to the right, the bars are above.
    assert len(rows) > 300
    assert columns.max() - columns.min() > 350
