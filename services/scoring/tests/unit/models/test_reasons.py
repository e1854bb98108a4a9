import numpy as np

from scoring.models import lifetime_value, reasons
from scoring.models.baseline import MeanRate
from scoring.models.bg_nbd import BgNbd
from scoring.models.pareto_nbd import ParetoNbd
from scoring.models.reasons import Usual

MODEL = BgNbd(0.2426, 4.4136, 0.7929, 2.4259, np.eye(4) * 0.01, 0.0, 1)


def explained(x, recency, age, revenue, spend, model=MODEL):
    x, recency, age, revenue = (np.array([value]) for value in (x, recency, age, revenue))
    seen = lifetime_value.outlook(model, x, recency, age, 52, 0.1)
    usual_discounted = lifetime_value.usual_discounted(model, age, 52, 0.1)
    usual = Usual(0.7, float(usual_discounted[0]), 3_000.0, 3_000.0)
    found = reasons.explain(usual, seen, usual_discounted, np.array([spend]), x, recency, age, revenue)
    return [str(found.texts[index]) for index in found.indices[0] if index >= 0]


def test_a_long_silence_comes_first():
    told = explained(6, 7 * 36, 7 * 77, 7 * 3_000, 3_000.0)
    assert told[0] == "last bought 41 weeks ago while usually every 6 weeks: lowers the value by about 80 %"
    assert "bought 7 times in 77 weeks: raises the value to about 3 times" in told
    assert len(told) == 3


def test_a_large_spender_hears_of_spend():
    told = explained(2, 7 * 20, 7 * 22, 3 * 30_000, 25_000.0)
    assert told[0] == "spends 10.0 times the average order: raises the value to about 8 times"


def test_one_who_never_came_back():
    told = explained(0, 0, 7 * 60, 3_000, 3_000.0)
    assert told[0] == "bought only once, 60 weeks ago: lowers the value by about 80 %"
    assert "spends as much as the average order: hardly changes the value" in told
    assert not any("usually" in text for text in told)


def test_silence_of_one_who_never_came_back_is_told_once_where_the_model_counts_it():
    told = explained(0, 0, 7 * 60, 3_000, 3_000.0, ParetoNbd(0.55, 10.6, 0.61, 11.7, np.eye(4) * 0.01, 0.0, 1))
    assert told[0] == "bought only once, 60 weeks ago: lowers the value by about 90 %"
    assert not any("usually" in text for text in told)


def test_words_for_one():
    told = explained(9, 7 * 9, 7 * 10, 30_000, 3_000.0)
    assert "last bought 1 week ago while usually every week: raises the value by about 20 %" in told


def test_nobody():
    none = np.zeros(0, dtype=np.int64)
    seen = lifetime_value.outlook(MODEL, none, none, none, 52, 0.1)
    found = reasons.explain(Usual(1, 1, 1, 1), seen, np.zeros(0), np.zeros(0), none, none, none, none)
    assert found.indices.shape == (0, 3)


def test_direction_and_size_follow_the_value():
    """Told of spend alone: the value is the spend times what does not change."""
    effects = {
        60.0: "lowers the value by more than 95 %",
        600.0: "lowers the value by about 80 %",
        2_890.0: "hardly changes the value",
        3_140.0: "hardly changes the value",
        3_160.0: "raises the value by about 10 %",
        5_800.0: "raises the value by about 90 %",
        5_900.0: "raises the value to about 2 times",
        28_400.0: "raises the value to about 9 times",
        90_000.0: "raises the value to more than 9 times",
    }
    for spend, effect in effects.items():
        told = explained(9, 7 * 9, 7 * 10, 30_000, spend) + explained(0, 0, 7 * 60, 3_000, spend)
        spends = {text.partition(": ")[2] for text in told if text.startswith("spends")}
        assert spends == {effect}, spend


def test_where_all_are_expected_to_do_the_same_nothing_raises_or_lowers_the_value():
    once, often = np.array([0, 0, 0]), np.array([0, 4, 0])
    for x in (once, often):
        age = np.array([200, 200, 200])
        model = MeanRate.of(x, 10 * x, age, np.ones(3, dtype=np.int64), 13)
        seen = lifetime_value.outlook(model, x, 10 * x, age, 13, 0.1)
        same = lifetime_value.usual_discounted(model, age, 13, 0.1)
        usual = Usual(float(seen.alive[0]), float(same[0]), 3_000.0, 3_000.0)
        found = reasons.explain(usual, seen, same, np.full(3, 3_000.0), x, 10 * x, age, 3_000 * (x + 1))
        assert {str(text).partition(": ")[2] for text in found.texts} == {"hardly changes the value"}
