"""The declared features: by hand, of one customer and in bulk alike, and never from what came later."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.domain.happenings import KEPT_DAYS, Happening, add, order_of
from scoring.features import row, table
from scoring.features.declared import (
    CLICKED,
    FEATURES,
    LONGEST,
    NAMES,
    OTHER,
    PURCHASE,
    REFUND,
    SENT,
    Aggregation,
    Feature,
    Value,
    kind_of,
)
from scoring.features.row import Event
from scoring.features.table import Events

HOUR = 3_600_000_000
DAY = 24 * HOUR
AT = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
EVENT_NAMES = {
    PURCHASE: "Order Completed",
    REFUND: "Order Refunded",
    OTHER: "Page Viewed",
    SENT: "Message Sent",
    CLICKED: "Message Clicked",
}
MONEY = (PURCHASE, REFUND)


def columns(events: list[tuple[int, Event]]) -> Events:
    """events: pairs of a customer's code and an event."""
    values = [[customer, *event] for customer, event in events]
    customer, kind, time, amount, order = np.array(values, dtype=np.int64).reshape(-1, 5).T
    return Events(customer, kind.astype(np.int8), time, amount, order)


def of_one(events: list[Event], at: int = AT) -> dict[str, float]:
    """Of a customer with these events in bulk; the incremental computation is held against it."""
    bulk = {name: float(values[0]) for name, values in table.table(columns([(0, e) for e in events]), 1, at).items()}
    np.testing.assert_equal(row.row_of(events, at), bulk)
    return bulk


def bought(days_ago: float, amount: int = 1000, order: int = 0) -> Event:
    return Event(PURCHASE, AT - round(days_ago * DAY), amount, order)


def refunded(days_ago: float, amount: int, order: int) -> Event:
    return Event(REFUND, AT - round(days_ago * DAY), amount, order)


def seen(days_ago: float) -> Event:
    return Event(OTHER, AT - round(days_ago * DAY))


def message(days_ago: float, *clicked_after_s: float) -> list[Event]:
    """A message, and after how long links in it were followed."""
    sent = AT - round(days_ago * DAY)
    return [Event(SENT, sent), *(Event(CLICKED, sent + round(after * 1_000_000)) for after in clicked_after_s)]


def test_an_example_by_hand() -> None:
    """Noon is the instant: 10.25 days ago is 06:00, and 10.5 days ago midnight of the same UTC day."""
    events = [
        bought(400, 90_000, order=9),
        bought(200, 10_000, order=1),
        bought(100, 4_000, order=2),
        bought(10.5, 3_000, order=3),
        bought(10.25, 1_000, order=3),
        refunded(95, 4_000, order=2),
        refunded(5, 3_500, order=3),
        refunded(3, 777, order=8),
        seen(60),
        seen(2),
        seen(-1),
        *message(120, 3_600),
        *message(40),
        *message(4, 0, 29.9, 86_400),
        *message(0.5),
        Event(CLICKED, AT),
    ]
    assert of_one(events) == {
        "purchases_30d": 2,
        "purchases_90d": 2,
        "purchases_180d": 3,
        "purchases_365d": 4,
        "revenue_30d": 500,
        "revenue_90d": 500,
        "revenue_180d": 500,
        "revenue_365d": 10_500,
        "mean_order_value_365d": 5_250,
        "refunds_365d": 3,
        "refunded_share_365d": 7_500 / 18_000,
        "days_since_last_purchase": 10.25,
        "days_since_first_purchase": 200,
        "purchase_days_365d": 3,
        "mean_purchase_gap": 95,
        "last_purchase_gap": 90,
        "purchase_lateness": 10.25 / 95,
        "purchase_rate_ratio": (2 / 90) / (2 / 275),
        "active_days_30d": 4,
        "active_days_90d": 5,
        "events_30d": 6,
        "events_90d": 7,
        "days_since_last_event": 2,
        "activity_rate_ratio": (6 / 30) / (1 / 60),
        "messages_sent_90d": 3,
        "message_clicks_90d": 1,
        "clicks_per_message_90d": 1 / 3,
        "days_since_last_click": 3,
    }


@pytest.mark.parametrize(("after_s", "by_person"), [(0, False), (29.999, False), (30, True), (90_000, True)])
def test_links_that_are_followed_as_a_message_comes_are_followed_by_programs(after_s: float, by_person: bool) -> None:
    values = of_one(message(10, after_s))
    assert (values["message_clicks_90d"], values["events_30d"]) == (by_person, by_person)
    # Of other customers' messages nothing follows.
    both = table.table(columns([(0, message(10)[0]), (1, message(10, after_s)[1])]), 2, AT)
    assert both["message_clicks_90d"].tolist() == [0, 1]


