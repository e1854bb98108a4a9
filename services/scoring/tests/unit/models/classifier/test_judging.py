import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from scoring.models.classifier import TableError, compare, evaluate, measure
from scoring.models.classifier.calibration import fit, sigmoid
from scoring.models.classifier.folds import stratified
from scoring.models.classifier.metrics import calibration_curve, lift_curve


def drawn(rows, seed, noise=1.0):
    """Log odds, labels by them, and two scores equally good."""
    random = np.random.default_rng(seed)
    log_odds = random.normal(-1, 1, rows)
    labels = (random.random(rows) < sigmoid(log_odds)).astype(float)
    return labels, *(sigmoid(log_odds + random.normal(0, noise, rows)) for _ in range(2))


def test_figures_are_those_of_scikit_learn_ties_and_all():
    labels, probability, _ = drawn(3_000, 1)
    probability = np.round(probability, 2)
    found = measure(labels, probability)
    assert found.auc.value == pytest.approx(roc_auc_score(labels, probability))
    assert found.average_precision.value == pytest.approx(average_precision_score(labels, probability))
    assert found.brier.value == pytest.approx(brier_score_loss(labels, probability))
    assert found.log_loss.value == pytest.approx(log_loss(labels, probability))
    for name in ("auc", "average_precision", "brier", "log_loss", "lift"):
        figure = getattr(found, name)
        assert figure.low < figure.value < figure.high
    assert measure(np.zeros(10), np.full(10, 0.1)) is None


def test_lift_and_calibration_curve_by_hand():
    labels = np.array([1.0] * 5 + [0.0] * 15)
    probability = np.concatenate([np.full(10, 0.5), np.full(10, 0.0)])
    assert measure(labels, probability).lift.value == pytest.approx(2.0)
    assert measure(labels, probability).ece.value == pytest.approx(5 / 20, abs=0.3)
    curve = lift_curve(labels, probability)
    assert [point.gain for point in curve[8:11]] == pytest.approx([0.9, 1.0, 1.0])
    first, last = calibration_curve(labels, probability, 2)
    assert (first.rows, first.predicted, first.observed) == (10, 0.0, 0.0)
    assert (last.rows, last.predicted, last.observed) == (10, 0.5, 0.5)
    assert last.low < 0.5 < last.high
    assert first.high > 0


def test_calibration_error_of_true_probabilities_is_within_chance():
    random = np.random.default_rng(4)
    within = 0
    for _ in range(20):
        probability = random.beta(1, 3, 2_000)
        found = measure((random.random(2_000) < probability).astype(float), probability)
        within += found.ece.value <= found.ece_by_chance
    assert within >= 16
    squeezed = measure((random.random(2_000) < probability).astype(float), probability**2)
    assert squeezed.ece.value > squeezed.ece_by_chance


@pytest.mark.parametrize(
    ("distort", "method"),
    [
        (lambda raw: raw, "none"),
        (lambda raw: 2.5 * raw + 1, "platt"),
        (lambda raw: np.where(raw > -1, 4 * (raw + 1), 0.3 * (raw + 1)), "isotonic"),
    ],
)
def test_the_way_of_calibration_fits_what_is_wrong(distort, method):
    random = np.random.default_rng(9)
    log_odds = random.normal(-1, 1.5, 8_000)
    labels = (random.random(8_000) < sigmoid(log_odds)).astype(float)
    way, losses = fit(distort(log_odds), labels)
    assert len(losses) == 8_000
    assert way.method == method
    assert np.abs(way.probability(distort(log_odds)) - sigmoid(log_odds)).mean() < 0.02


def test_where_shares_drift_the_latest_block_calibrates():
    random = np.random.default_rng(9)
    raw = random.normal(-1, 1, 5_000)
    blocks = np.arange(5_000) // 1_000
    labels = (random.random(5_000) < sigmoid(raw + blocks / 2)).astype(float)
    drifting, losses = fit(raw, labels, blocks)
    assert drifting.intercept == pytest.approx(2, abs=0.3)
    assert len(losses) == 4_000
    steady, _ = fit(raw, (random.random(5_000) < sigmoid(raw)).astype(float), blocks)
    assert steady.method == "none"


def test_isotonic_needs_much_data():
    random = np.random.default_rng(9)
    raw = random.normal(-1, 1.5, 900)
    assert fit(np.where(raw > -1, 9.0, raw), (random.random(900) < sigmoid(raw)).astype(float))[0].method != "isotonic"


def test_comparison_finds_no_difference_where_there_is_none_and_one_where_there_is():
    p_values = np.array(
        [
            [getattr(compare(*drawn(300, seed)), name).p_value for name in ("auc", "brier", "log_loss")]
            for seed in range(400)
        ]
    )
    # Of a right test 5 % fall below .05; 400 draws stray from that by 1.1 points.
    assert ((p_values < 0.05).mean(axis=0) < 0.09).all()
    assert ((p_values < 0.05).mean(axis=0) > 0.015).all()
    assert np.abs(p_values.mean(axis=0) - 0.5).max() < 0.06
    labels, champion, _ = drawn(3_000, 1, noise=1.5)
    better = drawn(3_000, 1, noise=0.0)[1]
    found = compare(labels, champion, better)
    assert found.auc.low > 0
    assert found.brier.high < 0
    assert found.auc.p_value < 0.001


def test_comparison_of_a_model_with_itself_and_of_wrong_input():
    labels, champion, challenger = drawn(200, 1)
    assert compare(labels, champion, champion).auc.p_value == 1.0
    assert compare(labels, champion, challenger).auc.champion == pytest.approx(roc_auc_score(labels, champion))
    with pytest.raises(TableError, match="'challenger' is no probability a row"):
        compare(labels, champion, challenger * 2)
    with pytest.raises(TableError, match="fewer than two rows"):
        compare(np.zeros(200), champion, challenger)


def test_evaluation_judges_each_row_by_what_had_not_seen_it(customers):
    """Labels that only a row's own label tells: whoever has not seen it does no better than chance."""
    shuffled = np.random.default_rng(5).permutation(customers.labels)[:480]
    table = customers.table.take(np.arange(480))
    found = evaluate(table, shuffled, folds=stratified(shuffled.astype(float), 2))
    assert not found.by_time
    assert sorted(found.rows.tolist()) == list(range(480))
    assert 0.35 < found.metrics["chosen"].auc.value < 0.65
    assert set(found.metrics) == {"chosen", "logistic", "catboost", "average"}
    assert len(found.choices) == len(found.calibrations) == 2


def test_evaluation_by_time_of_too_little_data(customers):
    dates = np.datetime64("2026-01-01", "us") + np.arange(120) * np.timedelta64(1, "D")
    found = evaluate(customers.table.take(np.arange(120)), customers.labels[:120], dates)
    assert found.by_time
    assert set(found.choices) == {"base_rate"}
    assert len(found.rows) == 100
    assert "too_little_data" in {finding.kind for finding in found.findings}
