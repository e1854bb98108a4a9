"""The program that tells renewals: from files of events to probabilities, of generated contracts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.domain.happenings import id_of, order_of
from scoring.domain.subscriptions import CANCELLED, ENDED, RENEWED, STARTED
from scoring.jobs import renewals, subscriptions
from scoring.jobs.files import Folder
from scoring.jobs.program import UnusableError
from scoring.jobs.progress import Reporter
from scoring.jobs.renewal_spec import RenewalJobSpec
from scoring.jobs.reproduce import reproduce
from scoring.jobs.scores import score_file

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ALPHA, BETA = 0.8, 2.4
Row = tuple[str, datetime, str, str]
"""Customer, when, what, and of which subscription."""


def sold(
    customers: int, alpha: float = ALPHA, beta: float = BETA, period: float = 30, seed: int = 7, days: int = 900,
    prefix: str = "m", told: float = 0.7,
) -> list[Row]:  # fmt: skip
    """Contracts begun over so many days, of which that share is cancelled with a word."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for number in range(customers):
        name, leaves = f"customers/{prefix}{number:05d}", rng.beta(alpha, beta)
        begun = at = AS_OF - timedelta(days=rng.uniform(0, days))
        found.append((name, begun, STARTED, ""))
        while at < AS_OF and rng.random() >= leaves:
            at += timedelta(days=period + rng.uniform(-1, 1))
            found.append((name, at, RENEWED, ""))
        if rng.random() < told:
            found.append((name, at + timedelta(days=period * rng.uniform(0.05, 0.95)), CANCELLED, ""))
    return [row for row in found if row[1] < AS_OF]


