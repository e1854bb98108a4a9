from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.models import send_time
from scoring.models.send_time import DEFAULT, HOURS, Activity, QuietHours

TUESDAY_EVENING = 24 + 19
NONE = np.zeros(0, dtype=np.int64)


def shop(seed: int, customers: int = 400, each: int = 15, particular: float = 0.7):
    """Half buy at 9, half at 19 on weekdays, with `particular` of their purchases; else at any hour of 8 to 22."""
    rng = np.random.default_rng(seed)
    segment = np.arange(customers) % 2
    own = np.where(np.arange(customers) < customers // 2, 9, 19)
    customer = np.repeat(np.arange(customers), each)
    n = len(customer)
    hour = np.where(rng.random(n) < particular, own[customer], rng.integers(8, 22, n)) + 24 * rng.integers(0, 5, n)
    return Activity(customer, hour, rng.integers(0, 300, n)), segment


@pytest.fixture(scope="module")
def habits():
    purchases, segment = shop(1)
    return send_time.train(purchases, segment), purchases, segment


def test_predicts_new_purchases_better_than_everybody_and_than_raw_histograms(habits):
    model, purchases, segment = habits
    new, _ = shop(2)
    probabilities = send_time.predict(model, purchases, segment, 300)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(segment)))
    assert (probabilities > 0).all()
    found = send_time.evaluate(probabilities, new.customer, new.hour)
    usual = send_time.evaluate(model.usual[segment], new.customer, new.hour)
    counts = np.zeros((len(segment), HOURS))
    np.add.at(counts, (purchases.customer, purchases.hour), 1)
    raw = send_time.evaluate(np.maximum(counts / 15, 1e-9), new.customer, new.hour)
    assert found["log_loss_168"] < usual["log_loss_168"] - 0.1 < raw["log_loss_168"] - 2
    assert found["log_loss_24"] < usual["log_loss_24"] - 0.1


def test_customers_who_do_not_differ_are_shrunk_hard():
    purchases, segment = shop(3, particular=0.0)
    assert send_time.train(purchases, segment).settings.strength >= 50
    purchases, segment = shop(3, particular=0.9)
    assert send_time.train(purchases, segment).settings.strength <= 12


def test_nothing_is_expected_when_nobody_buys(habits):
    model, purchases, segment = habits
    weekend = send_time.predict(model, purchases, segment, 300)[:, 5 * 24 :]
    # Own purchases are spread to where the others buy, not to the closed weekend.
    assert weekend.sum(axis=1).max() < 0.02


def test_a_purchase_is_spread_round_the_clock():
    kernel = send_time.model._kernel(DEFAULT)
    assert kernel[0, 23] == kernel[1, 0]
    assert kernel[24, 0] == DEFAULT.other_days
    assert (kernel == kernel.T).all()


def test_the_best_hour_and_why(habits):
    model, *_ = habits
    hours = np.array([TUESDAY_EVENING] * 14 + [33, 57, 81])
    purchases = Activity(np.zeros(17, dtype=np.int64), hours, np.arange(17))
    found, new = send_time.best(model, purchases, np.array([0, -1]), 20)
    assert found.hour == TUESDAY_EVENING
    assert found.reasons == ("active mostly on Tuesday evenings, 14 of 17 times",)
    assert found.low < found.probability < found.high
    assert found.lift > 3
    assert new.reasons[0] == "not active yet: when customers are most active"
    assert new.lift < found.lift


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        ([9, 34, 58, 83], "active mostly in the morning, 4 of 4 times"),
        ([3, 9, 14, 20], "active mostly on Mondays, 4 of 4 times"),
        ([3, 34, 62, 92], "no clear habit in 4 times: mostly when customers of the same segment are active"),
        ([20, 20], "no clear habit in 2 times: mostly when customers of the same segment are active"),
    ],
)
def test_habits_in_words(habits, hours, text):
    purchases = Activity(np.zeros(len(hours), dtype=np.int64), np.array(hours), np.zeros(len(hours), dtype=np.int64))
    assert send_time.best(habits[0], purchases, np.array([0]), 0)[0].reasons[0] == text


