"""Refunds in jobs of lifetime value: what is left of purchases counts, by what was known then."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoring.features.declared import PURCHASE, REFUND
from scoring.features.rates import DayRates
from scoring.features.row import Event, left
from scoring.jobs import dividing, layout, people, refunds, tasks, windows
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder
from scoring.jobs.tasks import Ledger, Summed
from scoring.jobs.windows import Window

from .conftest import AS_OF, DAY_US, Shop, ShopOf, model_of, purchases, row, with_rows

MERGED = {"customers/b": "customers/a"}


RATES = DayRates.read(
    "EUR", ["Date,USD", *(f"{AS_OF - timedelta(days=ago):%Y-%m-%d},{rate}" for ago, rate in ((30, 2), (24, 1.25)))]
)
"""A euro's dollars: none are told of the newest days, nor of the oldest."""
_NONE = purchases(1).slice(0, 0)


def shop_rows(seed: int) -> list[dict[str, Any]]:
    """Purchases and refunds of few orders by few customers, in any order: late, early, of unknown orders, too large."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(260):
        amount = int(rng.integers(0, 900)) * (-1 if rng.random() < 0.4 else 1)
        when = AS_OF - timedelta(days=int(rng.integers(18, 30)), seconds=int(rng.integers(0, 80_000)))
        values = row(f"customers/{rng.choice(list('abcde'))}", when, amount, rng.choice(["EUR", "EUR", "USD"]))
        rows.append(values | {"order_id": str(rng.choice(["", *"123456789"]))})
    # Half a cent, on a day without a purchase; only given back, so no customer; and bought only what has no order.
    rows.append(row("customers/e", AS_OF - timedelta(days=28), -1, "USD") | {"order_id": "1"})
    return [*rows, row("customers/f", AS_OF, -5) | {"order_id": "1"}, row("customers/g", AS_OF, 7)]


def summed(
    shop: Shop, at: datetime, number: int, partitions: int
) -> tuple[dict[str, dict[str, int]], list[Summed], dict[str, int]]:
    """By customer what a job sums up; and what its tasks count."""
    address = f"file://{shop.folder}/out-{number}"
    output = Folder(address)
    aliases = shop.names("aliases", customer=[*MERGED], canonical=[*MERGED.values()])
    people.resolve(output, aliases, None)
    here = InProcess(1)
    files = [tasks.inspect(url) for url in shop.files(f"in{number}", number)]
    microseconds = round(at.timestamp() * 1e6)
    bounds = layout.bounds(files, partitions)
    noted = refunds.note(here, files, output)
    division = dividing.Division(address, "f" * 64, microseconds, RATES, bounds, True, False, noted)
    groups = [dividing.Group(division, place, ((file.url, 0),)) for place, file in enumerate(files)]
    divided = [dividing.divide(group) for group in groups]
    names = tuple(group.file for group in groups)
    parts = [tasks.Part(address, "f" * 64, place, partitions, names, 0, 0) for place in range(partitions)]
    told = [tasks.summarise(part) for part in parts]
    assert [tasks.summarise(part) for part in parts] == told, "it is there already"
    rows = [each for part in parts for each in tasks.read_columns(output, part.file).to_pylist()]
    counts = {name: sum(each[name] for each in divided) for name in dividing.COUNTED}
    return {each.pop("customer"): each for each in rows}, told, counts


def wanted(rows: list[dict[str, Any]], at: datetime) -> dict[str, dict[str, int]]:
    """The same by the rule of features, one customer after the other."""
    events: dict[str, list[Event]] = defaultdict(list)
    for each in rows:
        time = round(each["event_time"].timestamp() * 1e6)
        amount = RATES.convert(each["amount_minor"], each["currency"], time)
        if each["event_time"] <= at and amount is not None:
            kind = PURCHASE if each["amount_minor"] >= 0 else REFUND
            name = MERGED.get(each["customer"], each["customer"])
            order = int(each["order_id"] or 0)
            events[name].append(Event(kind, time, abs(amount), order))
    found = {}
    for name, of in sorted(events.items()):
        days: dict[int, list[int]] = defaultdict(list)
        for time, _, rest in left(sorted(of, key=lambda event: (event.time, event.amount))):
            days[time // DAY_US].append(rest)
        if days:
            revenue = sum(map(sum, days.values()))
            found[name] = {
                "first_day": min(days),
                "last_day": max(days),
                "days": len(days),
                "purchases": sum(map(len, days.values())),
                "revenue": revenue,
                "repeat_revenue": revenue - sum(days[min(days)]),
            }
    return found


@pytest.mark.parametrize("days_ago", [0, 21])
def test_sums_are_what_features_say_is_left_however_purchases_are_divided(
    shop_of: ShopOf, monkeypatch: pytest.MonkeyPatch, days_ago: int
) -> None:
    at = AS_OF - timedelta(days=days_ago)
    rows = shop_rows(days_ago)
    shop = shop_of(with_rows(_NONE, rows))
    found = []
    for number, partitions, size in ((1, 1, dividing.ROUND_ROWS), (3, 4, 50)):
        monkeypatch.setattr(dividing, "ROUND_ROWS", size)
        monkeypatch.setattr(dividing, "READ_ROWS", size)
        found.append(summed(shop, at, number, partitions))
    expected = wanted(rows, at)
    assert expected.keys() == {f"customers/{name}" for name in ("acde" if days_ago else "acdeg")}
    for sums, told, counts in found:
        assert {name: {key: each[key] for key in expected[name]} for name, each in sums.items()} == expected
        assert sum(each.customers for each in told) == len(expected)
        assert counts["refund"] == sum(
            each["amount_minor"] < 0
            and (not each["order_id"] or each["amount_minor"] == -1)
            and each["event_time"] <= at
            and RATES.convert(1, each["currency"], round(each["event_time"].timestamp() * 1e6)) is not None
            for each in rows
        )
    totals = [(sum(each.refunds for each in told), sum(each.idle for each in told)) for _, told, _ in found]
    assert totals[0] == totals[1]
    assert totals[0][1] > 0, "of what the customer has not bought"


@pytest.mark.parametrize("others", [0, 50])
def test_orders_are_found_among_few_and_many_refunded_ones(others: int) -> None:
    orders = pa.array(["b", "", None, "x", "d", "b"]).dictionary_encode()
    refunded = pa.array(["a", "b", "c", "d", *(f"e{number}" for number in range(others))])
    assert refunds.codes(orders, refunded).tolist() == [2, 0, 0, 0, 4, 2]
    assert refunds.codes(orders.slice(2, 3), refunded).tolist() == [0, 0, 4]
    assert refunds.codes(pa.array([None], pa.string()).dictionary_encode(), refunded).tolist() == [0]


def test_a_refund_lowers_a_value_and_leaves_the_rest_alone(shop_of: ShopOf) -> None:
    shop = shop_of(purchases(500))
    plain = {each["customer"]: each for each in shop.run(shop.spec("plain")).to_pylist()}
    part, whole, *_ = (name for name, each in plain.items() if each["frequency"] > 3)
    known = shop.table.to_pylist()
    last = {each["customer"]: each for each in sorted(known, key=lambda each: each["event_time"])}
    later = AS_OF - timedelta(minutes=1)

    def refund(name: str, amount: int, **values: Any) -> dict[str, Any]:
        return row(name, later, -amount) | {"order_id": last[name]["order_id"]} | values

    given = [
        refund(part, 300),
        refund(whole, last[whole]["amount_minor"] + 999),  # more than was paid
        refund(part, 500, order_id="nobody's"),
        refund(part, 500, order_id=last[whole]["order_id"]),  # another customer's
        refund(part, 500, order_id=""),
        refund(part, 100, event_time=AS_OF + timedelta(seconds=1)),
    ]
    spec = shop.spec("refunded", inputs=shop.files("refunded", 3, with_rows(shop.table, given)))
    found = {each["customer"]: each for each in shop.run(spec).to_pylist()}
    for name, back in ((part, 300), (whole, last[whole]["amount_minor"])):
        was, now = plain[name], found[name]
        assert (
            was["revenue_minor"] - now["revenue_minor"],
            was["repeat_revenue_minor"] - now["repeat_revenue_minor"],
        ) == (back, back)
        for column in (
            "recency_weeks",
            "frequency",
            "age_weeks",
            "purchases",
            "p_alive",
            "expected_purchases",
            "r",
            "f",
        ):
            assert now[column] == was[column]
        for column in ("monetary_minor", "lifetime_value_minor"):
            assert now[column] < was[column]
    model, before = model_of(spec), model_of(shop.spec("plain"))
    assert model["left_out"] == {"unusable": 0, "later": 1, "no_rate": 0, "refund": 3, "excluded": 0}
    assert (model["purchases"], model["refunds"]) == (before["purchases"], 2)
    # As of the instant before, nobody knew.
    earlier = shop.run(shop.spec("earlier", as_of=later - timedelta(microseconds=1), inputs=spec.inputs)).to_pylist()
    assert [each for each in earlier if each["customer"] in {part, whole}] == [plain[part], plain[whole]]


def test_who_gave_everything_back_is_scored_and_breaks_no_model(shop_of: ShopOf) -> None:
    table = purchases(200, seed=3)
    back = [
        each | {"amount_minor": -each["amount_minor"], "event_time": AS_OF}
        for each in table.to_pylist()
        if int(each["customer"][-2:]) % 2
    ]
    shop = shop_of(with_rows(table, back))
    found = shop.run(shop.spec("out")).to_pylist()
    assert len(found) == 200
    for each in found:
        nothing = int(each["customer"][-2:]) % 2 == 1
        assert (each["revenue_minor"] == each["monetary_minor"] == 0) is nothing or not each["frequency"]
        assert each["lifetime_value_minor"] >= 0
        assert each["lifetime_value_minor_low"] <= each["lifetime_value_minor"] <= each["lifetime_value_minor_high"]
    everything = with_rows(_NONE, [row("customers/x", AS_OF, 5), row("customers/x", AS_OF, -5)])
    everything = everything.set_column(1, "order_id", pa.array(["1", "1"]))
    (only,) = shop.run(shop_of(everything).spec("nothing")).to_pylist()
    assert (only["purchases"], only["revenue_minor"], only["lifetime_value_minor"]) == (1, 0, 0)


def test_what_models_are_tested_on_was_known_then_and_what_followed_is_as_it_turned_out(monkeypatch) -> None:
    columns = [(0, 10, 500, 1), (0, 20, 400, 2), (0, 25, -100, 1), (0, 32, -50, 1), (0, 35, 300, 3), (0, 50, -120, 3)]
    ledger = Ledger(*(np.array(each, dtype=np.int64) for each in zip(*columns, strict=True)))
    assert ledger.days().amount.tolist() == [350, 400, 180]
    assert ledger.days(until=30).amount.tolist() == [400, 400, 300]
    monkeypatch.setattr(windows, "ledger_of", lambda _: (pa.array(["customers/a"]), ledger))
    (_, money), *_ = windows.count(windows.WindowPart(None, (Window(30, 40),), 1.0))  # type: ignore[arg-type]
    x, recency, age, earned, spent, before, customers = (int(each[0]) for each in money)
    assert (x, recency, age, customers) == (1, 10, 20, 1)
    assert (earned, spent, before) == (180, 400, 800)
