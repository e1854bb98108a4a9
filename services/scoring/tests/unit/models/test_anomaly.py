import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from scoring.models import anomaly
from scoring.models.anomaly import detection
from scoring.models.anomaly.baseline import Judged, Usage, judged
from scoring.models.anomaly.thresholds import thresholds_of

RATE = 0.01
SEASON = 1 + 0.3 * np.sin(np.arange(45) / 4)


def quiet(seed: int, customers: int = 600, weeks: int = 44, dispersion: float = 0.1):
    """Customers of levels from 0.3 to 50 a week, with a season for all; a fifth began late."""
    rng = np.random.default_rng(seed)
    level = np.exp(rng.uniform(np.log(0.3), np.log(50), customers))
    rate = rng.gamma(1 / dispersion, dispersion, (customers, weeks))
    first = np.where(rng.random(customers) < 0.2, rng.integers(1, weeks, customers), 0)
    counts = rng.poisson(level[:, None] * SEASON[:weeks] * rate)
    return Usage(counts, first, rng.integers(0, 2, customers)), level


@pytest.fixture(scope="module")
def trained():
    usage, level = quiet(1)
    return anomaly.train(usage.until(40), rate=RATE), usage, level


def test_quiet_customers_alarm_at_the_stated_rate(trained):
    detector, usage, _ = trained
    found = [anomaly.detect(detector, usage.until(end)) for end in range(41, 45)]
    judged_weeks = sum(int(each.judged.sum()) for each in found)
    assert judged_weeks > 2_000
    for side in ("drop", "surge"):
        alarms = sum(int(getattr(each, side).sum()) for each in found)
        assert 0 < alarms <= RATE * judged_weeks


def test_the_stated_rate_holds_for_nearly_every_past_and_not_only_on_average():
    rng = np.random.default_rng(8)
    over = []
    for _ in range(120):
        # Of some weeks more evidence, of all customers at once.
        shocks = rng.gamma(16, 1 / 16, 24)
        weeks = [rng.exponential(shock, (3, 150)) for shock in shocks]
        thresholds = thresholds_of(weeks[:12], 0.02)
        future = np.concatenate(weeks[12:], axis=1)
        over.append(float((future >= np.array(thresholds)[:, None]).any(axis=0).mean()) > 0.02)
    # A quantile of all customer-weeks alike is over it in 52 of 100.
    assert np.mean(over) < 0.1


def test_no_more_is_allowed_than_few_customers_can_tell():
    # 600 past customer-weeks bear no statement about 1 in 1,000: only what none of them showed is an alarm.
    weeks = [np.random.default_rng(week).exponential(1, (3, 50)) for week in range(12)]
    thresholds = thresholds_of(weeks, 0.001)
    assert all(one > each.max() for one, each in zip(thresholds, np.concatenate(weeks, axis=1), strict=True))


@pytest.mark.parametrize("every", [1, 2], ids=["each week", "every other week"])
def test_where_all_use_the_same_only_who_does_not_alarms(every):
    counts = np.zeros((100, 44), dtype=int)
    counts[:, 43 % every :: every] = 10
    usage = Usage(counts, np.zeros(100, dtype=int), np.zeros(100, dtype=int))
    detector = anomaly.train(usage.until(43))
    assert detector.calibrated_on >= detection.LEAST_CALIBRATION
    assert all(week.drops == week.surges == 0 for week in detector.past), "who alarm together are more than stated"
    assert min(*detector.drop, *detector.surge) >= 0
    assert not (anomaly.detect(detector, usage).drop | anomaly.detect(detector, usage).surge).any()
    counts[:3, -4:] = 0
    counts[3, -1] = 9
    assert anomaly.detect(detector, usage).drop.tolist() == [True] * 3 + [False] * 97
    assert not anomaly.detect(detector, usage).surge.any()


def test_planted_stops_are_found_and_small_users_are_told_to_be_untellable(trained):
    detector, usage, _ = trained
    before = anomaly.detect(detector, usage.until(40))
    counts = usage.counts.copy()
    stopped = np.arange(600) % 10 == 0
    counts[stopped, 40:] = 0
    planted = Usage(counts, usage.first, usage.group)
    after = [anomaly.detect(detector, planted.until(end)) for end in range(41, 45)]
    seen = np.cumsum([each.drop for each in after], axis=0) > 0
    tellable = stopped & before.drop_tellable
    assert tellable.sum() > 15
    assert seen[0][tellable].mean() > 0.9
    assert seen[3][tellable].mean() == 1.0
    # Who used one a week at most cannot be seen to stop in a week, but some can in four.
    seldom = stopped & before.judged & ~before.drop_tellable
    assert seen[0][seldom].mean() < 0.1
    assert seen[3][seldom].mean() > seen[0][seldom].mean()


def test_surges_are_found(trained):
    detector, usage, level = trained
    counts = usage.counts.copy()
    frequent = (level > 5) & (np.arange(600) % 8 == 0)
    counts[frequent, 40] *= 5
    found = anomaly.detect(detector, Usage(counts, usage.first, usage.group).until(41))
    assert found.surge[frequent & found.judged].mean() > 0.7
    assert not (found.surge & found.drop).any()


def test_what_the_whole_group_does_is_no_customers_anomaly(trained):
    detector, usage, _ = trained
    counts = usage.counts.copy()
    rng = np.random.default_rng(2)
    counts[:, 40] = rng.binomial(counts[:, 40], 0.3)
    found = anomaly.detect(detector, Usage(counts, usage.first, usage.group).until(41))
    assert found.drop.mean() < 0.05
    assert found.as_group[found.judged & (found.window == 1)] == pytest.approx(0.3 * SEASON[40], abs=0.1)
    reasons = anomaly.explain(found)[int(np.flatnonzero(found.judged & (found.window == 1))[0])]
    assert "of their usual" in reasons[1]


