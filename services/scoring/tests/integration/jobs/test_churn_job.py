"""The program of churn: whose purchases it reads, and how it looks back at the model that scored before."""

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import parquet
from scoring.features.rates import DayRates
from scoring.features.table import DAY_US, Events
from scoring.jobs import buyers, churn, day_rates, people, tasks
from scoring.jobs.files import Folder
from scoring.jobs.memory import TooLargeError
from scoring.jobs.program import UnusableError
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import ChurnJobSpec
from scoring.models import churn as churn_model

from ..test_churn import AS_OF, WEEKS, shop


def written(path: Path, bought: dict[str, list[tuple[float, int]]], currency: str = "EUR") -> str:
    """A file of purchases: days before AS_OF and minor units."""
    rows = [
        {
            "customer": name,
            "order_id": "",
            "event_time": AS_OF - timedelta(days=days),
            "amount_minor": amount,
            "currency": currency,
        }
        for name, purchases in bought.items()
        for days, amount in purchases
    ]
    path.write_bytes(parquet.purchases(rows))
    return str(path)


def names(folder: Path, name: str, **columns: list[str]) -> str:
    path = folder / name
    pq.write_table(pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()}), path)
    return str(path)


def test_merged_customers_are_one_and_excluded_ones_are_nobody(tmp_path) -> None:
    bought = {"customers/a": [(10.0, 1)], "customers/b": [(20.0, 2)], "customers/c": [(5.0, 3)]}
    bought |= {"customers/d": [(1.0, 4)], "customers/e": [(-1.0, 5)]}
    files = [written(tmp_path / "one.parquet", bought)]
    files += [written(tmp_path / "other.parquet", {"customers/b": [(30.0, 6)], "customers/f": [(3.0, 7)]}, "USD")]
    output = Folder(str(tmp_path / "out"))
    aliases = names(tmp_path, "aliases", customer=["customers/b"], canonical=["customers/a"])
    # Who merged with somebody that is left out is left out, too.
    exclude = names(tmp_path, "exclude", customer=["customers/d"])
    people.resolve(output, aliases, exclude)
    until = round(AS_OF.timestamp() * 1e6)
    found = buyers.read(list(map(tasks.inspect, files)), output, DayRates("EUR"), 2, until, aliases=True)
    assert found.names.to_pylist() == ["customers/a", "customers/c"]
    events = found.customers.events
    assert sorted(zip(events.customer.tolist(), events.amount.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 3)]
    assert found.left_out == {"unusable": 0, "no_rate": 2}
    people.resolve(output, aliases, names(tmp_path, "exclude", customer=["customers/b"]))
    others = buyers.read(list(map(tasks.inspect, files)), output, DayRates("EUR"), 2, until, aliases=True)
    assert others.names.to_pylist() == ["customers/c", "customers/d"]


def test_other_currencies_count_by_the_rate_of_their_day_and_are_left_out_a_week_after_the_last(tmp_path) -> None:
    written(tmp_path / "purchases.parquet", {"customers/a": [(40.0, 500)]})
    abroad = {"customers/b": [(20.0, 1000), (13.0, 1000), (12.0, 1000)], "customers/c": [(30.0, 1000)]}
    written(tmp_path / "abroad.parquet", abroad, "USD")
    rates = tmp_path / "rates.csv"
    days = [(AS_OF - timedelta(days=ago)).date() for ago in (25, 20)]
    rates.write_text(f"Date,USD\n{days[0]},2\n{days[1]},1.25\n")
    table, _ = day_rates.read(str(rates), "EUR")
    files = [tasks.inspect(str(tmp_path / name)) for name in ("purchases.parquet", "abroad.parquet")]
    output = Folder(str(tmp_path / "read"))
    people.resolve(output, None, None)
    found = buyers.read(files, output, table, 2, round(AS_OF.timestamp() * 1e6), aliases=False)
    assert found.names.to_pylist() == ["customers/a", "customers/b"], "before the first day there is no rate either"
    assert sorted(found.customers.events.amount.tolist()) == [500, 800, 800]
    assert found.left_out == {"unusable": 0, "no_rate": 2}
    inputs = tuple(str(tmp_path / name) for name in ("purchases.parquet", "abroad.parquet"))
    for content, left_out in ((None, 4), (f"Date,USD\n{days[1]},1.25\n", 2), (f"Date,USD\n{days[0]},2\n", 3)):
        if content is not None:
            rates.write_text(content)
        _, message = ran(tmp_path, "out", AS_OF, inputs=inputs, rates=content and str(rates))
        assert f"{left_out} purchases without a rate to EUR are left out" in message
    assert ran(tmp_path, "out", AS_OF, inputs=inputs, rates=str(rates))[1] == "was done already"
    rates.write_text("Date,USD\nyesterday,2\n")
    with pytest.raises(UnusableError, match="line 2: Date is no date"):
        ran(tmp_path, "out", AS_OF, inputs=inputs, rates=str(rates))


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    url = written(tmp_path / "purchases.parquet", {"customers/a": [(10.0, 1)]})
    file = tasks.inspect(url)
    for most, free, why in ((0, 10**10, "1 purchases do not fit, 0 do"), (10, 10**8, "need about 600 MB, 100 MB are")):
        monkeypatch.setattr(buyers, "PURCHASES_MOST", most)
        monkeypatch.setattr(buyers, "available", lambda free=free: free)
        with pytest.raises(TooLargeError, match=f"RESOURCE_EXHAUSTED: .*{why}"):
            buyers.read([file], Folder(str(tmp_path / "out")), DayRates("EUR"), 2, 0, aliases=False)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("churn")
    written(folder / "purchases.parquet", shop(220, seed=8))
    return folder


