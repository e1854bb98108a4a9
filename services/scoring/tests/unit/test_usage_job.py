"""The program that judges usage: from files of events to drops and surges, of a generated shop."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.domain import usage_gates
from scoring.domain.conditions import USAGE_STATES
from scoring.jobs import memory, program, usage, weekly_counts
from scoring.jobs.columns import texts
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.reproduce import reproduce
from scoring.jobs.usage_spec import UsageJobSpec
from scoring.jobs.weekly_counts import WEEKS, WeeklyCounts
from scoring.models import anomaly

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
CUSTOMERS = 620
RATE = anomaly.RATE
Event = tuple[str, datetime, str]


def shop(seed: int, weeks: int = WEEKS, customers: int = CUSTOMERS) -> np.ndarray:
    """Counts of customers whose usage is as usual, 2 to 60 a week."""
    rng = np.random.default_rng(seed)
    level = np.exp(rng.uniform(np.log(2), np.log(60), customers))
    counts = np.zeros((customers, WEEKS), dtype=np.int32)
    counts[:, WEEKS - weeks :] = rng.poisson(level[:, None] * rng.gamma(100, 1 / 100, (customers, weeks)))
    return counts


def judged(counts: np.ndarray, consenting: float = 1.0) -> tuple[usage.Learned, dict[str, list[Any]]]:
    """What was learned of counts, and what is told of each row of them."""
    learned = usage.learn(WeeklyCounts(texts([f"customers/{n:04d}" for n in range(len(counts))]), counts), consenting)
    assert learned.judge is not None
    return learned, usage._told(learned.judge, usage._usage(counts), learned.inside)


def test_noise_gives_no_more_alarms_than_stated() -> None:
    found = [judged(shop(seed))[1]["usage"] for seed in range(1, 5)]
    told = [state for states in found for state in states]
    for state in usage_gates.ANOMALIES:
        assert 0 < told.count(state) <= RATE * len(told)


def test_planted_drops_stops_and_surges_are_told_among_quiet_customers() -> None:
    counts = shop(3)
    busy = np.flatnonzero(counts[:, :-2].mean(axis=1) >= 40)
    drops, stops, surges = busy[:6], busy[6:10], busy[10:14]
    rng = np.random.default_rng(4)
    counts[drops, -2:] = rng.binomial(counts[drops, -2:], 0.4)
    counts[stops, -1] = 0
    counts[surges, -2:] *= 4
    _, told = judged(counts)
    states = np.array(told["usage"])
    assert (states[drops] == "DROP").all(), "60 percent less for 14 days"
    assert (states[stops] == "DROP").all()
    assert (states[surges] == "SURGE").all()
    quiet = np.ones(CUSTOMERS, dtype=bool)
    quiet[np.concatenate([drops, stops, surges])] = False
    assert quiet.sum() >= 500
    for state in usage_gates.ANOMALIES:
        assert (states[quiet] == state).mean() <= RATE
    place = int(stops[0])
    low, used, window = (told[name][place] for name in ("low", "used", "window_weeks"))
    assert used < low <= told["expected"][place] <= told["high"][place]
    assert used == counts[place, -window:].sum()
    assert told["probability"][place] < RATE
    assert told["drop_tellable"][place]
    assert told["reasons"][place][0].startswith(f"{used} in the last ")


def test_a_holiday_of_all_is_nobodys_drop_and_is_told_as_how_the_others_stand() -> None:
    counts = shop(5)
    rng = np.random.default_rng(6)
    counts[:, -1] = rng.binomial(counts[:, -1], 0.4)
    learned, told = judged(counts)
    assert learned.detector.follow == 1, "whose past had no such week follow the others, too"
    assert told["usage"].count("DROP") <= RATE * CUSTOMERS
    stood = [group for group, window in zip(told["as_group"], told["window_weeks"], strict=True) if window == 1]
    assert stood == pytest.approx([0.4] * len(stood), abs=0.05)
    place = told["window_weeks"].index(1)
    assert told["reasons"][place][1] == "the others of the group are at 41 percent of their usual"


def test_who_has_too_little_history_is_not_judged() -> None:
    counts = shop(7)
    counts[:10, :-6] = 0
    counts[:10, -7] = 1
    _, told = judged(counts)
    assert told["usage"][:10] == ["NOT_JUDGED"] * 10
    for name in ("expected", "low", "high", "probability", "as_group", "drop_tellable"):
        assert told[name][0] is None
    assert told["reasons"][0] == ["too little history: what is usual is told from 8 weeks on"]
    assert "NOT_JUDGED" not in told["usage"][10:]


@pytest.mark.parametrize(
    ("counts", "consenting", "failed"),
    [
        (shop(8, customers=20), 1.0, ["minimum_data", "stated_rate"]),
        (shop(8, customers=49), 1.0, ["minimum_data"]),
        (shop(8, weeks=13), 1.0, []),
        (shop(8, customers=100), 0.1, ["consenting_share"]),
    ],
    ids=["few weeks", "few customers", "ten weeks", "few consent"],
)
def test_gates_let_cautious_thresholds_stand_in(counts, consenting, failed) -> None:
    learned, told = judged(counts, consenting)
    assert [gate.name for gate in learned.verdict.gates if not gate.passed] == failed
    assert learned.judge is not None
    cautious = learned.judge.detector.drop == anomaly.cautious(RATE)
    assert cautious == bool(failed)
    assert "NOT_JUDGED" not in told["usage"]


def test_without_eight_weeks_nobody_is_told_anything(tmp_path) -> None:
    described, told = run(tmp_path, events(shop(9, weeks=8, customers=5)))
    assert told == {}
    assert "stand_in" not in described["judgement"]
    assert described["judgement"]["candidate"]["gates"][0]["message"].startswith("usage of 0 customers can be judged")
    (tmp_path / "none").mkdir()
    described, told = run(tmp_path / "none", [("customers/a", AS_OF, "Page Viewed")])
    assert (told, described["customers"], described["window_start"]) == ({}, 0, None)


def events(counts: np.ndarray, event: str = "Page Viewed") -> list[Event]:
    """Events that make these counts, at any time of their weeks."""
    rng = np.random.default_rng(0)
    return [
        (f"customers/{row:04d}", AS_OF - timedelta(weeks=WEEKS - int(week), seconds=-int(second)), event)
        for row, week in zip(*np.nonzero(counts), strict=True)
        for second in rng.integers(0, 7 * 86_400, counts[row, week])
    ]


def write(path: Path, rows: Iterable[Event], ids: Iterable[int] | None = None) -> None:
    customers, times, names = map(list, zip(*rows, strict=True))
    known = list(ids) if ids is not None else list(range(1, len(times) + 1))
    instants = pa.array(times, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"customer": customers, "event_time": instants, "event": names, "id": known}), path)


def spec_of(folder: Path, **more: Any) -> UsageJobSpec:
    files = [
        {"url": str(path), "kind": path.name.split("-")[0], "bucket": int(path.stem.split("-")[1])}
        for path in sorted(folder.glob("*-*.parquet"))
    ]
    given = {"output": str(folder / "out"), "tenant": "t", "as_of": AS_OF, "files": files, "consenting": 1.0} | more
    return UsageJobSpec.model_validate(given)


def run(folder: Path, rows: Iterable[Event], **more: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The model's description, and the rows by customer."""
    write(folder / "activity-0.parquet", rows)
    spec = spec_of(folder, **more)
    output = Folder(spec.output)
    usage.run(spec, output, Reporter(output))
    made = sorted((folder / "out").glob("scores-*"))
    told = pq.read_table(made[0]).to_pylist() if made else []
    return json.loads((folder / "out" / "model.json").read_text()), {row["customer"]: row for row in told}


