import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from scoring.models.classifier import (
    Column,
    Finding,
    FindingKind,
    Kind,
    Table,
    TableError,
    measure,
    predict,
    to_bytes,
    train,
)
from scoring.models.classifier.folds import forward, stratified
from scoring.models.classifier.guards import dropped, in_words, leaks

DAY = np.timedelta64(1, "D")


def test_probabilities_of_customers_nobody_trained_on_come_true(training, others):
    told = predict(training.classifier, others.table)
    found = measure(others.labels.astype(float), told.probability)
    best = measure(others.labels.astype(float), others.chance)
    assert found.auc.value > best.auc.value - 0.02
    assert found.brier.value < best.brier.value + 0.005
    assert found.ece.value < 0.025
    assert np.abs(told.probability - others.chance).mean() < 0.04
    inside = (told.low <= others.chance) & (others.chance <= told.high)
    assert 0.75 < inside.mean() < 0.99
    assert ((told.low < told.probability) & (told.probability < told.high)).all()


def test_out_of_fold_rows_are_those_of_the_table_given(training, customers):
    seen = training.out_of_fold
    assert sorted(seen.rows.tolist()) == list(range(len(customers.labels)))
    assert (seen.labels == customers.labels[seen.rows]).all()
    assert {"logistic", "catboost", "average"} == set(seen.probability)
    assert training.classifier.chosen in seen.probability
    for name, candidate in training.classifier.candidates.items():
        losses = -np.log(np.where(seen.labels > 0, seen.probability[name], 1 - seen.probability[name]))
        assert losses.mean() == pytest.approx(candidate.log_loss, abs=0.003)


def test_order_of_rows_changes_no_bit(customers, training):
    order = np.random.default_rng(3).permutation(len(customers.labels))
    again = train(customers.table.take(order), customers.labels[order])
    assert to_bytes(again.classifier) == to_bytes(training.classifier)


def test_number_of_threads_changes_no_bit(customers, others):
    some = np.arange(260)
    told = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            classifier = train(customers.table.take(some), customers.labels[some]).classifier
            told.add(to_bytes(classifier) + predict(classifier, others.table).probability.tobytes())
    assert len(told) == 1


def test_a_column_that_tells_the_label_is_warned_of(customers):
    random = np.random.default_rng(6)
    column = Column("days_since_cancelling", Kind.NUMERIC)
    leak = customers.labels + random.normal(0, 0.3, len(customers.labels))
    planted = Table.of(
        [*customers.table.columns, column], {**customers.table.values, column.name: leak}, customers.table.ids
    )
    (finding,) = leaks(planted, customers.labels.astype(float))
    assert (finding.kind, finding.column) == (FindingKind.LEAK, "days_since_cancelling")
    assert "AUC of 0.9" in finding.message


def test_a_column_better_than_all_others_together_is_warned_of(customers):
    column = Column("duration", Kind.NUMERIC)
    leak = customers.labels + np.random.default_rng(6).normal(0, 0.72, len(customers.labels))
    planted = Table.of(
        [*customers.table.columns, column], {**customers.table.values, column.name: leak}, customers.table.ids
    )
    (finding,) = leaks(planted, customers.labels.astype(float))
    assert finding.column == "duration"
    assert "better than all other columns together" in finding.message


def test_honest_columns_are_not_warned_of(training):
    assert training.findings == ()


def test_columns_that_tell_nothing_are_dropped_with_a_message():
    rows = 200
    random = np.random.default_rng(7)
    columns = {
        "account": (Kind.CATEGORY, [f"a{row}" for row in range(rows)]),
        "number": (Kind.NUMERIC, random.permutation(rows) + 1_000),
        "empty": (Kind.NUMERIC, np.full(rows, np.nan)),
        "same": (Kind.CATEGORY, ["x"] * rows),
        "amount": (Kind.NUMERIC, random.integers(0, 10**7, rows)),
        "share": (Kind.NUMERIC, random.random(rows)),
        "flag": (Kind.BOOLEAN, random.random(rows) < 0.5),
    }
    table = Table.of(
        [Column(name, kind) for name, (kind, _) in columns.items()], {n: v for n, (_, v) in columns.items()}
    )
    found = dropped(table)
    assert [finding.column for finding in found] == ["account", "number", "empty", "same"]
    assert "identifier" in found[0].message
    assert "one value" in found[2].message
    rare = Table.of([Column("flag", Kind.BOOLEAN)], {"flag": np.arange(rows) < 9})
    assert "one value in all rows but 9" in dropped(rare)[0].message
    other = Finding(FindingKind.TOO_LITTLE_DATA, None, "Of too few rows.")
    assert in_words([*found[:3], other]) == [*(each.message for each in found[:3]), other.message]
    several = "4 columns tell nothing and are not trained on: 'account', 'number', 'empty' and 1 more"
    assert in_words([*found, other]) == [other.message, several]


