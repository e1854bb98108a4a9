"""Files without some people."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import parquet, rewritten_parquet

ADA, BOB = "customers/ada", "customers/bob"
WHEN = datetime(2026, 3, 1, tzinfo=UTC)


def event(customer: str, **values: object) -> dict[str, object]:
    told = {"order_id": "", "amount_minor": None, "currency": None, "event": "Seen", "id": 1}
    return {"customer": customer, "event_time": WHEN, **told, **values}


def test_events_without_amounts_stay_when_another_person_goes():
    refund = event(BOB, order_id="1", amount_minor=-500, currency="EUR", event="Order Refunded")
    file = parquet.activity([event(ADA), event(BOB), refund])
    rest = rewritten_parquet.without(io.BytesIO(file), [ADA])
    assert rest is not None
    assert (rest.rows, rest.removed) == (2, 1)
    assert rest.currencies == {"EUR": {"rows": 0, "amount_minor": -500}}, "a refund is no purchase"
    assert pq.read_table(io.BytesIO(rest.content)).column("customer").to_pylist() == [BOB, BOB]


@pytest.mark.parametrize(
    ("change", "left"),
    [(rewritten_parquet.others, ["0", "2"]), (rewritten_parquet.nameless, ["0", "", "2"])],
    ids=["others", "nameless"],
)
def test_a_result_is_read_whole_by_parts_and_only_when_somebody_is_in_it(monkeypatch, change, left):
    group = 70_000  # more than is in hand at once
    schema = pa.schema({"customer": pa.string(), "value": pa.float64()}, metadata={b"made": b"here"})
    whole = io.BytesIO()
    with pq.ParquetWriter(whole, schema) as writer:
        for name in ("0", "1", "2"):
            writer.write_table(pa.table([[name] * group, [float(name)] * group], schema=schema))
    read = []

    class Watched(pq.ParquetFile):
        def iter_batches(self, *args, columns=None, **named):
            for batch in super().iter_batches(*args, columns=columns, **named):
                read.append((columns, len(batch)))
                yield batch

    with monkeypatch.context() as patched:
        patched.setattr(pq, "ParquetFile", Watched)
        patched.setattr(pq, "read_table", None)
        assert change(whole, ["9"]) is None
        assert {columns and tuple(columns) for columns, _ in read} == {("customer",)}
        assert sum(rows for _, rows in read) == 3 * group
        read.clear()
        content = change(whole, ["1"])
    assert max(rows for _, rows in read) <= group
    found = pq.read_table(io.BytesIO(content))
    assert found.schema.equals(schema, check_metadata=True)
    names = found.column("customer").to_pylist()
    assert [names[place] for place in range(0, len(names), group)] == left
    assert (len(set(names)), len(names)) == (len(left), group * len(left))
    assert found.column("value").to_pylist()[-1] == 2.0


def test_the_row_of_an_erased_person_tells_nothing_and_stays_where_it_is():
    bought = pa.list_(pa.struct([("product", pa.string()), ("day", pa.int32())]))
    schema = pa.schema({"value": pa.float64(), "customer": pa.string(), "history_product": pa.list_(pa.string()),
                        "bought": bought, "count": pa.int64()})  # fmt: skip
    rows = [
        {"value": 0.5, "customer": name, "history_product": [f"p-{name}"], "bought": [{"product": name, "day": 3}],
         "count": 7}
        for name in (ADA, BOB, "customers/cy")
    ]  # fmt: skip
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
    content = rewritten_parquet.nameless(file, [BOB])
    assert content is not None
    found = pq.read_table(io.BytesIO(content)).to_pylist()
    assert found == [rows[0], dict.fromkeys(rows[1]) | {"customer": ""}, rows[2]]
    assert b"bob" not in content