def test_a_job_writes_rows_that_are_made_again_from_what_lies_beside_them(tmp_path, monkeypatch) -> None:
    counts = shop(10, weeks=24, customers=90)
    stopped, surged, new = np.argsort(-counts.sum(axis=1))[:3].tolist()
    counts[stopped, -2:] = 0
    counts[surged, -1] *= 6
    counts[new, :-5] = 0
    monkeypatch.setattr(usage, "LEARNED_MOST", 80)
    described, told = run(tmp_path, events(counts))
    judgement = described["judgement"]
    assert judgement["candidate"]["state"] == "CHAMPION", judgement["candidate"]["gates"]
    assert described["message"].startswith("learned from 80 of 90 customers")
    assert len(told) == described["customers"] == 90
    assert described["purchases"] == counts.sum()
    assert described["window_start"] == (AS_OF - timedelta(weeks=24)).isoformat()
    assert [told[f"customers/{n:04d}"]["usage"] for n in (stopped, surged, new)] == ["DROP", "SURGE", "NOT_JUDGED"]
    states = [row["usage"] for row in told.values()]
    assert {state: described["metrics"][state.lower()] for state in USAGE_STATES} == {
        state: states.count(state) for state in USAGE_STATES
    }
    weeks = described["metrics"]["weeks"]
    assert len(weeks) == 12
    assert sum(week["judged"] for week in weeks) == described["parameters"]["usage"]["calibrated_on"] >= 500
    assert described["parameters"]["usage"]["rate"] == RATE
    assert {row["inside"] for row in told.values()} == {True, False}
    for name in told:
        again = reproduce(Folder(str(tmp_path / "out")), name)
        assert again is not None
        assert again.equal, (again.recorded, again.computed)
        assert again.recorded["usage"] == told[name]["usage"]


