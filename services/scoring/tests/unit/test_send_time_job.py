"""The program that finds send times: from files of events to hours, of a generated shop."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.jobs import active_hours, memory, send_times
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.reproduce import reproduce
from scoring.jobs.send_time_spec import SendTimeJobSpec

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
CUSTOMERS, EACH = 60, 24
BERLIN = ZoneInfo("Europe/Berlin")
MORNING, EVENING = 8, 19


def own_hour(number: int) -> int:
    return MORNING if number % 2 else EVENING


def events(particular: float) -> list[tuple[str, datetime, str]]:
    """Each customer is active at the own hour of Berlin with that probability, else at any from 7 to 22."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(CUSTOMERS):
        for day in rng.integers(1, 300, EACH).tolist():
            hour = own_hour(number) if rng.random() < particular else int(rng.integers(7, 23))
            local = datetime.combine(AS_OF.date() - timedelta(days=day), datetime.min.time(), BERLIN)
            found.append((f"customers/{number:02d}", local.replace(hour=hour, minute=day % 60), "Page Viewed"))
    return found


def run(folder: Path, rows: list[tuple[str, datetime, str]], **tables: dict[str, list[str]]):
    """The model's description, and the rows by customer."""
    customers, times, names = zip(*rows, strict=True)
    columns = {"customer": customers, "event_time": pa.array(times, pa.timestamp("us", tz="UTC")), "event": names}
    pq.write_table(pa.table(columns), folder / "events.parquet")
    for name, content in tables.items():
        pq.write_table(pa.table(content), folder / f"{name}.parquet")
    spec = SendTimeJobSpec(
        output=str(folder / "out"),
        tenant="t",
        as_of=AS_OF,
        files=[{"url": str(folder / "events.parquet"), "kind": "activity", "bucket": 0}],
        consenting=1.0,
        **{name: str(folder / f"{name}.parquet") for name in tables},
    )
    output = Folder(spec.output)
    send_times.run(spec, output, Reporter(output))
    made = folder / "out" / send_times.SEND_TIMES
    told = pq.read_table(made).to_pylist() if made.exists() else []
    return json.loads((folder / "out" / "model.json").read_text()), {row["customer"]: row for row in told}


def test_everybody_is_told_the_own_hours_by_the_own_clock(tmp_path) -> None:
    rows = events(0.8)
    # A visit makes many events; a shop's systems are not the customer; so late is after the instant.
    rows += [(who, time + timedelta(seconds=30), "Clicked") for who, time, _ in rows]
    rows += [(who, time.replace(hour=3), "Order Shipped") for who, time, _ in rows[:200]]
    names = ("Email Delivered", "Email Bounced", "Email Opened", "Email Marked as Spam")
    rows += [("customers/of-systems", AS_OF - timedelta(days=5, hours=hour), names[hour % 4]) for hour in range(40)]
    rows += [("customers/00", AS_OF + timedelta(hours=hour), "Page Viewed") for hour in range(100)]
    described, told = run(
        tmp_path,
        rows,
        zones={"customer": ["customers/01", "customers/03", "customers/05", "customers/07"],
               "time_zone": ["Europe/Berlin", "America/New_York", "Europe/Berlin", "Not/A_Zone"]},
        aliases={"customer": ["customers/09"], "canonical": ["customers/11"]},
        exclude={"customer": ["customers/13"]},
    )  # fmt: skip
    assert described["judgement"]["candidate"]["state"] == "CHAMPION", described["judgement"]["candidate"]["gates"]
    better = described["metrics"]["better"]
    assert 0 < better["low"] < better["value"]
    assert len(told) == CUSTOMERS - 2
    assert not {"customers/09", "customers/13"} & told.keys()
    assert told["customers/11"]["active_hours"] > 1.5 * told["customers/01"]["active_hours"]
    for row in told.values():
        assert sorted(row["ranking"]) == list(range(168))
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
        assert row["active_hours"] <= 2 * EACH
    # Most hours are 8 or 19 of Berlin; in New York it is six hours earlier then. Where none is known it is as for most.
    zones = {name: row["time_zone"] for name, row in told.items()}
    assert zones.pop("customers/03") == "America/New_York"
    assert set(zones.values()) == {"Europe/Berlin"}
    right = [row["ranking"][0] % 24 == own_hour(int(name[-2:])) for name, row in told.items() if name != "customers/03"]
    assert sum(right) > 0.9 * len(right)
    assert told["customers/03"]["ranking"][0] % 24 == MORNING - 6
    for name in ("customers/03", "customers/11", "customers/22"):
        again = reproduce(Folder(str(tmp_path / "out")), name)
        assert again.equal, "what was told is made again from what lies beside it"
        assert again.recorded["ranking"] == told[name]["ranking"]
    assert "no time zone is known: theirs is taken to be Europe/Berlin" in described["message"]