def run(folder: Path, rows: list[Row], **tables: dict[str, list[str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's description, and the rows by customer."""
    columns = {
        "customer": [row[0] for row in rows],
        "event_time": pa.array([row[1] for row in rows], pa.timestamp("us", tz="UTC")),
        "event": [row[2] for row in rows],
        "id": pa.array([id_of("shop", f"{row}") for row in rows], pa.int64()),
        "subscription": pa.array([order_of(row[3]) for row in rows], pa.int64()),
    }
    half = len(rows) // 2
    table = pa.table(columns)
    pq.write_table(table.slice(0, half), folder / "a.parquet")
    pq.write_table(table.slice(half), folder / "b.parquet")
    for name, content in tables.items():
        pq.write_table(pa.table(content), folder / f"{name}.parquet")
    spec = RenewalJobSpec(
        output=str(folder / "out"),
        tenant="t",
        as_of=AS_OF,
        files=[
            {"url": str(folder / name), "kind": "subscriptions", "bucket": 0} for name in ("a.parquet", "b.parquet")
        ],
        consenting=1.0,
        **{name: str(folder / f"{name}.parquet") for name in tables},
    )
    output = Folder(spec.output)
    renewals.run(spec, output, Reporter(output))
    made = folder / "out" / score_file(0)
    told = pq.read_table(made).to_pylist() if made.exists() else []
    return json.loads((folder / "out" / "model.json").read_text()), {row["customer"]: row for row in told}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("planted")
    rows = sold(4000)
    return folder, rows, *run(folder, rows)


def test_planted_parameters_are_within_their_intervals_and_the_model_passes(planted) -> None:
    described, told = planted[2:]
    judgement = described["judgement"]
    assert judgement["candidate"]["state"] == "CHAMPION", judgement["candidate"]["gates"]
    assert {gate["name"] for gate in judgement["candidate"]["gates"]} == {
        "minimum_data", "consenting_share", "baseline", "calibration",
    }  # fmt: skip
    (month,) = described["parameters"]["renewals"]["periods"]
    assert (month["period"], month["days"]) == ("month", pytest.approx(30, abs=0.5))
    for name, true in (("alpha", ALPHA), ("beta", BETA)):
        low, high = month[f"{name}_interval"]
        assert low < true < high
    assert described["metrics"]["better"]["low"] > 0
    silent = int(described["message"].partition("% of ")[0])
    assert 27 <= silent <= 33, described["message"]
    assert described["customers"] == len(told)


def test_what_is_told_is_true_within_noise_in_words_and_falls_due_next(planted) -> None:
    told = planted[3]
    for renewals_so_far in (0, 3, 12):
        row = next(row for row in told.values() if row["renewals"] == renewals_so_far)
        true = (BETA + renewals_so_far) / (ALPHA + BETA + renewals_so_far)
        assert row["low"] < true < row["high"]
        assert row["renewal_probability"] == pytest.approx(true, abs=0.03)
        assert 0 < row["expected_low"] < row["expected_renewals"] < row["expected_high"] <= 12
        assert row["due_time"] > AS_OF - timedelta(days=8)
        assert row["due_time"] < AS_OF + timedelta(days=33)
    first = next(row for row in told.values() if row["renewals"] == 1)["reasons"]
    assert first[0].startswith("came through 1 renewal; of such ")
    assert " renew, of new ones 7" in first[0]
    assert next(row for row in told.values() if not row["renewals"])["reasons"][0].startswith("has not come to a")


def test_the_card_has_real_and_told_retention_by_tenure(planted) -> None:
    (month,) = planted[2]["metrics"]["retention"]
    points = month["points"]
    assert [each["renewals"] for each in points] == list(range(len(points)))
    assert len(points) > 10
    assert points[0]["contracts"] > 3000
    assert all(each["low"] < each["renewed"] < each["high"] for each in points)
    assert sum(each["low"] <= each["told"] <= each["high"] for each in points) > 0.7 * len(points)


def test_a_stored_row_is_made_again_to_the_bit(planted) -> None:
    folder, _, _, told = planted
    for name in list(told)[:: len(told) // 5]:
        found = reproduce(Folder(str(folder / "out")), name)
        assert found is not None
        assert found.recorded["renewal_probability"] == told[name]["renewal_probability"]
        assert found.equal


def test_shuffled_repeated_and_late_events_of_merged_customers_tell_the_same(planted, tmp_path) -> None:
    _, rows, described, told = planted
    rng = np.random.default_rng(1)
    twice = [*rows, *rows[::7], (rows[0][0], AS_OF, CANCELLED, ""), (rows[1][0], AS_OF - timedelta(1), "Clicked", "")]
    mixed = [twice[place] for place in rng.permutation(len(twice))]
    # Half of what one customer did was under another name.
    one = next(name for name, row in told.items() if row["renewals"] > 4)
    mine = [row for row in mixed if row[0] == one]
    mixed = [row for row in mixed if row[0] != one] + mine[::2]
    mixed += [("customers/other", *row[1:]) for row in mine[1::2]]
    again, now = run(tmp_path, mixed, aliases={"customer": ["customers/other"], "canonical": [one]})
    assert now == told
    assert again["parameters"] == described["parameters"]


def test_two_subscriptions_of_a_customer_are_kept_apart_and_the_next_to_be_renewed_is_told(tmp_path) -> None:
    rows = sold(120, days=300)
    both = "customers/both"
    for key, begun, count in (("plan-a", 100, 3), ("plan-b", 190, 6), ("plan-c", 40, 1)):
        days = [begun - 30 * number for number in range(count + 1)]
        rows += [
            (both, AS_OF - timedelta(days=day), RENEWED if place else STARTED, key) for place, day in enumerate(days)
        ]
    rows += [(both, AS_OF - timedelta(days=2), ENDED, "plan-c")]
    rows += [("customers/objects", AS_OF - timedelta(days=3), STARTED, "plan-a")]
    described, told = run(tmp_path, rows, exclude={"customer": ["customers/objects"]})
    assert "customers/objects" not in told
    row = told[both]
    # plan-a was renewed 10 days ago, plan-b also: that was begun 190 days ago.
    assert (row["renewals"], row["subscriptions"]) == (3, 2)
    assert row["due_time"].date() == (AS_OF + timedelta(days=20)).date()
    assert row["reasons"][-1] == "has 2 subscriptions: this one comes to its renewal first"
    assert row["period"] == "month"
    # Too few to be tested on: one rate for all, which says so.
    assert described["judgement"]["candidate"]["state"] == "REJECTED"
    assert "one rate" in described["judgement"]["stand_in"]["message"]
    assert len({each["renewal_probability"] for each in told.values()}) == 1
    assert "of all contracts" in row["reasons"][0]
    found = reproduce(Folder(str(tmp_path / "out")), both)
    assert found is not None
    assert found.equal


def test_months_and_years_have_models_of_their_own(tmp_path) -> None:
    rows = [*sold(1500), *sold(600, alpha=2, beta=4, period=365, days=2500, seed=9, prefix="y")]
    described, told = run(tmp_path, rows)
    month, year = described["parameters"]["renewals"]["periods"]
    assert (month["period"], year["period"]) == ("month", "year")
    assert year["days"] == pytest.approx(365, abs=1)
    old = [row for name, row in told.items() if name.startswith("customers/y") and row["renewals"] == 2]
    assert {row["period"] for row in old} == {"year"}
    assert old[0]["renewal_probability"] == pytest.approx(6 / 8, abs=0.08)


def test_too_little_to_tell_anything_is_told(tmp_path) -> None:
    few = sold(25, days=200)
    described, told = run(tmp_path, few)
    assert "needs 30" in described["message"]
    assert told
    (tmp_path / "none").mkdir()
    described, told = run(
        tmp_path / "none", [(f"customers/{n}", AS_OF - timedelta(days=n), STARTED, "") for n in range(9)]
    )
    assert not told
    assert "nobody knows how long a period is" in described["message"]
    assert "stand_in" not in described["judgement"]


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(subscriptions, "BYTES_PER_EVENT", 10**12)
    with pytest.raises(UnusableError, match="RESOURCE_EXHAUSTED: Reading 9 events"):
        run(tmp_path, [(f"customers/{n}", AS_OF - timedelta(days=n), STARTED, "") for n in range(9)])
