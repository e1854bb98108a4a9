import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.models import fraud
from scoring.models.fraud import NAMES, WINDOWS, Payment, Rule, features_of, kept, without_amounts

DAY = WINDOWS["24 hours"]
EUR = "EUR"
payments = st.lists(
    st.builds(
        Payment,
        at=st.integers(0, 120_000).map(lambda second: second * 1_000),
        id=st.integers(0, 25).map(str),
        amount=st.integers(0, 10_000),
        currency=st.sampled_from(["EUR", "EUR", "JPY"]),
        card=st.sampled_from(["a", "b", "c", ""]),
        address=st.sampled_from(["x", "y", "z", ""]),
    ),
    max_size=40,
    unique_by=lambda payment: payment.id,
)


def recompute(known: list[Payment], payment: Payment) -> fraud.Features:
    """The features of one payment, read off all that are known."""
    found: list[int] = []
    until = sorted(each for each in known if each[:2] <= payment[:2])
    for milliseconds in WINDOWS.values():
        inside = [each for each in until if each.at > payment.at - milliseconds][-fraud.MOST_PAYMENTS :]
        found += len(inside), sum(each.amount for each in inside if each.currency == payment.currency)
        found += len({each.card for each in inside} - {""}), len({each.address for each in inside} - {""})
    return tuple(found)


def stream(seed: int, accounts: int = 120, days: int = 5) -> dict[int, list[Payment]]:
    """Honest payments by account: a few a day, mostly with one card to one address."""
    rng = np.random.default_rng(seed)
    count = accounts * days * 3
    found: dict[int, list[Payment]] = {account: [] for account in range(accounts)}
    for number, at in enumerate(np.sort(rng.uniform(0, days * DAY, count)).tolist()):
        account = int(rng.integers(accounts))
        card, address = (f"{account}-{int(rng.random() < 0.1)}" for _ in range(2))
        found[account].append(Payment(int(at), f"{number}", int(rng.lognormal(8, 0.8)), EUR, card, address))
    return found


def features(by_account: dict[int, list[Payment]]) -> list[fraud.Features]:
    return [each for account in by_account.values() for each in features_of(account)]


@pytest.fixture(scope="module")
def model() -> fraud.FraudModel:
    return fraud.train(features(stream(1)), EUR, rate=0.005)


