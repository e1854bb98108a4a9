"""Files without some people."""

import io
from datetime import UTC, datetime

import pyarrow.parquet as pq

from scoring import parquet

ADA, BOB = "customers/ada", "customers/bob"
WHEN = datetime(2026, 3, 1, tzinfo=UTC)


def event(customer: str, **values: object) -> dict[str, object]:
    told = {"order_id": "", "amount_minor": None, "currency": None, "event": "Seen", "id": 1}
    return {"customer": customer, "event_time": WHEN, **told, **values}


def test_events_without_amounts_stay_when_another_person_goes():
    refund = event(BOB, order_id="1", amount_minor=-500, currency="EUR", event="Order Refunded")
    file = parquet.activity([event(ADA), event(BOB), refund])
    rest = parquet.without(io.BytesIO(file), [ADA])
    assert rest is not None
    assert (rest.rows, rest.removed) == (2, 1)
    assert rest.currencies == {"EUR": {"rows": 1, "amount_minor": -500}}
    assert pq.read_table(io.BytesIO(rest.content)).column("customer").to_pylist() == [BOB, BOB]
