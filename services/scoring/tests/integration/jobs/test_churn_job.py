"""The program of churn: whose purchases it reads, and how it looks back at the model that scored before."""

import hashlib
import json
import re
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import parquet
from scoring.domain import churn_rules
from scoring.features.loading import LEFT_OUT
from scoring.features.rates import DayRates
from scoring.features.table import DAY_US, Events
from scoring.jobs import buyers, churn, day_rates, layout, memory, people, progress, propensity, tasks
from scoring.jobs import refunds as noting
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder
from scoring.jobs.launch import launch
from scoring.jobs.program import MODEL, UnusableError
from scoring.jobs.progress import Reporter, State
from scoring.jobs.spec import ChurnJobSpec
from scoring.models import churn as churn_model
from testkit import eventually

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


def bought(
    folder: Path, files: list[str], rates: DayRates, *, partitions: int = 2, **who: str | None
) -> tuple[dict[str, list[int]], dict[str, int]]:
    """The amounts of each customer, over all partitions, and how many rows are left out."""
    address = str(folder / f"divided-{len(list(folder.iterdir()))}")
    output = Folder(address)
    found = [tasks.inspect(file) for file in files]
    _, aliases, excluded = people.resolve(output, who.get("aliases"), who.get("exclude"))
    until = round(AS_OF.timestamp() * 1e6)
    refunds = noting.note(InProcess(), found, output)
    bounds = layout.bounds(found, partitions)
    division = buyers.Division(address, "f" * 64, until, rates, bounds, aliases, excluded, refunds)
    group = buyers.Group(division, 0, layout.grouped(found)[0])
    told = buyers.divide(group)
    assert buyers.divide(group) == told, "it is there already"
    amounts: dict[str, list[int]] = {}
    for number in range(partitions):
        names, customers = buyers.read(address, (group.file,), number, partitions, 2)
        for code, name in enumerate(names.to_pylist()):
            assert name not in amounts
            amounts[name] = sorted(customers.events.amount[customers.events.customer == code].tolist())
    assert list(amounts) == sorted(amounts)
    return amounts, {name: told[name] for name in LEFT_OUT}


def test_merged_customers_are_one_and_excluded_ones_are_nobody(tmp_path) -> None:
    known = {"customers/a": [(10.0, 1)], "customers/b": [(20.0, 2)], "customers/c": [(5.0, 3)]}
    known |= {"customers/d": [(1.0, 4)], "customers/e": [(-1.0, 5)]}
    files = [written(tmp_path / "one.parquet", known)]
    files += [written(tmp_path / "other.parquet", {"customers/b": [(30.0, 6)], "customers/f": [(3.0, 7)]}, "USD")]
    aliases = names(tmp_path, "aliases", customer=["customers/b"], canonical=["customers/a"])
    exclude = names(tmp_path, "exclude", customer=["customers/d"])
    found, left_out = bought(tmp_path, files, DayRates("EUR"), aliases=aliases, exclude=exclude)
    assert found == {"customers/a": [1, 2], "customers/c": [3]}
    assert left_out == {"unusable": 0, "no_rate": 2}
    # Who merged with somebody that is left out is left out, too.
    exclude = names(tmp_path, "exclude", customer=["customers/b"])
    found, _ = bought(tmp_path, files, DayRates("EUR"), aliases=aliases, exclude=exclude, partitions=3)
    assert found == {"customers/c": [3], "customers/d": [4]}


def test_other_currencies_count_by_the_rate_of_their_day_and_are_left_out_a_week_after_the_last(tmp_path) -> None:
    written(tmp_path / "purchases.parquet", {"customers/a": [(40.0, 500)]})
    abroad = {"customers/b": [(20.0, 1000), (13.0, 1000), (12.0, 1000)], "customers/c": [(30.0, 1000)]}
    abroad["customers/b"].append((22.0, -1))  # a refund of half a cent, which is none and no purchase either
    written(tmp_path / "abroad.parquet", abroad, "USD")
    rates = tmp_path / "rates.csv"
    days = [(AS_OF - timedelta(days=ago)).date() for ago in (25, 20)]
    rates.write_text(f"Date,USD\n{days[0]},2\n{days[1]},1.25\n")
    table, _ = day_rates.read(str(rates), "EUR")
    inputs = tuple(str(tmp_path / name) for name in ("purchases.parquet", "abroad.parquet"))
    found, counts = bought(tmp_path, list(inputs), table)
    assert found == {"customers/a": [500], "customers/b": [800, 800]}, "before the first day there is no rate either"
    assert counts == {"unusable": 0, "no_rate": 2}
    for content, left_out in ((None, 5), (f"Date,USD\n{days[1]},1.25\n", 3), (f"Date,USD\n{days[0]},2\n", 3)):
        if content is not None:
            rates.write_text(content)
        _, message = ran(tmp_path, "out", AS_OF, inputs=inputs, rates=content and str(rates))
        assert f"{left_out} purchases without a rate to EUR are left out" in message
    assert ran(tmp_path, "out", AS_OF, inputs=inputs, rates=str(rates))[1] == "was done already"
    rates.write_text("Date,USD\nyesterday,2\n")
    with pytest.raises(UnusableError, match="line 2: Date is no date"):
        ran(tmp_path, "out", AS_OF, inputs=inputs, rates=str(rates))