@settings(max_examples=100, deadline=None)
@given(payments, st.randoms(use_true_random=False), st.sampled_from([3, 256]))
def test_one_pass_equals_a_recompute_of_what_is_kept(listed, random, most):
    shuffled = random.sample(listed, len(listed))
    repeated = [*shuffled, *random.sample(shuffled, len(listed) // 3)]
    now = random.choice([60_000, 120_000]) * 1_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fraud, "MOST_PAYMENTS", most)
        stored: list[Payment] = []
        for start in range(0, len(repeated), 4):
            # What comes at once is told together, late and repeated payments among it.
            known = sorted({*stored, *repeated[start : start + 4]})
            assert features_of(known) == [recompute(known, payment) for payment in known]
            stored = kept(known, now)
            since = min(known[-1].at, now) - DAY
            wanted = [each for each in known if each.at > since]
            come = [each for each in wanted if each.at <= now][-most:]
            assert stored == (come + [each for each in wanted if each.at > now])[:most]


def test_features_by_hand():
    found = features_of(
        [
            Payment(0, "1", 100, EUR, "a", "x"),
            Payment(400_000, "2", 200, EUR, "b", "x"),
            Payment(500_000, "3", 9_000, "JPY", "", "x"),
            Payment(600_000, "4", 300, EUR, "b", "y"),
        ]
    )
    told = dict(zip(NAMES, found[-1], strict=True))
    # Ten minutes ago is out; yen are no euros, and what was paid by no known card is by no card more.
    assert [told[measure, "10 minutes"] for measure in fraud.MEASURES] == [3, 500, 1, 2]
    assert [told[measure, "24 hours"] for measure in fraud.MEASURES] == [4, 600, 2, 2]
    assert found[2][1] == 9_000


def test_what_is_kept_is_bounded_and_the_future_pushes_nothing_out():
    many = [Payment(number, f"{number:04}", 1, EUR, "a", "x") for number in range(600)]
    assert kept(many, 600) == many[-fraud.MOST_PAYMENTS :]
    assert features_of(many)[-1] == (fraud.MOST_PAYMENTS, fraud.MOST_PAYMENTS, 1, 1) * 3
    future = Payment(DAY + 500, "f", 1, EUR, "a", "x")
    assert kept([many[10], future], 600) == [many[10], future]
    assert kept([many[10], future], DAY + 600) == [future]
    assert kept([], 600) == []
    ahead = [Payment(DAY - 1_000 + number, f"f{number:04}", 1, EUR, "a", "x") for number in range(600)]
    assert kept([*many[:10], *ahead], 600) == [*many[:10], *ahead[: fraud.MOST_PAYMENTS - 10]]


def test_honest_payments_alarm_at_the_stated_rate(model):
    scores = [fraud.score(model, each, EUR) for each in features(stream(2))]
    # 1,800 payments, 9 alarms expected; 20 or more happen once in 1,000 streams.
    assert 0 < sum(each.alarm for each in scores) < 20
    learned = [fraud.score(model, each, EUR).alarm for each in features(stream(1))]
    assert sum(learned) <= 0.005 * len(learned)


def test_planted_fraud_is_found_at_once_with_reasons(model):
    # A stolen account: a payment each minute, a new card every time.
    thefts = [Payment(5 * DAY + 60_000 * step, f"f{step}", 40_000, EUR, f"stolen{step}", "drop") for step in range(5)]
    scores = [fraud.score(model, each, EUR) for each in features_of([*stream(3)[7], *thefts])[-5:]]
    assert any(each.alarm for each in scores[:3])
    assert scores[-1].alarm
    assert scores[-1].rarity < 0.001
    assert scores[-1].reasons[0] == "rule: 5 cards in 10 minutes, 3 or more are not allowed"
    assert scores[-1].broken[0] == "3 or more cards in 10 minutes"


def test_rarity_alone_alarms_and_is_told(model):
    quiet = (1, 3_000, 1, 1) * 3
    assert fraud.score(model, quiet, EUR) == fraud.Score(False, 1.0, ("nothing unusual",), ())
    rich = (1, 9_000_000, 1, 1) * 3
    found = fraud.score(model, rich, EUR)
    assert found.alarm
    assert found.rarity == pytest.approx(1 / 1_801)
    assert found.reasons[0] == "90000.00 EUR spent in 10 minutes: so much in 0.06% of the payments at most"
    assert found.broken == ()
    assert without_amounts(rich) == (1, 0, 1, 1) * 3
    assert not fraud.score(model, rich, "JPY").alarm, "amounts are compared in the currency of most payments"


def test_the_tail_is_as_long_as_the_rate_needs():
    history = [(1, amount, 1, 1) * 3 for amount in range(2_000)]
    model = fraud.train(history, EUR, rate=0.4)
    alarms = [fraud.score(model, each, EUR) for each in history]
    assert sum(each.alarm for each in alarms) == 799
    assert alarms[-700].rarity == pytest.approx(701 / 2_001)


def test_too_little_history_leaves_the_rules():
    model = fraud.train([(1, 100, 1, 1) * 3] * 10, EUR)
    assert "only the rules" in model.messages[0]
    assert not fraud.score(model, (2, 9_000_000, 2, 1) * 3, EUR).alarm
    assert fraud.score(model, (3, 300, 3, 1) * 3, EUR).alarm


def test_where_too_many_had_most_of_something_the_rules_are_left_and_that_is_told():
    usual = (1, 100, 1, 1) * 3
    first = [(*usual[:place], 200, *usual[place + 1 :]) for place in (1, 5, 9)]
    for some, alarms in ((first, False), (first[:2], True)):
        model = fraud.train([*some, *[usual] * (fraud.LEAST_HISTORY - len(some))], EUR)
        assert any("only the rules alarm" in message for message in model.messages) is not alarms
        assert (model.threshold > 0) is alarms
        assert fraud.score(model, (1, 9_000_000, 1, 1) * 3, EUR).alarm is alarms
        assert fraud.score(model, (3, 300, 3, 1) * 3, EUR).alarm


def test_rules_that_alarm_too_often_are_told():
    history = features(stream(1))
    model = fraud.train(history, EUR, (Rule("payments", "24 hours", 2),), rate=0.001)
    assert "the rules alone alarm" in model.messages[0]
    assert model.rule_rate > 0.5
    assert model.threshold == 0
    with pytest.raises(ValueError, match="rate"):
        fraud.train(history, EUR, rate=1.5)
