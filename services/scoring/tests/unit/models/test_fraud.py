import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.models import fraud
from scoring.models.fraud import NAMES, Payment, Rule, Velocity, recompute

payments = st.lists(
    st.builds(
        Payment,
        at=st.integers(0, 120_000).map(float),
        id=st.integers(0, 25).map(str),
        amount=st.integers(0, 10_000),
        card=st.sampled_from("abc"),
        address=st.sampled_from("xyz"),
    ),
    max_size=40,
    unique_by=lambda payment: payment.id,
)


def stream(seed: int, accounts: int = 120, days: int = 5):
    """Honest payments: a few a day and account, mostly with one card to one address."""
    rng = np.random.default_rng(seed)
    count = accounts * days * 3
    found = []
    for number, at in enumerate(np.sort(rng.uniform(0, days * 86_400, count)).tolist()):
        account = int(rng.integers(accounts))
        found.append(
            (
                str(account),
                Payment(
                    at,
                    f"{number}",
                    int(rng.lognormal(8, 0.8)),
                    f"{account}-{int(rng.random() < 0.1)}",
                    f"{account}-{int(rng.random() < 0.1)}",
                ),
            )
        )
    return found


def features_of(payments_of):
    velocity = Velocity()
    return [velocity.add(account, payment) for account, payment in payments_of]


@pytest.fixture(scope="module")
def model():
    return fraud.train(features_of(stream(1)), rate=0.005)


@settings(max_examples=150, deadline=None)
@given(payments, st.randoms(use_true_random=False), st.sampled_from([3, 256]))
def test_incremental_equals_recompute_of_shuffled_late_and_repeated_payments(listed, random, most):
    listed = sorted(listed)
    if random.random() < 0.7:
        random.shuffle(listed)
    repeated = [*listed, *random.sample(listed, len(listed) // 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fraud, "MOST_PAYMENTS", most)
        velocity = Velocity()
        kept: list[Payment] = []
        for payment in repeated:
            seen = kept if payment in kept else sorted([*kept, payment])
            assert velocity.add("k", payment) == recompute(seen, payment)
            newest = seen[-1].at
            kept = [each for each in seen if each.at > newest - 86_400][-most:]
        assert list(velocity._accounts["k"][-1].payments) == kept if listed else len(velocity) == 0


def test_features_by_hand():
    velocity = Velocity()
    velocity.add("k", Payment(0, "1", 100, "a", "x"))
    velocity.add("k", Payment(400, "2", 200, "b", "x"))
    velocity.add("other", Payment(500, "3", 900, "c", "z"))
    found = dict(zip(NAMES, velocity.add("k", Payment(600, "4", 300, "b", "y")), strict=True))
    # Ten minutes ago is out.
    assert [found[measure, "10 minutes"] for measure in fraud.MEASURES] == [2, 500, 1, 2]
    assert [found[measure, "24 hours"] for measure in fraud.MEASURES] == [3, 600, 2, 2]


def test_memory_is_bounded():
    velocity = Velocity(most_accounts=10)
    for number in range(1_000):
        velocity.add(str(number % 50), Payment(float(number), str(number), 1, str(number), str(number)))
    assert len(velocity) == 10
    for number in range(1_000, 1_600):
        found = velocity.add("busy", Payment(float(number), str(number), 1, str(number), "x"))
    assert found[NAMES.index(("payments", "24 hours"))] == fraud.MOST_PAYMENTS
    windows = velocity._accounts["busy"]
    assert all(len(window.payments) <= fraud.MOST_PAYMENTS for window in windows)
    assert all(len(window.cards) <= fraud.MOST_PAYMENTS for window in windows)
    velocity.forget("busy")
    assert velocity.add("busy", Payment(2_000.0, "n", 5, "a", "x"))[:4] == (1, 5, 1, 1)


def test_honest_payments_alarm_at_the_stated_rate(model):
    scores = [fraud.score(model, features) for features in features_of(stream(2))]
    # 1,800 payments, 9 alarms expected; 20 or more happen once in 1,000 streams.
    assert 0 < sum(each.alarm for each in scores) < 20


def test_planted_fraud_is_found_at_once_with_reasons(model):
    velocity = Velocity()
    for account, payment in stream(3):
        velocity.add(account, payment)
    at = 5 * 86_400.0
    # A stolen account: a payment each minute, a new card every time.
    scores = [
        fraud.score(model, velocity.add("7", Payment(at + 60 * step, f"f{step}", 40_000, f"stolen{step}", "drop")))
        for step in range(5)
    ]
    assert any(each.alarm for each in scores[:3])
    assert scores[-1].alarm
    assert scores[-1].rarity < 0.001
    assert scores[-1].reasons[0] == "rule: 5 cards in 10 minutes, 3 or more are not allowed"


def test_rarity_alone_alarms_and_is_told(model):
    quiet = (1, 3_000, 1, 1) * 3
    assert fraud.score(model, quiet) == fraud.Score(False, fraud.score(model, quiet).rarity, ("nothing unusual",))
    rich = (1, 9_000_000, 1, 1) * 3
    found = fraud.score(model, rich)
    assert found.alarm
    assert found.rarity == pytest.approx(1 / 1_801)
    assert found.reasons[0] == "9000000 minor units spent in 10 minutes: so many in 0.06% of the payments at most"


def test_too_little_history_leaves_the_rules():
    model = fraud.train([(1, 100, 1, 1) * 3] * 10)
    assert "only the rules" in model.messages[0]
    assert not fraud.score(model, (2, 9_000_000, 2, 1) * 3).alarm
    assert fraud.score(model, (3, 300, 3, 1) * 3).alarm


def test_rules_that_alarm_too_often_are_told():
    history = features_of(stream(1))
    model = fraud.train(history, (Rule("payments", "24 hours", 2),), rate=0.001)
    assert "the rules alone alarm" in model.messages[0]
    assert model.rule_rate > 0.5
    assert model.threshold == 0
    with pytest.raises(ValueError, match="rate"):
        fraud.train(history, rate=1.5)