def ran(folder: Path, name: str, as_of: datetime, **known: Any) -> tuple[dict[str, Any], str]:
    """model.json, and what the job ended with."""
    values = {"tenant": "acme", "as_of": as_of, "horizon_weeks": WEEKS, "currency": "EUR", "digits": 2}
    values |= {"inputs": (str(folder / "purchases.parquet"),), "consenting": 1.0, "output": str(folder / name)}
    spec = ChurnJobSpec(**(values | known))
    output = Folder(spec.output)
    churn.whole(spec, output, Reporter(output))
    found, progress = output.read_json(churn.MODEL), output.read_json("progress.json")
    assert found is not None
    assert progress is not None
    return found, progress["message"]


def test_a_feature_that_looks_ahead_fails_the_job_before_it_learns(history, monkeypatch) -> None:
    honest = churn_model.bulk.table

    def leaking(events: Events, number: int, at: int) -> dict[str, Any]:
        """How many purchases there are, those of the month after it too."""
        return honest(events, number, at) | {"purchases_90d": honest(events, number, at + 30 * DAY_US)["purchases_90d"]}

    monkeypatch.setattr(churn_model.bulk, "table", leaking)
    with pytest.raises(UnusableError, match="the feature purchases_90d as of an instant changes with what comes after"):
        ran(history, "leak", AS_OF)


EARLIER = AS_OF - timedelta(weeks=WEEKS, days=5)


def looked_back(history: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A first model, and one of a later job that looked back at it."""
    written(history / "purchases.parquet", shop(220, seed=8))
    before, _ = ran(history, "one", EARLIER)
    stored = history / "model.json"
    stored.write_text(json.dumps(before["judgement"]["artefact"]))
    # Baskets are five times as large since then: nobody knows yet what comes of that.
    dearer = {
        name: [(days, amount * (5 if days < 7 * WEEKS + 5 else 1)) for days, amount in purchases]
        for name, purchases in shop(220, seed=8).items()
    }
    written(history / "dearer.parquet", dearer)
    return before, ran(history, "two", **again(history))[0]


def again(history: Path) -> dict[str, Any]:
    """What the later job is told."""
    stored = history / "model.json"
    digest = hashlib.sha256(stored.read_bytes()).hexdigest()
    champion = {"name": "models/one", "role": "champion", "url": str(stored), "sha256": digest}
    return {"as_of": AS_OF, "inputs": (str(history / "dearer.parquet"),), "models": [champion]}


def test_a_champion_is_looked_back_at_on_what_it_has_not_learned_and_scores_on(churn_models) -> None:
    history, (before, after) = churn_models
    assert before["judgement"]["candidate"]["state"] == "CHAMPION", before["judgement"]["candidate"]
    assert before["judgement"]["outcomes"] == []
    judgement = after["judgement"]
    (outcome,) = judgement["outcomes"]
    newest = datetime.fromisoformat(after["window_end"])
    assert newest > EARLIER - timedelta(days=1)
    assert (outcome["model"], outcome["degraded"]) == ("models/one", False)
    last = min(day for purchases in shop(220, seed=8).values() for day, _ in purchases)
    assert outcome["weeks"] == pytest.approx(WEEKS + (5 - last) / 7, rel=1e-4)
    assert outcome["customers"] == after["metrics"]["test_customers"], "the newest instant alone is new to it"
    assert outcome["actual"] == after["metrics"]["test_departures"]
    drifts = {drift["feature"]: drift for drift in judgement["drifts"]}
    assert drifts.keys() == {*judgement["features"], "probability"}
    assert drifts["mean_order_value_365d"]["drifted"]
    assert drifts["mean_order_value_365d"]["low"] > 0.2
    assert not any(drifts[name]["drifted"] for name in ("purchases_365d", "days_since_last_purchase"))
    beside = judgement["test"]["champion_deciles"]
    assert sum(tenth["customers"] for tenth in beside) == outcome["customers"]
    assert judgement["test"]["deciles_beside"] == judgement["test"]["deciles"]
    assert [tenth["expected"] for tenth in beside] != [tenth["expected"] for tenth in judgement["test"]["deciles"]]
    gates = {gate["name"]: gate for gate in judgement["candidate"]["gates"]}
    assert "that of the champion models/one on the customers neither has learned from" in gates["champion"]["message"]
    won = judgement["candidate"]["state"] == "CHAMPION"
    assert judgement["scored_with"] == (judgement["artefact"] if won else before["judgement"]["artefact"])
    assert ran(history, "two", **again(history))[1] == "was done already"