def test_usage_is_what_customers_do_each_event_once_by_its_time(tmp_path) -> None:
    day = timedelta(days=1)
    week = AS_OF - 3 * day
    write(
        tmp_path / "activity-0.parquet",
        [
            ("customers/a", week, "Page Viewed"),
            ("customers/a", AS_OF, "Page Viewed"),
            ("customers/a", AS_OF - WEEKS * 7 * day, "Page Viewed"),
            ("customers/a", AS_OF - WEEKS * 7 * day - day, "Page Viewed"),
            *(("customers/a", week, name) for name in sorted(usage_gates.NO_USE)),
            ("customers/gone", week, "Page Viewed"),
            ("customers/member", week, "Page Viewed"),
        ],
        [1, 2, 3, 4, *range(100, 100 + len(usage_gates.NO_USE)), 5, 6],
    )
    # Told again, late: in a later file, and after a merge in one of another bucket.
    write(
        tmp_path / "activity-00.parquet",
        [("customers/a", week, "Page Viewed"), ("customers/a", week, "Played")],
        [1, 7],
    )
    write(
        tmp_path / "activity-1.parquet", [("customers/b", week, "Page Viewed"), ("customers/b", week, "Played")], [6, 8]
    )
    amounts = {
        "customer": ["customers/a", "customers/a"],
        "event_time": pa.array([week] * 2, pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table({**amounts, "amount_minor": [5, -5]}), tmp_path / "purchases-0.parquet")
    pq.write_table(
        pa.table({"customer": ["customers/member"], "canonical": ["customers/b"]}), tmp_path / "aliases.parquet"
    )
    pq.write_table(pa.table({"customer": ["customers/gone"]}), tmp_path / "exclude.parquet")
    people = {name: str(tmp_path / f"{name}.parquet") for name in ("aliases", "exclude")}

    def read(*names: str) -> dict[str, tuple[int, int]]:
        """By customer the counts of the first and the last week."""
        spec = spec_of(tmp_path, events=names, **people)
        found = weekly_counts.read(spec, Folder(spec.output))
        assert (found.counts[:, 1:-1] == 0).all()
        return {
            name: (int(row[0]), int(row[-1])) for name, row in zip(found.names.to_pylist(), found.counts, strict=True)
        }

    assert read() == {"customers/a": (1, 2), "customers/b": (0, 2)}
    assert {"Order Completed", "Order Shipped", "Message Sent", "Subscription Renewed"} <= usage_gates.NO_USE
    assert read("Played") == {"customers/a": (0, 1), "customers/b": (0, 1)}
    assert read("Played", "Order Completed") == {"customers/a": (0, 3), "customers/b": (0, 1)}
    assert read("Message Clicked", "Order Refunded") == {"customers/a": (0, 3)}
    assert read("Never Told") == {}


def test_a_job_too_large_says_so_before_it_reads(tmp_path) -> None:
    rows = [(f"customers/{n}", AS_OF - timedelta(days=1), "Page Viewed") for n in range(3_000)]
    old = [(name, AS_OF - timedelta(days=500), event) for name, _, event in rows]
    (tmp_path / "old").mkdir()
    write(tmp_path / "old" / "activity-0.parquet", old)
    spec = spec_of(tmp_path / "old", memory_mb=300)
    assert len(weekly_counts.read(spec, Folder(spec.output)).names) == 0, "what is too old takes no memory"
    with pytest.raises(
        program.UnusableError, match=r"RESOURCE_EXHAUSTED: .* 3000 events in the largest part .*usage_ev"
    ):
        run(tmp_path, rows, memory_mb=300)
    with pytest.raises(memory.TooLargeError, match="and 3000 customers so far"):
        weekly_counts.read(spec_of(tmp_path, memory_mb=301), Folder(str(tmp_path / "out")))


def test_events_of_members_that_wait_for_those_of_other_buckets_are_counted_into_the_memory(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(memory, "BYTES_PER_USE", 10_000)
    names = [f"customers/{n}" for n in range(3_000)]
    for bucket in (0, 1):
        rows = [(name, AS_OF - timedelta(days=1), "Page Viewed") for name in names[bucket::2]]
        write(tmp_path / f"activity-{bucket}.parquet", rows, range(bucket + 1, 3_001, 2))
    found = weekly_counts.read(spec_of(tmp_path, memory_mb=320), Folder(str(tmp_path / "out")))
    assert len(found.names) == 3_000
    merged = {"customer": names[1::2], "canonical": names[::2]}
    pq.write_table(pa.table(merged), tmp_path / "aliases.parquet")
    aliases = str(tmp_path / "aliases.parquet")
    with pytest.raises(memory.TooLargeError, match="3000 events in the largest part"):
        weekly_counts.read(spec_of(tmp_path, memory_mb=320, aliases=aliases), Folder(str(tmp_path / "out")))
    found = weekly_counts.read(spec_of(tmp_path, memory_mb=400, aliases=aliases), Folder(str(tmp_path / "out")))
    assert (len(found.names), found.counts.sum()) == (1_500, 3_000)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], None),
        (["Played"], None),
        ([f"Event {n}" for n in range(21)], "Name up to 20 events"),
        (["x" * 65], "1 to 64 characters"),
        ([" "], "1 to 64 characters"),
        (["Played", "Played"], "comes twice"),
    ],
)
def test_names_of_events_are_checked(names, problem) -> None:
    found = usage_gates.problem_of_events(names)
    assert found is None if problem is None else problem in found