def test_a_refund_finds_the_purchase_of_its_order_in_whatever_file(tmp_path) -> None:
    days = {"one": [("a", 30.0, 900), ("b", 20.0, 700)], "other": [("a", 10.0, -400), ("", 5.0, -100)]}
    files = []
    for name, orders in days.items():
        rows = [
            {
                "customer": "customers/a",
                "order_id": order,
                "event_time": AS_OF - timedelta(days=ago),
                "amount_minor": amount,
                "currency": "EUR",
            }
            for order, ago, amount in orders
        ]
        (tmp_path / name).write_bytes(parquet.purchases(rows))
        files.append(str(tmp_path / name))
    address = str(tmp_path / "out")
    output = Folder(address)
    found = [tasks.inspect(file) for file in files]
    people.resolve(output, None, None)
    until = round(AS_OF.timestamp() * 1e6)
    assert noting.note(InProcess(), found, output)
    division = buyers.Division(address, "f" * 64, until, DayRates("EUR"), (), False, False, True)
    group = buyers.Group(division, 0, layout.grouped(found)[0])
    buyers.divide(group)
    _, customers = buyers.read(address, (group.file,), 0, 1, 2)
    at = until - 7 * DAY_US
    assert customers.table(at, customers.active(at)).values["revenue_90d"].tolist() == [12.0], "900 - 400 + 700"


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    url = written(tmp_path / "purchases.parquet", {f"customers/{n}": [(10.0, 1)] * 10 for n in range(1000)})
    large = memory.Need(task=100_000_000, purchase=5_000)
    monkeypatch.setattr(memory, "CHURN", large)
    for memory_mb, why in (
        (150, "10000 purchases in 1 partitions, 1 at a time, need about 200 MB; .* Set partitions to 2 or more"),
        (100, "More partitions do not help: give the job more memory"),
        (250, "Training a model of churn on 0 rows needs about 300 MB; 250 MB are free. Give the job more memory"),
    ):
        with pytest.raises(UnusableError, match=f"RESOURCE_EXHAUSTED: .*{why}"):
            ran(tmp_path, "out", AS_OF, inputs=(url,), partitions=1, memory_mb=memory_mb)
    monkeypatch.setattr(memory, "available", lambda: 150_000_000)
    with pytest.raises(UnusableError, match="1 at a time, need about 200 MB; 150 MB are free"):
        ran(tmp_path, "out", AS_OF, inputs=(url,), partitions=1)


def test_little_memory_where_a_job_was_started_does_not_matter_to_tasks_on_other_machines(history, monkeypatch) -> None:
    of_nodes = InProcess(16)
    monkeypatch.setattr(churn, "_executor", lambda *_: nullcontext(of_nodes))
    monkeypatch.setattr(memory, "available", lambda: 1_000_000_000)
    assert ran(history, "elsewhere", AS_OF, task="evaluate")[0]["judgement"]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("churn")
    written(folder / "purchases.parquet", shop(220, seed=8))
    return folder


def ran(folder: Path, name: str, as_of: datetime, **known: Any) -> tuple[dict[str, Any], str]:
    """model.json, and what the job ended with."""
    values = {"tenant": "acme", "as_of": as_of, "horizon_weeks": WEEKS, "currency": "EUR", "digits": 2}
    values |= {"inputs": (str(folder / "purchases.parquet"),), "consenting": 1.0, "output": str(folder / name)}
    spec = ChurnJobSpec(**({"executor": "in_process", "threads": 1, "partitions": 2} | values | known))
    output = Folder(spec.output)
    churn.whole(spec, output, Reporter(output))
    found, told = output.read_json(MODEL), output.read_json("progress.json")
    assert found is not None
    assert told is not None
    return found, told["message"]


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