def test_values_known_after_the_date_are_refused(customers):
    dates = np.full(len(customers.labels), np.datetime64("2026-03-01", "us"))
    known = dates - DAY
    known[7] = dates[7] + DAY
    table = Table.of(
        customers.table.columns, customers.table.values, customers.table.ids, {"tenure": dates, "charge": known}
    )
    with pytest.raises(TableError, match=r"'charge' was known only after the row's date in 1 of 1500 rows: build it"):
        train(table, customers.labels, dates)
    with pytest.raises(TableError, match="'dates' is missing"):
        train(table, customers.labels)


@pytest.mark.parametrize("events", [0, 49])
def test_too_few_events_give_the_base_rate_and_a_message(customers, events):
    rows = np.concatenate([np.flatnonzero(customers.labels == 0)[:300], np.flatnonzero(customers.labels)[:events]])
    training = train(customers.table.take(rows), customers.labels[rows])
    finding = training.findings[-1]
    assert finding.kind is FindingKind.TOO_LITTLE_DATA
    assert f"{events} of {300 + events} rows have the event" in finding.message
    told = predict(training.classifier, customers.table, reasons=3)
    assert set(told.probability) == {(events + 0.5) / (301 + events)}
    assert (told.low < told.probability).all()
    assert (told.probability < told.high).all()
    assert told.reasons == [()] * len(customers.labels)
    assert training.out_of_fold is None


def test_noise_gives_everybody_nearly_the_base_rate():
    random = np.random.default_rng(8)
    table = Table.of([Column("noise", Kind.NUMERIC)], {"noise": random.normal(size=300)})
    labels = random.random(300) < 0.3
    told = predict(train(table, labels).classifier, table)
    assert np.abs(told.probability - labels.mean()).max() < 0.1


def test_rare_levels_of_a_personal_column_tell_nothing():
    labels = np.arange(240) // 10 % 2 == 0
    table = Table.of(
        [Column("employer", Kind.CATEGORY, personal=True)], {"employer": [f"x{row // 10}" for row in range(240)]}
    )
    training = train(table, labels)
    assert [finding.kind for finding in training.findings] == ["dropped", "too_little_data"]
    assert "'employer' is personal and has no value that 20 rows share" in training.findings[0].message
    assert set(predict(training.classifier, table).probability) == {0.5}


def test_columns_that_fold_after_fold_say_nothing_are_no_obstacle():
    random = np.random.default_rng(10)
    table = Table.of([Column("flag", Kind.BOOLEAN)], {"flag": np.arange(300) < 10})
    training = train(table, random.random(300) < 0.3)
    assert training.classifier.chosen == "logistic"


def test_a_category_of_rare_levels_only_and_classes_parted_entirely():
    column = Column("shop", Kind.CATEGORY)
    shops = np.arange(240) // 10
    table = Table.of([column], {"shop": [f"shop {shop}" for shop in shops]})
    told = predict(train(table, shops % 2 == 0).classifier, table)
    assert told.probability[shops % 2 == 0].min() > told.probability[shops % 2 == 1].max()
    assert ((told.probability > 0) & (told.probability < 1)).all()


def test_what_began_late_and_events_that_came_late_are_trained_on():
    rows = 400
    random = np.random.default_rng(8)
    dates = np.datetime64("2026-01-01", "us") + np.arange(rows) * DAY
    began_late = np.where(np.arange(rows) < 200, np.nan, random.normal(size=rows))
    labels = random.random(rows) < np.where(np.arange(rows) < 200, 0.2, 0.5)
    training = train(Table.of([Column("late", Kind.NUMERIC)], {"late": began_late}), labels, dates)
    assert training.classifier.chosen in training.classifier.candidates


def test_rows_are_named_once(customers):
    twice = np.array([*range(300), 5])
    with pytest.raises(TableError, match=r"'ids' repeats in 1 rows"):
        train(customers.table.take(twice), customers.labels[twice])


def test_blocks_of_time_are_predicted_by_what_came_before():
    dates = np.datetime64("2026-01-01", "us") + np.repeat(np.arange(60), 5) * DAY
    folds = forward(dates, 5, horizon_days=7)
    assert [len(fold.test) for fold in folds] == [50] * 5
    for fold in folds:
        assert dates[fold.train].max() + 7 * DAY <= dates[fold.test].min()
    assert forward(dates[:1].repeat(9)) == []


def test_stratified_folds_hold_each_row_once_and_their_share_of_events():
    labels = (np.arange(1_003) % 9 == 0).astype(float)
    folds = stratified(labels)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(1_003))
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert labels[fold.test].sum() in (22, 23)
