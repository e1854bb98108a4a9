import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.models import uplift
from scoring.models.uplift import heterogeneity, qini
from scoring.models.uplift.learners import fit_t, fit_x

NAMES = ("basket", "channel=Web", "channel=Shop", "noise")


def trial(n: int, seed: int, moved: float):
    """Web customers are moved by `moved`, shop customers not at all; who has a large basket buys more anyhow."""
    rng = np.random.default_rng(seed)
    web = rng.integers(0, 2, n)
    x = np.column_stack([rng.normal(50, 10, n), web, 1 - web, rng.normal(size=n)])
    treated = rng.integers(0, 2, n)
    p = 0.15 + 0.006 * np.clip(x[:, 0] - 50, -20, 20) + moved * web * treated
    return x, treated, (rng.random(n) < p).astype(np.int64), moved * web


@pytest.fixture(scope="module")
def different():
    x, treated, outcome, _ = trial(4_000, 1, 0.15)
    return uplift.train(x, treated, outcome, NAMES)


def test_qini_by_hand():
    # Treated responder, untreated, treated, untreated responder: the perfect ranking; reversed, the worst one.
    treated, outcome = np.array([1, 0, 1, 0]), np.array([1, 0, 0, 1])
    # Equal scores in the middle, as in the perfect ranking's definition: curve (0,0) (1,1) (3,1) (4,0) above the base.
    assert qini.coefficient(np.array([3.0, 2.0, 2.0, 1.0]), treated, outcome) == pytest.approx(1.0)
    assert qini.coefficient(np.zeros(4), treated, outcome) == 0.0
    # Another ranking: (0,0) (1,0) (2,0) (3,-1/2) (4,0), area -1/2; the perfect one has 1/2 + 2 + 1/2.
    assert qini.coefficient(np.array([1.0, 3.0, 2.0, 4.0]), treated, outcome) == pytest.approx(-0.5 / 3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(4, 60))
def test_the_coefficient_equals_its_definition_step_by_step(seed, n):
    rng = np.random.default_rng(seed)
    treated, outcome = rng.integers(0, 2, n), rng.integers(0, 2, n)
    treated[:2] = (0, 1)
    score = rng.integers(0, 5, n).astype(float)

    def area(ranking):
        points = [(0.0, 0.0)]
        for value in sorted(set(ranking.tolist()), reverse=True):
            seen = ranking >= value
            nt, nc = (seen & (treated == 1)).sum(), (seen & (treated == 0)).sum()
            yt, yc = (seen & (treated == 1) & (outcome == 1)).sum(), (seen & (treated == 0) & (outcome == 1)).sum()
            points.append((seen.sum(), yt - (yc * nt / nc if nc else 0)))
        at, curve = np.array(points).T
        return np.trapezoid(curve, at) - at[-1] * curve[-1] / 2

    perfect = area((outcome * treated - outcome * (1 - treated)).astype(float))
    expected = area(score) / perfect if perfect > 1e-12 else 0.0
    assert qini.coefficient(score, treated, outcome) == pytest.approx(expected)


def test_average_effect_has_its_interval():
    treated, outcome = (
        np.repeat([1, 0], 1_000),
        np.concatenate([np.repeat([1, 0], [150, 850]), np.repeat([1, 0], [100, 900])]),
    )
    found = qini.average_effect(treated, outcome)
    assert found.value == pytest.approx(0.05)
    assert found.high - found.value == pytest.approx(1.645 * np.sqrt(0.15 * 0.85 / 1e3 + 0.1 * 0.9 / 1e3), rel=0.01)


def test_differences_are_found_ranked_and_measured(different):
    assert different.heterogeneous
    assert different.p_value <= 0.01
    x, treated, outcome, truth = trial(6_000, 2, 0.15)
    predicted = uplift.predict(different, x)
    assert np.corrcoef(predicted.uplift, truth)[0, 1] > 0.8
    web = x[:, 1] == 1
    assert predicted.uplift[web].mean() == pytest.approx(0.15, abs=0.04)
    assert predicted.uplift[~web].mean() == pytest.approx(0.0, abs=0.04)
    measured = uplift.evaluate(predicted.uplift, treated, outcome)
    assert 0 < measured.qini.low < measured.qini.value < measured.qini.high
    assert measured.tenths[0].effect.low > measured.tenths[-1].effect.high
    assert sum(tenth.customers for tenth in measured.tenths) == 6_000
    # A model of who buys ranks customers by their baskets, which is no use here.
    response = fit_t(x[:, :3], treated, outcome).outcome(x[:, :3], 1.0)
    assert measured.qini.value > qini.coefficient(response, treated, outcome)


def test_intervals_hold_the_uplift_of_customers_scored_alike():
    held = []
    for seed in range(12):
        x, treated, outcome, truth = trial(3_000, 100 + seed, 0.15)
        score = x[:, 1] + 0.3 * x[:, 3]
        found = heterogeneity.calibrated(score, treated, outcome, np.full(3_000, outcome.mean()))
        # The best line through the true uplift is what the interval is of.
        line = np.polynomial.Polynomial.fit(score, truth, 1)
        at = np.linspace(*np.quantile(score, (0.05, 0.95)), 5)
        _, low, high = found.uplift(at)
        held += ((low <= line(at)) & (line(at) <= high)).tolist()
    assert 0.75 <= np.mean(held) <= 1.0


