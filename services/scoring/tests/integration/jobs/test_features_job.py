"""Files of features: what is told of each customer alone, however events are divided and whenever a job is killed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import parquet
from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.domain.happenings import id_of, order_of
from scoring.features import row
from scoring.features.declared import FEATURES, NAMES, OTHER, kind_of
from scoring.features.rates import DayRates
from scoring.features.row import Event
from scoring.jobs import feature_tasks, features
from scoring.jobs.files import Folder
from scoring.jobs.launch import LOG, launch
from scoring.jobs.progress import Progress, Reporter, State
from scoring.jobs.spec import BackfillSpec, FeatureJobSpec
from testkit import eventually
from testkit.failpoints import Failpoint

Arm = Callable[..., AbstractContextManager[Failpoint]]

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
EARLIER = AS_OF - timedelta(days=60)
RATES = """Date, USD, JPY, \n2026-02-27, 1.25, 160, \n2026-01-15, 1.0, N/A, \n2025-06-01, 2.0, 100, \n"""


@dataclass(frozen=True)
class Told:
    """One event as it was told."""

    customer: str
    event: str
    time: datetime
    amount: int | None
    currency: str | None
    order: str
    message: str


def events(customers: int, seed: int = 4) -> list[Told]:
    chance = np.random.default_rng(seed)
    found = []
    for number in range(customers):
        name = f"customers/{number:06d}"
        for place in range(int(chance.integers(1, 14))):
            event = str(chance.choice(["Order Completed", "Order Refunded", "Page Viewed", "Cart Viewed"]))
            ago = timedelta(milliseconds=int(chance.integers(-5 * 86_400_000, 420 * 86_400_000)))
            money = event.startswith("Order")
            found.append(
                Told(
                    name,
                    event,
                    AS_OF - ago,
                    int(chance.integers(100, 9_000)) if money else None,
                    str(chance.choice(["EUR", "EUR", "USD", "JPY"])) if money else None,
                    f"order-{number}-{chance.integers(0, 3)}" if money else "",
                    f"m{place}",
                )
            )
    return found


def written(folder: Path, told: list[Told], seed: int, pieces: int) -> tuple[dict[str, Any], ...]:
    """Files as the service writes them, shuffled; what is no purchase twice."""
    order = np.random.default_rng(seed).permutation(len(told))
    files = []
    for bucket in range(BUCKETS):
        for piece in range(pieces):
            mine = [told[place] for place in order[piece::pieces] if bucket_of(told[place].customer) == bucket]
            rows = [
                {
                    "customer": each.customer,
                    "order_id": each.order,
                    "event_time": each.time,
                    "amount_minor": each.amount,
                    "currency": each.currency,
                    "event": each.event,
                    "id": id_of("shop", f"{each.customer}{each.message}"),
                }
                for each in mine
            ]
            bought = [each for each in rows if each["event"] == "Order Completed"]
            others = [each for each in rows if each["event"] != "Order Completed"]
            for kind, content in (
                ("purchases", parquet.purchases(bought)),
                ("activity", parquet.activity([*others, *others])),
            ):
                path = folder / f"{kind}-{seed}-{bucket}-{piece}.parquet"
                path.write_bytes(content)
                files.append({"url": f"file://{path}", "kind": kind, "bucket": bucket})
    return tuple(files)


def expected(told: list[Told], at: datetime, canonical: Callable[[str], str] = str) -> dict[str, dict[str, float]]:
    """By the incremental computation, one customer at a time."""
    rates = DayRates.read("EUR", RATES.splitlines())
    people: dict[str, list[Event]] = {}
    for each in told:
        time = round(each.time.timestamp() * 1000) * 1000
        amount = rates.convert(each.amount, each.currency or "", time) if each.amount is not None else 0
        if amount is not None:
            kind = kind_of(each.event, has_amount=each.amount is not None)
            people.setdefault(canonical(each.customer), []).append(Event(kind, time, amount, order_of(each.order)))
    at_us = round(at.timestamp() * 1000) * 1000
    year = 365 * row.DAY_US
    return {
        name: row.row_of(mine, at_us)
        for name, mine in people.items()
        if any(at_us - year <= event.time < at_us for event in mine)
    }


def found(output: Path, at: datetime) -> dict[str, dict[str, float]]:
    """The files of an instant, put together; every cell is read."""
    tables = [pq.read_table(path) for path in sorted(output.glob(f"features-{at:%Y%m%dT%H%M%S}*.parquet"))]
    assert len(tables) == BUCKETS
    for table in tables:
        assert table.column_names == ["customer", *NAMES]
        assert table.column("customer").to_pylist() == sorted(table.column("customer").to_pylist())
    rows = pa.concat_tables(tables).to_pylist()
    return {
        each.pop("customer"): {name: np.nan if value is None else value for name, value in each.items()}
        for each in rows
    }


@pytest.fixture(scope="module")
def told() -> list[Told]:
    return events(120)


@pytest.fixture
def spec(tmp_path: Path, told: list[Told]) -> Callable[..., FeatureJobSpec]:
    rates = tmp_path / "rates.csv"
    rates.write_text(RATES)

    def of(output: str, seed: int = 1, pieces: int = 2, **given: Any) -> FeatureJobSpec:
        values = {
            "tenant": "t1",
            "as_of": AS_OF,
            "currency": "EUR",
            "files": written(tmp_path, told, seed, pieces),
            "rates": str(rates),
            "output": f"file://{tmp_path / output}",
            "executor": "in_process",
            "threads": 1,
        }
        return FeatureJobSpec(**(values | given))

    return of


def run(spec: FeatureJobSpec, *instants: datetime) -> Path:
    output = Folder(spec.output)
    features.run(spec, instants or (spec.as_of,), output, Reporter(output))
    return Path(spec.output.removeprefix("file://"))


def test_files_hold_what_is_computed_of_each_customer_alone(spec, told: list[Told]) -> None:
    output = run(spec("out"))
    np.testing.assert_equal(found(output, AS_OF), expected(told, AS_OF))
    said = Folder(f"file://{output}").read_json("features.json") or {}
    assert [feature["name"] for feature in said["features"]] == list(NAMES)
    assert said["left_out"]["no_rate"] > 0
    assert "amounts without a rate to EUR are left out" in said["message"]
    assert not (output / "work").exists()


def test_other_files_in_another_order_give_equal_features(spec) -> None:
    names = [
        {path.name: path.read_bytes() for path in run(spec(name, seed, pieces, threads=threads)).glob("*-*.parquet")}
        for name, seed, pieces, threads in (("one", 1, 2, 1), ("other", 2, 1, 2))
    ]
    assert [len(each) for each in names] == [BUCKETS, BUCKETS]
    tables = [{name: pq.read_table(pa.BufferReader(body)) for name, body in each.items()} for each in names]
    assert all(tables[0][name].equals(tables[1][name]) for name in tables[0])


def test_all_buckets_go_by_one_table_of_rates_whatever_is_published_meanwhile(spec, told: list[Told]) -> None:
    one = spec("out")
    output = Folder(one.output)
    made = features.planned(one, (AS_OF,), output, Reporter(output))
    Path(one.rates).write_text("Date,USD\n2025-01-01,9\n")
    for bucket in made.buckets:
        feature_tasks.compute(bucket)
    np.testing.assert_equal(found(Path(one.output.removeprefix("file://")), AS_OF), expected(told, AS_OF))


def test_merged_customers_count_as_one_and_excluded_ones_not_at_all(spec, told: list[Told], tmp_path: Path) -> None:
    aliases = {f"customers/{n:06d}": f"customers/{n + 1:06d}" for n in range(0, 60, 3)}
    excluded = {"customers/000001", "customers/000070"}  # the first has a member
    (tmp_path / "aliases.parquet").write_bytes(
        parquet.strings({"customer": list(aliases), "canonical": list(aliases.values())})
    )
    (tmp_path / "exclude.parquet").write_bytes(parquet.strings({"customer": sorted(excluded)}))
    paths = {"aliases": str(tmp_path / "aliases.parquet"), "exclude": str(tmp_path / "exclude.parquet")}
    assert any(bucket_of(one) != bucket_of(other) for one, other in aliases.items())
    output = run(spec("out", **paths))
    wanted = expected(told, AS_OF, lambda name: aliases.get(name, name))
    np.testing.assert_equal(found(output, AS_OF), {k: v for k, v in wanted.items() if k not in excluded})


def test_what_the_files_no_longer_hold_has_no_value_rather_than_a_wrong_one(
    spec, told: list[Told], tmp_path: Path
) -> None:
    kept = AS_OF - timedelta(days=100)
    left = [each for each in told if each.amount is not None or each.time >= kept]
    files = written(tmp_path, left, 9, 1)
    output = run(spec("out", files=files, whole_from={"activity": kept}), EARLIER, AS_OF)
    for at in (EARLIER, AS_OF):
        wanted, there = expected(told, at), found(output, at)
        assert len(there) > 80
        of_activity = {feature.name for feature in FEATURES if OTHER in feature.kinds}
        for name, values in there.items():
            wrong = [each for each in values if values[each] != wanted[name][each] and not np.isnan(values[each])]
            assert not wrong, (name, wrong)
            lost = {each for each in values if np.isnan(values[each]) and not np.isnan(wanted[name][each])}
            assert lost <= {*of_activity, *(each for each in NAMES if "click" in each or "message" in each)}
        assert {bool(np.isnan(values["events_90d"])) for values in there.values()} == {at == EARLIER}
        assert any(values["days_since_last_event"] > 0 for values in there.values())
    said = Folder(f"file://{output}").read_json("features.json") or {}
    assert "activity is kept from 2025-11-21 on: features that look back past it have no value" in said["message"]


def test_several_instants_at_once_are_as_one_after_another(spec, told: list[Told]) -> None:
    one = spec("out")
    output = run(one, AS_OF)
    written_before = {path.name: path.stat().st_mtime_ns for path in output.glob("features-*.parquet")}
    run(one, EARLIER, AS_OF)
    np.testing.assert_equal(found(output, EARLIER), expected(told, EARLIER))
    np.testing.assert_equal(found(output, AS_OF), expected(told, AS_OF))
    for name, at in written_before.items():
        assert (output / name).stat().st_mtime_ns == at, "what is finished is not made again"


@pytest.mark.usefixtures("warm")
def test_a_killed_backfill_goes_on_from_what_is_finished(
    spec, told: list[Told], tmp_path: Path, failpoint: Arm
) -> None:
    """As a process, as it is launched."""
    values = spec("out").model_dump(exclude={"as_of"})
    several = BackfillSpec(**values, instants=(EARLIER, AS_OF))
    job = tmp_path / "job"
    with failpoint("pyarrow.parquet:write_table", call=12) as there:
        handle = launch(several, job, program="scoring.jobs.backfill")
    there.wait()

    def ended() -> Progress | None:
        return handle.poll() if handle.pid is None else None

    assert eventually(ended, timeout=30).state is State.FAILED
    output = tmp_path / "out"
    before = {path.name: path.stat().st_mtime_ns for path in output.glob("features-*.parquet")}
    assert len(before) == 11
    handle = launch(several, job, program="scoring.jobs.backfill")
    assert eventually(ended, timeout=30).state is State.SUCCEEDED, (job / LOG).read_text()
    assert all((output / name).stat().st_mtime_ns == at for name, at in before.items())
    for at in (EARLIER, AS_OF):
        np.testing.assert_equal(found(output, at), expected(told, at))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": "/nowhere/rates.csv"}, "rates.csv cannot be read"),
        ({"files": ({"url": "file:///nowhere/p.parquet", "kind": "activity", "bucket": 0},)}, "cannot be read"),
        ({"memory_mb": 16}, "RESOURCE_EXHAUSTED: A bucket of"),
    ],
)
def test_what_cannot_be_used_is_named(spec, change: dict[str, Any], message: str) -> None:
    with pytest.raises(features.program.UnusableError, match=message):
        run(spec("out", **change))
