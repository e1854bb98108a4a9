import re

import numpy as np
import pytest

from scoring.models.classifier import (
    ArtefactError,
    Column,
    Kind,
    Table,
    TableError,
    artefact_hash,
    explain,
    from_bytes,
    predict,
    to_bytes,
)


@pytest.mark.parametrize("candidate", ["logistic", "catboost", "average"])
def test_contributions_sum_to_the_score_and_points_to_the_probability(training, others, candidate):
    some = others.table.take(np.arange(500))
    told = predict(training.classifier, some, candidate=candidate)
    why = explain(training.classifier, some, candidate)
    assert why.base + why.contributions.sum(axis=1) == pytest.approx(told.raw, abs=1e-9)
    way = training.classifier.candidates[candidate].calibration
    far = np.abs(told.raw - why.base) >= 0.05
    gap = 100 * (told.probability - way.probability(np.array([why.base])))
    assert why.points.sum(axis=1)[far] == pytest.approx(gap[far], abs=1e-6)
    assert (np.sign(why.points) == np.sign(why.contributions)).all()


def test_reasons_in_words_with_direction_and_size(training):
    told = predict(training.classifier, one(contract="monthly", tenure=1.0, automatic=True), reasons=5)
    texts = {reason.column: reason.text for reason in told.reasons[0]}
    assert re.fullmatch(r"Contract is monthly: raises the risk by \d+ points", texts["contract"])
    assert re.fullmatch(r"Tenure in months is 1: raises the risk by \d+ points", texts["tenure"])
    assert texts["automatic"].startswith("Automatic payment is yes: raises")
    assert len(told.reasons[0]) == 5
    sizes = [abs(reason.contribution) for reason in told.reasons[0]]
    assert sizes == sorted(sizes, reverse=True)
    lowered = predict(training.classifier, one(contract="two years", tenure=80.0, charge=np.nan), reasons=5).reasons[0]
    assert {reason.column for reason in lowered if reason.points < 0} >= {"contract", "tenure"}
    assert any(reason.text.startswith("Monthly charge is not known:") for reason in lowered)


def test_personal_values_are_in_no_reason_and_no_artefact(training, others):
    some = others.table.take(np.arange(300))
    told = predict(training.classifier, some, reasons=5).reasons
    of_city = [reason.text for reasons in told for reason in reasons if reason.column == "city"]
    assert of_city
    assert all(re.match(r"City: (raises|lowers) the risk", text) for text in of_city)
    assert b"city-" not in to_bytes(training.classifier)
    assert b"two years" in to_bytes(training.classifier)


def test_unknown_categories_and_missing_values_are_scored(training):
    told = predict(training.classifier, one(contract="for life", city="elsewhere", charge=np.nan))
    assert 0 < told.probability[0] < 1
    missing = one(contract=None, city=None, charge=np.nan, tenure=np.nan, automatic=None)
    assert 0 < predict(training.classifier, missing).probability[0] < 1


def test_a_row_is_scored_alike_alone_and_among_others(training, others):
    whole = predict(training.classifier, others.table, reasons=0)
    for row in (0, 1, 4_321):
        alone = predict(training.classifier, others.table.take(np.array([row])), reasons=3)
        assert alone.raw[0] == whole.raw[row]
        assert (alone.low[0], alone.high[0]) == (whole.low[row], whole.high[row])


def test_a_loaded_classifier_predicts_equal_to_the_bit(training, others):
    artefact = to_bytes(training.classifier)
    loaded = from_bytes(artefact)
    for candidate in training.classifier.candidates:
        before = predict(training.classifier, others.table, candidate=candidate)
        after = predict(loaded, others.table, candidate=candidate)
        for name in ("probability", "low", "high", "raw"):
            assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
    some = others.table.take(np.arange(20))
    assert predict(loaded, some, reasons=3).reasons == predict(training.classifier, some, reasons=3).reasons
    assert to_bytes(loaded) == artefact
    assert artefact_hash(to_bytes(loaded)) == artefact_hash(artefact)


def test_damaged_bytes_are_refused(training):
    artefact = to_bytes(training.classifier)
    with pytest.raises(ArtefactError, match="damaged"):
        from_bytes(artefact[:-1])
    with pytest.raises(ArtefactError, match="damaged"):
        from_bytes(artefact[:10])
    with pytest.raises(ArtefactError, match="no classifier"):
        from_bytes(b"something else")


NUMBER, TEXT, FLAG = (Column("x", kind) for kind in Kind)


@pytest.mark.parametrize(
    ("column", "values", "reason", "mend"),
    [
        (NUMBER, ["1", "2"], "holds str", "give numbers"),
        (NUMBER, np.array([1.0, "2"], dtype=object), "holds something else", "give numbers"),
        (NUMBER, [1.0, np.inf], "infinite", "give NaN"),
        (NUMBER, [True, False], "holds booleans", "declare it boolean"),
        (TEXT, [1, 2], "holds int", "give text"),
        (FLAG, [0, 2], "other numbers", "give True, False or None"),
    ],
)
def test_wrong_values_are_told_precisely(column, values, reason, mend):
    with pytest.raises(TableError, match=reason) as raised:
        Table.of([column], {"x": values})
    assert raised.value.column == "x"
    assert raised.value.mend.startswith(mend)


def test_wrong_columns_are_told_precisely(training):
    with pytest.raises(TableError, match="'x' is missing: give its numeric values"):
        Table.of([NUMBER], {})
    with pytest.raises(TableError, match="'y' is not declared"):
        Table.of([NUMBER], {"x": [1.0], "y": [1.0]})
    with pytest.raises(TableError, match="'z' has 2 rows: give 1"):
        Table.of([NUMBER, Column("z", Kind.NUMERIC)], {"x": [1.0], "z": [1.0, 2.0]})
    table = one()
    with pytest.raises(TableError, match="'tenure' is missing"):
        predict(training.classifier, table.without({"tenure"}))
    with pytest.raises(TableError, match="'x' was not there in training"):
        predict(training.classifier, Table.of([*table.columns, NUMBER], {**table.values, "x": [1.0]}))
    other = [Column(column.name, Kind.NUMERIC) for column in table.columns]
    with pytest.raises(TableError, match="'contract' is numeric: give it as category"):
        predict(training.classifier, Table.of(other, {column.name: [1.0] for column in other}))


def one(**values) -> Table:
    usual = {"tenure": 20.0, "charge": 60.0, "contract": "monthly", "city": "city-1", "automatic": False}
    columns = [
        Column("tenure", Kind.NUMERIC),
        Column("charge", Kind.NUMERIC),
        Column("contract", Kind.CATEGORY),
        Column("city", Kind.CATEGORY),
        Column("automatic", Kind.BOOLEAN),
    ]
    return Table.of(columns, {name: [value] for name, value in {**usual, **values}.items()})