def test_no_differences_are_told_honestly():
    x, treated, outcome, _ = trial(4_000, 5, 0.0)
    # Ten points more for each treated customer, whatever they buy otherwise.
    rng = np.random.default_rng(1)
    p = 0.15 + 0.006 * np.clip(x[:, 0] - 50, -20, 20) + 0.1 * treated
    outcome = (rng.random(4_000) < p).astype(int)
    model = uplift.train(x, treated, outcome, NAMES)
    assert not model.heterogeneous
    assert "no heterogeneity found" in model.messages[0]
    assert model.advice().startswith("treat everybody")
    assert model.advice(break_even=0.3).startswith("treat nobody")
    assert model.advice(break_even=model.average.value).startswith("undecided")
    predicted = uplift.predict(model, x[:3])
    assert (predicted.uplift == model.average.value).all()
    assert (predicted.low < predicted.uplift).all()
    assert "average effect" in uplift.explain(model, x[:1])[0][0]


def test_chance_shows_differences_no_more_often_than_stated():
    alarms, trials = 0, 60
    for seed in range(trials):
        x, treated, outcome, _ = trial(1_200, 1_000 + seed, 0.0)
        half = np.arange(1_200) % 2
        scores, expected = np.empty((2, 1_200)), np.empty(1_200)
        z = (x[:, [0, 1, 3]] - x[:, [0, 1, 3]].mean(axis=0)) / x[:, [0, 1, 3]].std(axis=0)
        for fold in (0, 1):
            seen, new = half != fold, half == fold
            for row, fit in enumerate((fit_t, fit_x)):
                learner = fit(z[seen], treated[seen], outcome[seen])
                scores[row, new], expected[new] = learner.uplift(z[new]), learner.outcome(z[new], 0.5)
        alarms += heterogeneity.permutation_p(scores, treated, outcome, expected, half)[1] <= 0.05
    # Binomial(60, .05): more than 8 happens once in 200.
    assert alarms <= 8


def test_differences_too_small_to_pay_are_not_acted_on(monkeypatch):
    x, treated, outcome, _ = trial(4_000, 1, 0.15)
    monkeypatch.setattr(uplift.model, "LEAST_QINI", 0.9)
    model = uplift.train(x, treated, outcome, NAMES)
    assert not model.heterogeneous
    assert model.p_value <= uplift.model.LEVEL
    assert "too small to act on" in model.messages[0]


def test_reasons_name_the_feature_that_matters(different):
    x, *_ = trial(50, 3, 0.15)
    x[0, 0] = np.nan
    for row, reasons in zip(x, uplift.explain(different, x), strict=True):
        channel, word = ("Web", "raises") if row[1] else ("Shop", "lowers")
        assert any(reason.startswith(f"channel {channel} {word} the effect by") for reason in reasons)
        assert 1 <= len(reasons) <= 3


def test_too_little_data_falls_back_and_says_so():
    x, treated, outcome, _ = trial(400, 4, 0.15)
    model = uplift.train(x, treated, outcome, NAMES)
    assert not model.heterogeneous
    assert "needs 500" in model.messages[0]
    assert uplift.predict(model, x).uplift[0] == pytest.approx(
        outcome[treated == 1].mean() - outcome[treated == 0].mean()
    )
    nobody = uplift.train(x, np.ones(400, dtype=int), outcome, NAMES)
    assert "left untreated" in nobody.messages[0]
    assert (nobody.average.low, nobody.average.high) == (-1.0, 1.0)
    assert nobody.advice() == "undecided: this trial tells no effect"


def test_a_treatment_that_was_not_random_is_refused():
    x, _, outcome, _ = trial(4_000, 6, 0.15)
    chosen = (x[:, 0] + np.random.default_rng(1).normal(0, 10, 4_000) > 50).astype(int)
    model = uplift.train(x, chosen, outcome, NAMES)
    assert not model.heterogeneous
    assert "not given at random" in model.messages[0]
    # The arms differ by who was chosen: that is no effect, and nobody is to be treated for it.
    assert outcome[chosen == 1].mean() > outcome[chosen == 0].mean()
    assert model.average == uplift.model.UNKNOWN
    assert model.advice() == "undecided: this trial tells no effect"
    assert uplift.explain(model, x[:1]) == [("the trial tells no effect",)]


@pytest.mark.parametrize(
    ("treated", "outcome", "names"), [([0, 2], [0, 1], ("a",)), ([0, 1], [0, 5], ("a",)), ([0, 1], [0, 1], ("a", "b"))]
)
def test_wrong_input_is_told(treated, outcome, names):
    with pytest.raises(ValueError, match=r"must be"):
        uplift.train(np.zeros((2, 1)), np.array(treated), np.array(outcome), names)