def test_nothing_is_known_of_a_customer_without_events() -> None:
    values = of_one([])
    counted = {f.name for f in FEATURES if f.aggregation in (Aggregation.COUNT, Aggregation.DISTINCT_DAYS)}
    zero = counted | {f.name for f in FEATURES if f.aggregation is Aggregation.REVENUE}
    np.testing.assert_equal(values, {name: 0.0 if name in zero else nan for name in NAMES})


@pytest.mark.parametrize(("ago_us", "inside"), [(0, False), (1, True), (30 * DAY, True), (30 * DAY + 1, False)])
def test_a_window_ends_before_its_instant(ago_us: int, inside: bool) -> None:
    assert of_one([Event(PURCHASE, AT - ago_us, 500)])["purchases_30d"] == inside


def test_a_refund_takes_from_its_order_never_below_nothing() -> None:
    events = [
        bought(20, 1000, 1),
        bought(40, 2000, 1),
        bought(20, 5000, 2),
        refunded(10, 2500, 1),
        refunded(9, 9999, 2),
    ]
    values = of_one(events)
    # The oldest purchase of an order is refunded first.
    assert (values["revenue_30d"], values["revenue_90d"]) == (500, 500)
    assert values["mean_order_value_365d"] == 500
    # Before the refunds nobody knew of them.
    assert of_one(events, AT - 10 * DAY)["revenue_90d"] == 8000


def test_a_purchase_of_a_negative_amount_is_a_refund() -> None:
    values = of_one([bought(20, 1000, 1), bought(10, -400, 1)])
    assert (values["purchases_30d"], values["refunds_365d"], values["revenue_30d"]) == (1, 1, 600)