def test_quiet_hours_are_kept_and_told(habits):
    model, *_ = habits
    purchases = Activity(np.zeros(9, dtype=np.int64), np.full(9, TUESDAY_EVENING), np.zeros(9, dtype=np.int64))
    found = send_time.best(model, purchases, np.array([0]), 0, QuietHours(18, 8, frozenset({6})))[0]
    assert 8 <= found.hour % 24 < 18
    assert "quiet hours leave out Tuesday 19:00, when they are most active" in found.reasons
    with pytest.raises(ValueError, match="no hour"):
        QuietHours(0, 24)
    with pytest.raises(ValueError, match="from 0 to 24"):
        QuietHours(-1, 8)


def test_hours_are_local_with_summer_time():
    # 2026-03-29 in Berlin: 01:59 is followed by 03:00.
    instants = [datetime(2026, 3, 29, 0, 59, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)]
    seconds = np.array([int(at.timestamp()) for at in instants])
    assert send_time.local_hours(seconds, "Europe/Berlin").tolist() == [144 + 1, 144 + 3]
    assert send_time.local_hours(seconds, "Asia/Kolkata").tolist() == [144 + 6, 144 + 6]


def test_the_next_instant_respects_zone_and_clock_changes():
    wish = np.full(HOURS, 0.1)
    wish[TUESDAY_EVENING] = 0.9
    after = datetime(2026, 3, 27, 10, 20, tzinfo=UTC)
    # Tuesday 19:00 in New York (summer time since 8 March) and in Kathmandu, a quarter of an hour off.
    assert send_time.next_send(wish, "America/New_York", after) == datetime(2026, 3, 31, 23, 0, tzinfo=UTC)
    assert send_time.next_send(wish, "Asia/Kathmandu", after) == datetime(2026, 3, 31, 13, 15, tzinfo=UTC)
    with pytest.raises(ValueError, match="zone"):
        send_time.next_send(wish, "UTC", datetime(2026, 3, 27))  # noqa: DTZ001


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100),
    begin=st.integers(0, 23),
    length=st.integers(1, 22),
    hours=st.integers(0, 200),
    zone=st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]),
)
def test_nobody_is_written_to_in_quiet_hours(seed, begin, length, hours, zone):
    from zoneinfo import ZoneInfo

    quiet = QuietHours(begin, (begin + length) % 24)
    after = datetime(2026, 3, 25, tzinfo=UTC) + timedelta(hours=hours, minutes=seed)
    wish = np.random.default_rng(seed).random(HOURS)
    found = send_time.next_send(wish, zone, after, quiet)
    local = found.astimezone(ZoneInfo(zone))
    assert after <= found <= after + timedelta(days=7, hours=1)
    assert local.minute == 0
    assert (local.hour - begin) % 24 >= length


def test_too_little_data_falls_back_and_says_so():
    model = send_time.train(Activity(NONE, NONE, NONE), np.array([0, -1]))
    assert "active 0 times" in model.messages[0]
    assert model.settings == DEFAULT
    found = send_time.best(model, Activity(NONE, NONE, NONE), np.array([0, 7]), 0)
    assert [choice.lift for choice in found] == pytest.approx([1.0, 1.0])
    # With nothing known any allowed hour is as good: the first of the week.
    assert found[0].hour == 8


def test_a_short_history_falls_back_and_says_so():
    purchases, segment = shop(6)
    model = send_time.train(Activity(purchases.customer, purchases.hour, purchases.day // 20), segment)
    assert model.settings == DEFAULT
    assert "over 28 days" in model.messages[0]


def test_old_habits_count_less():
    rng = np.random.default_rng(5)
    customers, each = 150, 20
    customer = np.repeat(np.arange(customers), each)
    day = rng.integers(0, 400, len(customer))
    before, after = rng.integers(8, 22, customers), rng.integers(8, 22, customers)
    # Everybody took up another hour after 250 days.
    hour = np.where(day < 250, before[customer], after[customer]) + 24 * rng.integers(0, 7, len(customer))
    segment = np.full(customers, -1)
    assert send_time.train(Activity(customer, hour, day), segment).settings.half_life < np.inf


def test_an_interval_holds_its_probability_where_all_are_always_active_at_one_hour():
    customer, day = np.repeat(np.arange(50), 20), np.tile(np.arange(20) * 15, 50)
    segment = np.zeros(50, dtype=np.int64)
    for hour in (3, 10):
        activity = Activity(customer, np.full(1_000, hour), day)
        model = send_time.train(activity, segment)
        for choice in send_time.best(model, activity, segment, 300):
            assert 0 <= choice.low <= choice.probability <= choice.high <= 1