def test_rows_and_risks_are_the_same_however_customers_are_divided(churn_models, tmp_path, monkeypatch) -> None:
    history, _ = churn_models
    table = pq.read_table(history / "dearer.parquet")
    mixed = [str(tmp_path / f"mixed-{place}.parquet") for place in range(3)]
    order = np.random.default_rng(3).permutation(len(table))
    for place, path in enumerate(mixed):
        pq.write_table(table.take(pa.array(order[place::3])), path, row_group_size=500)
    made: list[propensity.Material] = []
    scoring = again(history) | {"task": "score"}
    # Fewer rows than there are: who is learned from must not depend on who is in which partition.
    monkeypatch.setattr(churn_rules, "ROWS_MOST", 600)
    monkeypatch.setattr(
        propensity, "evaluated", lambda material, *_: made.append(material) or {"message": "", "judgement": {}}
    )
    risks = []
    for partitions, inputs, threads in ((1, scoring["inputs"], 1), (3, tuple(mixed), 2)):
        given = scoring | {"inputs": inputs, "partitions": partitions, "threads": threads}
        name = f"divided-{partitions}"
        _, message = ran(tmp_path, name, given.pop("as_of"), **given)
        paths = sorted((tmp_path / name).glob("scores-*.parquet"))
        assert len(paths) == partitions
        risks.append(pa.concat_tables([pq.read_table(path).replace_schema_metadata() for path in paths]))
        given = again(history) | {"task": "evaluate", "partitions": partitions, "inputs": inputs}
        _, message = ran(tmp_path, f"rows-{partitions}", given.pop("as_of"), **given)
        assert "of 220 customers, chosen by a hash of their names" in message
    assert repr(risks[0].to_pylist()) == repr(risks[1].to_pylist()), "to the last bit"
    assert risks[0].num_rows > 100
    one, other = made
    assert 500 < len(one.data) <= 600
    assert (one.newest, len(one.learn), len(one.test)) == (other.newest, len(other.learn), len(other.test))
    for seen, wanted in ((one.data.table, other.data.table), (one.reference, other.reference)):
        np.testing.assert_array_equal(seen.ids, wanted.ids)
        for name, values in seen.values.items():
            np.testing.assert_array_equal(values, wanted.values[name], err_msg=name)
    for name in ("dates", "labels", "rival"):
        np.testing.assert_array_equal(getattr(one.data, name), getattr(other.data, name))


@pytest.mark.usefixtures("warm")
def test_killed_or_cancelled_while_it_scores_it_goes_on_from_the_last_finished_partition(
    churn_models, tmp_path, failpoint, monkeypatch, capsys
) -> None:
    history, _ = churn_models
    values = {"tenant": "acme", "horizon_weeks": WEEKS, "currency": "EUR", "digits": 2, "consenting": 1.0}
    values |= again(history) | {"task": "score", "executor": "in_process", "threads": 1, "partitions": 4}
    spec = ChurnJobSpec(**values, output=str(tmp_path / "out"))
    with failpoint("scoring.jobs.churn_tasks:score", call=3) as there:
        handle = launch(spec, tmp_path / "job", program="scoring.jobs.churn")
    there.wait()
    assert eventually(lambda: handle.pid is None and handle.poll(), timeout=20).state is State.FAILED
    assert len(list((tmp_path / "out").glob("scores-*.parquet"))) == 2
    with failpoint("scoring.jobs.churn_tasks:score", call=4, action="pause") as there:
        handle = launch(spec, tmp_path / "job", program="scoring.jobs.churn")
    there.wait()
    assert handle.cancel().state is State.CANCELLED
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("scores-*.parquet")}
    assert len(done) == 3
    monkeypatch.setattr(churn, "_fit", None)  # what it found is there
    monkeypatch.setattr(progress, "_LEAST_INTERVAL_S", 0)
    output = Folder(spec.output)
    capsys.readouterr()
    churn.whole(spec, output, Reporter(output))
    told = re.findall(r"score (\d+)% rows=(\d+) .*in this process, 1 thread", capsys.readouterr().err)
    assert [int(percent) for percent, _ in told] == [78, 85, 92, 100]
    rows = [int(rows) for _, rows in told]
    assert rows == sorted(set(rows))
    for name, when in done.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == when, "a finished partition was made again"
    monkeypatch.undo()
    whole = spec.model_copy(update={"output": str(tmp_path / "whole")})
    churn.whole(whole, Folder(whole.output), Reporter(Folder(whole.output)))
    left, wanted = (
        {path.name: path.read_bytes() for path in Path(each.output).iterdir() if path.name != "progress.json"}
        for each in (spec, whole)
    )
    assert sorted(left) == ["_SUCCESS", "model.json", *(f"scores-{number:04d}.parquet" for number in range(4))]
    assert left == wanted
