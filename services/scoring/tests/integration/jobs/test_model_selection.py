"""The model of purchases a job chooses, and what it tells of it."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scoring.models.selection import CANDIDATES

from .conftest import AS_OF, DAY_US, Shop, ShopOf, model_of

SPAN_DAYS = 730


def until_they_die(customers: int, seed: int = 3) -> pa.Table:
    """Purchases of Pareto/NBD customers within two years before AS_OF: many die having bought once."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SPAN_DAYS, customers)
    rate = rng.gamma(0.6, 1 / 60, customers)
    end = np.minimum(start + rng.exponential(1 / rng.gamma(0.6, 1 / 90, customers).clip(1e-9)), SPAN_DAYS)
    bought = rng.poisson(rate * (end - start))
    who = np.concatenate([np.arange(customers), np.repeat(np.arange(customers), bought)])
    since = np.concatenate([np.zeros(customers), rng.random(bought.sum()) * np.repeat(end - start, bought)])
    micros = int(AS_OF.timestamp() * 1e6) - ((SPAN_DAYS - start[who] - since) * DAY_US).astype(np.int64)
    return pa.table(
        {
            "customer": [f"customers/{number:06d}" for number in who],
            "order_id": [f"order-{number}" for number in range(len(who))],
            "event_time": pa.array(micros, pa.timestamp("us", tz="UTC")),
            "amount_minor": pa.array(rng.integers(500, 5_000, len(who))),
            "currency": ["EUR"] * len(who),
        }
    )


@pytest.fixture(scope="module")
def dying() -> pa.Table:
    return until_they_die(5_000)


def test_customers_who_die_by_time_are_scored_by_a_model_where_they_do(shop_of: ShopOf, dying: pa.Table):
    shop = shop_of(dying)
    spec = shop.spec("out", partitions=2)
    scores = shop.run(spec)
    model = model_of(spec)
    chosen = model["metrics"]["selection"]
    assert chosen["model"] in ("mbg_nbd", "pareto_nbd")
    assert model["parameters"]["purchases"]["model"] == chosen["model"] == model["metrics"]["holdout"]["model"]
    assert model["message"] == chosen["reason"]
    assert "better than BG/NBD" in chosen["reason"]
    assert set(chosen["deviance"]) == set(CANDIDATES)
    assert model["fallback"] is False
    once = scores.filter(pc.equal(scores["frequency"], 0))
    assert 0 < pc.min(once["p_alive"]).as_py() < 0.5 < pc.max(once["p_alive"]).as_py() <= 1
    assert not [text for reasons in once["reasons"].to_pylist() for text in reasons if "usually" in text]
    again = shop.spec("again", partitions=5, inputs=shop.files("again", 3, seed=9))
    assert shop.run(again).equals(scores)
    assert model_of(again)["metrics"] == model["metrics"]


def test_what_comes_after_the_weeks_compared_does_not_sway_the_choice(shop_of: ShopOf, dying: pa.Table):
    whole = shop_of(dying)
    spec = whole.spec("whole")
    whole.run(spec)
    cut = int(AS_OF.timestamp() * 1e6) // DAY_US * DAY_US - 90 * DAY_US
    early = dying.filter(pc.less(dying["event_time"].cast(pa.int64()), cut))
    shorter = whole.spec("shorter", inputs=whole.files("shorter", 2, early))
    whole.run(shorter)
    assert model_of(shorter)["metrics"]["selection"] == model_of(spec)["metrics"]["selection"]
    assert model_of(shorter)["metrics"]["holdout"] != model_of(spec)["metrics"]["holdout"]


def test_a_young_shop_keeps_the_default_and_says_from_when_models_are_compared(shop: Shop):
    spec = shop.spec("out", as_of=datetime.fromtimestamp(AS_OF.timestamp() - 45 * 7 * 86_400, AS_OF.tzinfo))
    shop.run(spec)
    model = model_of(spec)
    assert model["metrics"]["selection"] == {
        "model": "bg_nbd",
        "reason": "models are compared from purchases of 52 weeks on",
    }
    ends = model["metrics"]["purchases_intervals"]
    assert ends.keys() == {"r", "alpha", "a", "b"}
    for name, (low, high) in ends.items():
        assert low < model["parameters"]["purchases"][name] < high