def read(folder: Path, *groups: list[tuple[str, datetime, int | None]], **changes: Any) -> active_hours.ActiveHours:
    """The active hours of one file of purchases; each group is a row group of it."""
    schema = pa.schema(
        {"customer": pa.string(), "event_time": pa.timestamp("us", tz="UTC"), "amount_minor": pa.int64()}
    )
    with pq.ParquetWriter(folder / "purchases.parquet", schema) as writer:
        for rows in groups:
            writer.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema))
    file = {"url": str(folder / "purchases.parquet"), "kind": "purchases", "bucket": 0}
    terms = {"output": str(folder / "out"), "tenant": "t", "as_of": AS_OF, "files": [file], "consenting": 1.0}
    spec = SendTimeJobSpec.model_validate(terms | changes)
    return active_hours.read(spec, Folder(spec.output))


def test_only_events_of_the_year_take_memory(tmp_path) -> None:
    def bought(days: int, count: int) -> list[tuple[str, datetime, int | None]]:
        return [("customers/00", AS_OF - timedelta(days=days), 900)] * count

    found = read(tmp_path, bought(366, 9_000), bought(9, 2), memory_mb=301)
    assert len(found.activity.hour) == 1
    assert len(read(tmp_path, bought(366, 9_000), memory_mb=301).names) == 0
    with pytest.raises(memory.TooLargeError, match="9002 events of a year need about 301 MB; 301 MB are free"):
        read(tmp_path, bought(364, 9_000), bought(9, 2), memory_mb=301)


def test_a_refund_is_not_what_a_customer_does(tmp_path) -> None:
    bought, refunded = AS_OF - timedelta(days=9, hours=5), AS_OF - timedelta(days=2)
    amounts = {"customers/00": [900, -900, None], "customers/01": [-1]}
    rows = [
        (who, refunded if (amount or 0) < 0 else bought, amount) for who, each in amounts.items() for amount in each
    ]
    found = read(tmp_path, rows)
    assert found.names.to_pylist() == ["customers/00"]
    assert found.activity.hour.tolist() == [bought.weekday() * 24 + bought.hour]


def test_where_customers_do_not_differ_all_are_told_the_hours_of_all(tmp_path) -> None:
    described, told = run(tmp_path, events(0.0))
    assert described["judgement"]["candidate"]["state"] == "REJECTED"
    (baseline,) = [gate for gate in described["judgement"]["candidate"]["gates"] if not gate["passed"]]
    assert baseline["name"] == "baseline"
    assert "better beyond chance" in baseline["message"]
    assert described["judgement"]["stand_in"]["parameters"]["send_time"]["model"] == "one histogram for all"
    assert len({tuple(row["ranking"]) for row in told.values()}) == 1
    again = reproduce(Folder(str(tmp_path / "out")), "customers/03")
    assert again.equal
    assert told["customers/00"]["reasons"] == ["when customers are most active"]


@pytest.mark.parametrize(("days", "kept"), [(1, None), (300, 9)], ids=["few days", "few hours"])
def test_with_too_little_nobody_is_told_anything(tmp_path, days, kept) -> None:
    rows = [(who, AS_OF - (AS_OF - time) / 300 * days, name) for who, time, name in events(0.8)][:: kept or 1]
    described, told = run(tmp_path, rows)
    assert not told
    assert "stand_in" not in described["judgement"]
    gate = described["judgement"]["candidate"]["gates"][0]
    assert (gate["name"], gate["passed"]) == ("minimum_data", False)
    assert "at least 500 hours of 28 days, and 30 customers, are needed" in gate["message"]