@pytest.mark.parametrize(("event", "amount"), [("Order Completed", -1), ("Order Refunded", 1)])
def test_a_refund_that_its_rate_makes_nothing_of_is_none_and_no_purchase(event: str, amount: int) -> None:
    known = [
        Happening("Order Completed", "shop", "EUR", AT // 1000 - 5_000, 1000, 1, 7),
        Happening(event, "shop", "VND", AT // 1000 - 4_000, amount, 2, 7),
    ]
    values = row.row([add([], known, AT // 1000)], AT, lambda amount, code, _: amount if code == "EUR" else 0)
    assert (values["purchases_30d"], values["refunds_365d"], values["revenue_30d"]) == (1, 0, 1000)


_AGES = st.one_of(st.integers(-2 * DAY, 400 * DAY), st.sampled_from([0, 1, DAY, 30 * DAY, 90 * DAY, 365 * DAY]))
_EVENTS = st.builds(
    lambda kind, age, amount, order: Event(
        kind, (AT - age) // 1000 * 1000, amount if kind in MONEY else 0, order if kind in MONEY else 0
    ),
    st.sampled_from([PURCHASE, PURCHASE, REFUND, OTHER, SENT, CLICKED, CLICKED]),
    _AGES,
    st.integers(-200, 5_000),
    st.integers(0, 3),
)
# A link that is followed as long after a message as programs and people do, or just where one begins.
_MESSAGES = st.builds(
    lambda age, after_ms: [
        Event(SENT, (AT - age) // 1000 * 1000),
        Event(CLICKED, (AT - age) // 1000 * 1000 + after_ms * 1000),
    ],
    _AGES,
    st.sampled_from([0, 29_999, 30_000, 600_000]),
)
_CUSTOMERS = st.lists(st.one_of(_EVENTS.map(lambda event: [event]), _MESSAGES), max_size=9).map(
    lambda several: [event for each in several for event in each]
)
_ORDERS = ["", "A-1", "A-2", "A-3"]


@settings(max_examples=60, deadline=None)
@given(people=st.lists(_CUSTOMERS, min_size=1, max_size=4), seed=st.integers(0, 2**20))
def test_taken_in_one_by_one_or_in_bulk_features_are_the_same(people: list[list[Event]], seed: int) -> None:
    """Events come late, in any order and repeatedly to profiles; bulk columns are shuffled."""
    chance = random.Random(seed)
    rows: list[tuple[int, Event]] = []
    one_by_one: list[dict[str, float]] = []
    for customer, events in enumerate(people):
        rows += [(customer, e._replace(order=order_of(_ORDERS[e.order]))) for e in events]
        arriving = list(enumerate(events)) + [(n, e) for n, e in enumerate(events) if chance.random() < 0.3]
        chance.shuffle(arriving)
        # Of a customer that another one was merged into: what each did is in a profile of its own.
        profiles: list[list] = [[], []]
        while arriving:
            batch = [arriving.pop() for _ in range(min(len(arriving), chance.randint(1, 4)))]
            news = [
                Happening(
                    EVENT_NAMES[e.kind],
                    "shop" if number % 3 else "till",
                    "EUR" if e.kind in MONEY else "",
                    e.time // 1000,
                    e.amount,
                    number,
                    order_of(_ORDERS[e.order]),
                )
                for number, e in batch
            ]
            for place, series in enumerate(profiles):
                mine = [each for each in news if each.id % 2 == place]
                profiles[place] = add(series, mine, AT // 1000)
        one_by_one.append(row.row(profiles, AT, lambda amount, _currency, _time: amount))
    chance.shuffle(rows)
    bulk = table.table(columns(rows), len(people), AT)
    for name in NAMES:
        np.testing.assert_array_equal([values[name] for values in one_by_one], bulk[name], err_msg=name)


def looks_ahead(compute: Callable[[Events, int, int], dict], at: int) -> set[str]:
    """The features that change when something happens at the instant or later: the check itself."""
    chance = np.random.default_rng(5)
    n = 400
    known = Events(
        chance.integers(0, 20, n),
        chance.integers(0, 5, n).astype(np.int8),
        at - chance.integers(1, 300 * DAY, n),
        chance.integers(1, 900, n),
        chance.integers(0, 40, n),
    )
    ages = np.concatenate([np.zeros(n // 2, dtype=np.int64), -chance.integers(0, 5 * DAY, n // 2)])
    leak = Events(known.customer, known.kind[::-1], at - ages, known.amount * 1000, known.order)
    both = Events(
        *(
            np.concatenate([getattr(known, f), getattr(leak, f)])
            for f in ("customer", "kind", "time", "amount", "order")
        )
    )
    before, after = compute(known, 20, at), compute(both, 20, at)
    return {name for name in before if not np.array_equal(before[name], after[name], equal_nan=True)}


def test_a_planted_leak_changes_nothing_and_a_feature_that_looks_ahead_is_caught() -> None:
    assert looks_ahead(table.table, AT) == set()

    def ahead(events: Events, customers: int, at: int) -> dict:
        """As the table, but its purchases of 30 days reach a microsecond too far."""
        late = table.table(events, customers, at + 1)["purchases_30d"]
        return {**table.table(events, customers, at), "purchases_30d": late}

    assert looks_ahead(ahead, AT) == {"purchases_30d"}


def test_every_feature_is_declared_in_full_and_can_be_answered_by_profiles() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert 0 < feature.window.days <= LONGEST.days < KEPT_DAYS
        assert feature.documentation.endswith(".")
        assert feature.owner
        assert feature.personal
        assert (feature.recent is not None) == (feature.aggregation is Aggregation.RATE_RATIO)
        assert feature.value is not Value.MONEY or PURCHASE in feature.kinds


def test_what_profiles_no_longer_keep_has_no_value_rather_than_a_wrong_one() -> None:
    news = [Happening("Page Viewed", "app", "", AT // 1000 - n * 3_600_000, 0, n) for n in range(1, 2_000)]
    news.append(Happening("Order Completed", "shop", "EUR", AT // 1000 - 50 * 86_400_000, 1000, 5_000))
    values = row.row([add([], news, AT // 1000)], AT, lambda amount, _currency, _time: amount)
    # A thousand hours are kept: 41 days.
    assert (values["events_30d"], values["days_since_last_event"], values["purchases_365d"]) == (720, 1 / 24, 1)
    np.testing.assert_equal([values["events_90d"], values["active_days_90d"]], [nan, nan])


@pytest.mark.parametrize(
    ("event", "has_amount", "kind"),
    [
        ("Order Completed", True, PURCHASE),
        ("Order Refunded", True, REFUND),
        ("Order Completed", False, OTHER),
        ("Cart Viewed", True, OTHER),
        ("Message Sent", False, SENT),
        ("Message Clicked", False, CLICKED),
    ],
)
def test_what_an_event_is(event: str, has_amount: bool, kind: int) -> None:
    assert kind_of(event, has_amount=has_amount) == kind


def test_a_feature_names_its_sources() -> None:
    by_name: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
    assert by_name["revenue_30d"].sources == ("Order Completed", "Order Refunded")
    assert by_name["events_30d"].sources == ("Order Completed", "Order Refunded", "*", "Message Clicked")