def test_too_little_history_is_never_an_alarm(trained):
    detector, *_ = trained
    usage, _ = quiet(3, weeks=8)
    usage.counts[:, -1] = 0
    found = anomaly.detect(detector, usage)
    assert not found.judged.any()
    assert not (found.drop | found.surge).any()
    assert (found.probability == 1).all()
    assert anomaly.explain(found)[0] == ("too little history: what is usual is told from 8 weeks on",)
    fresh = anomaly.train(usage)
    assert "500 are needed" in fresh.messages[0]
    assert fresh.calibrated_on == 0
    assert not anomaly.detect(fresh, Usage(np.zeros((1, 1), dtype=int), np.zeros(1, dtype=int), np.zeros(1))).drop.any()


def test_few_customers_alarm_on_a_bound_and_only_when_sure():
    usage, level = quiet(4, customers=30)
    detector = anomaly.train(usage.until(40), rate=RATE)
    assert "keeps it whatever the counts" in detector.messages[0]
    found = [anomaly.detect(detector, usage.until(end)) for end in range(41, 45)]
    assert sum(int(each.drop.sum() + each.surge.sum()) for each in found) <= 2
    usage.counts[:, 40:] = np.where(np.arange(30)[:, None] < 5, 0, usage.counts[:, 40:])
    last = anomaly.detect(detector, usage)
    assert last.drop[:5][(level > 5)[:5] & last.judged[:5]].all()


def test_one_outburst_in_the_past_does_not_hide_a_stop(trained):
    detector, usage, level = trained
    who = int(np.flatnonzero((level > 20) & (level < 30) & (usage.first == 0))[0])
    counts = usage.counts.copy()
    counts[who, 30] = 5_000
    counts[who, 40] = 0
    found = anomaly.detect(detector, Usage(counts, usage.first, usage.group).until(41))
    assert found.drop[who]
    assert found.expected[who] == pytest.approx(level[who] * SEASON[40], rel=0.5)


def test_days_have_a_rhythm():
    rng = np.random.default_rng(5)
    days = 7 * 20
    weekday = np.arange(days) % 7 < 5
    counts = rng.poisson(np.where(weekday, 12.0, 0.4), (150, days))
    usage = Usage(counts, np.zeros(150, dtype=int), np.zeros(150, dtype=int), cycle=7)
    # The last day is a Sunday: hardly anything is usual, and no usage is no drop.
    assert judged(usage)[1].expected == pytest.approx(np.full(150, 0.4), abs=0.8)
    assert judged(usage.until(days - 2))[1].expected == pytest.approx(np.full(150, 12), abs=3)
    detector = anomaly.train(usage.until(days - 2))
    assert anomaly.detect(detector, usage).drop.mean() <= 0.03


def test_reasons_in_words(trained):
    detector, usage, _ = trained
    counts = usage.counts.copy()
    who = int(np.flatnonzero((usage.counts[:, :40].mean(axis=1) > 20) & (usage.first == 0))[0])
    counts[who, 40] = 0
    found = anomaly.detect(detector, Usage(counts, usage.first, usage.group).until(41))
    assert found.drop[who]
    usual = f"{found.expected[who]:.1f} are usual ({found.low[who]} to {found.high[who]})"
    assert anomaly.explain(found)[who][0] == f"0 in the last week, while {usual}"
    assert found.probability[who] < RATE


@given(
    used=st.integers(0, 60), expected=st.floats(0.05, 40), dispersion=st.floats(0.01, 3), share=st.floats(0.02, 0.98)
)
@settings(max_examples=40, deadline=None)
def test_probabilities_are_those_of_a_negative_binomial(used, expected, dispersion, share):
    one = Judged(*(np.array([value]) for value in (float(used), expected, dispersion, 1.0)))
    peer = nbinom(1 / dispersion, 1 / (1 + dispersion * expected))
    assert one.tail()[0] == pytest.approx(min(peer.cdf(used), peer.sf(used - 1)), rel=1e-6, abs=1e-12)
    assert one.quantile(share)[0] == peer.ppf(share)
    assert one.log_likelihood()[0] == pytest.approx(peer.logpmf(used), rel=1e-6)
    other = nbinom(1 / dispersion, 1 / (1 + dispersion * expected * 0.25))
    assert one.evidence(0.25)[0] == pytest.approx(other.logpmf(used) - peer.logpmf(used), rel=1e-6, abs=1e-6)


def test_a_customer_is_judged_the_same_in_any_order(trained):
    detector, usage, _ = trained
    order = np.random.default_rng(6).permutation(600)
    found = anomaly.detect(detector, usage)
    shuffled = anomaly.detect(detector, Usage(usage.counts[order], usage.first[order], usage.group[order]))
    assert shuffled.expected == pytest.approx(found.expected[order], rel=1e-9)
    assert (shuffled.drop == found.drop[order]).all()


@pytest.mark.parametrize(
    ("counts", "rate", "message"),
    [
        ([[1, 2]], 0.7, "rate"),
        ([[1, -2]], 0.01, "negative"),
        ([1, 2], 0.01, "customers, periods"),
        ([[]], 0.01, "one period"),
    ],
)
def test_wrong_input_is_told(counts, rate, message):
    counts = np.array(counts, dtype=int)
    with pytest.raises(ValueError, match=message):
        anomaly.train(Usage(counts, np.zeros(1, dtype=int), np.zeros(1, dtype=int)), rate=rate)
