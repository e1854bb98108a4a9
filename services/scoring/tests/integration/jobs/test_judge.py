"""Models judged where the customers are: passed, refused, taken back, watched; and past scores made again."""

import hashlib
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scoring.jobs import dividing, reproduce, windows
from scoring.jobs.files import Folder
from scoring.jobs.known_models import LostModelError
from scoring.jobs.spec import JobSpec
from scoring.models import artefact

from .conftest import AS_OF, DAY_US, Shop, model_of, row, scores_of

WEEKS_AGO = {weeks: AS_OF - timedelta(weeks=weeks) for weeks in (13, 26)}


def judgement(spec: JobSpec) -> dict[str, Any]:
    found: dict[str, Any] = model_of(spec)["judgement"]
    return found


def known(shop: Shop, spec: JobSpec, role: str, name: str = "", **changes: Any) -> dict[str, Any]:
    """The model an earlier job made, stored as role `run` does; `changes` are of what is stored."""
    body = json.dumps({**judgement(spec)["artefact"], **changes}).encode()
    digest = hashlib.sha256(body).hexdigest()
    path = shop.folder / f"{digest}.json"
    path.write_bytes(body)
    return {"name": name or f"models/{role}", "role": role, "url": str(path), "sha256": digest}


def without_gates(told: dict[str, Any]) -> tuple[str, list[str]]:
    return told["candidate"]["state"], [gate["name"] for gate in told["candidate"]["gates"] if not gate["passed"]]


def shifted(table: pa.Table, since: int) -> pa.Table:
    """From a day on nobody buys any more who did before, and those who had stopped buy every ten days."""
    time = table.column("event_time").cast(pa.int64()).to_numpy()
    start = int(AS_OF.timestamp() * 1e6) - since * DAY_US
    before = table.filter(pa.array(time <= start))
    last = before.group_by("customer").aggregate([("event_time", "max")])
    stopped = last.filter(pc.less(last.column("event_time_max").cast(pa.int64()), start - 150 * DAY_US))
    names = stopped.column("customer").to_pylist()[:60]
    later = [row(name, AS_OF - timedelta(days=day)) for name in names for day in range(1, since, 10)]
    return pa.concat_tables([before, pa.Table.from_pylist(later, table.schema)])


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, all_purchases: pa.Table) -> JobSpec:
    """A job of 13 weeks ago, done."""
    shop = Shop(tmp_path_factory.mktemp("old"), all_purchases)
    spec = shop.spec("old", as_of=WEEKS_AGO[13])
    shop.run(spec)
    return spec


@pytest.fixture(scope="module")
def rejected(tmp_path_factory: pytest.TempPathFactory, all_purchases: pa.Table, old: JobSpec) -> JobSpec:
    """A job whose model does not pass, beside the one of 13 weeks ago."""
    shop = Shop(tmp_path_factory.mktemp("rejected"), shifted(all_purchases, 91))
    spec = shop.spec("new", models=[known(shop, old, "champion")])
    shop.run(spec)
    return spec


def test_a_first_model_passes_its_gates_and_promises_an_error(shop: Shop) -> None:
    spec = shop.spec("first", consenting=0.9)
    shop.run(spec)
    told = judgement(spec)
    assert without_gates(told) == ("CHAMPION", [])
    assert [gate["name"] for gate in told["candidate"]["gates"]] == [
        "minimum_data",
        "consenting_share",
        "baseline",
        "calibration",
        "spend",
        "revenue",
    ]
    promised = told["artefact"]["promised"]
    assert set(promised) == {"91", "56", "28"}
    assert 0 < promised["91"] < promised["28"] < 1  # a longer time is told better than a shorter one
    assert sum(tenth["customers"] for tenth in told["test"]["deciles"]) == told["test"]["customers"]
    assert told["artefact"]["feature_histograms"].keys() == told["features"].keys()
    assert "stand_in" not in told
    money = told["test"]["revenue"]
    assert money["customers"] == told["test"]["customers"]
    time = shop.table.column("event_time").cast(pa.int64()).to_numpy() // DAY_US
    cut = int(WEEKS_AGO[13].timestamp() * 1e6) // DAY_US
    known_then = set(shop.table.column("customer").filter(pa.array(time <= cut)).to_pylist())
    bought = zip(
        shop.table.column("customer").to_pylist(), time, shop.table.column("amount_minor").to_pylist(), strict=True
    )
    assert money["actual"] == sum(amount for name, day, amount in bought if day > cut and name in known_then)
    tenths = sum(tenth["actual"] * tenth["customers"] for tenth in money["deciles"])
    assert tenths == pytest.approx(money["actual"], rel=1e-4)
    assert money["against_mean_spend"]["high"] < 0, "customers differ in what they spend, and the model tells how"
    assert abs(money["total_error"]) < 0.15
    most = told["artefact"]["promised_revenue"]
    assert most.keys() == promised.keys()
    assert money["error"]["high"] == most["91"]


def test_the_champion_is_compared_on_the_same_customers_and_a_like_one_takes_its_place(
    shop: Shop, old: JobSpec
) -> None:
    new = shop.spec("new", models=[known(shop, old, "champion")])
    shop.run(new)
    told = judgement(new)
    assert (told["champion"], told["standing"]) == ("models/champion", "models/champion")
    assert without_gates(told) == ("CHAMPION", [])
    test = told["test"]
    assert test["against_champion"]["low"] < 0.01
    assert [tenth["customers"] for tenth in test["champion_deciles"]]
    (outcome,) = told["outcomes"]
    assert (outcome["weeks"], outcome["degraded"]) == (13, False)
    # Days are whole: who began later on the model's own day counts, too.
    assert 0 <= outcome["customers"] - model_of(old)["customers"] < 10
    realised = sum(tenth["actual"] * tenth["customers"] for tenth in outcome["deciles"])
    assert realised == pytest.approx(outcome["actual"], rel=1e-4)
    assert outcome["expected"] == pytest.approx(outcome["actual"], rel=0.15)
    assert outcome["error"]["low"] < outcome["promised"] * 1.15
    money = outcome["revenue"]
    assert money["expected"] == pytest.approx(money["actual"], rel=0.15)
    assert money["error"]["low"] < money["promised"]
    assert not money["degraded"]
    assert not told["rollback"]["falls"]


def test_a_model_that_does_not_pass_scores_nobody_and_the_champion_goes_on(old: JobSpec, rejected: JobSpec) -> None:
    scores = scores_of(rejected)
    told = judgement(rejected)
    state, failed = without_gates(told)
    assert state == "REJECTED"
    assert "baseline" in failed
    assert told["scored_with"] == judgement(old)["artefact"]["choice"]
    assert model_of(rejected)["parameters"]["purchases"] != model_of(old)["parameters"]["purchases"]
    restored = artefact.load(told["scored_with"])
    x, age = scores["frequency"].to_numpy(), scores["age_weeks"].to_numpy()
    alive = restored.purchases.p_alive(x, scores["recency_weeks"].to_numpy(), age)[0]
    assert np.abs(scores["p_alive"].to_numpy() - alive).max() < 2e-6


def test_without_a_champion_mean_rates_stand_in_and_say_why(shop: Shop, shop_of) -> None:
    spec = shop_of(shifted(shop.table, 91)).spec("only")
    scores = Shop.run(spec)
    told = judgement(spec)
    assert told["candidate"]["state"] == "REJECTED"
    assert "did not pass its gates (" in told["stand_in"]["message"]
    assert told["scored_with"]["purchases"]["class"] == "MeanRate"
    assert len(set(scores["expected_purchases"].to_pylist())) == 1


def test_a_champion_that_breaks_its_promise_gives_way_to_the_model_before_it(shop: Shop, old: JobSpec) -> None:
    previous = shop.spec("previous", as_of=WEEKS_AGO[26])
    shop.run(previous)
    good = judgement(old)["artefact"]
    # One that takes everybody for a daily customer.
    wild = {**good["choice"], "purchases": {**good["choice"]["purchases"], "r": 40.0}}
    models = [
        known(shop, old, "champion", choice=wild),
        known(shop, previous, "previous"),
    ]
    new = shop.spec("new", models=models)
    shop.run(new)
    told = judgement(new)
    assert told["rollback"]["falls"]
    assert "it promised" in told["rollback"]["message"]
    assert told["standing"] == "models/previous"
    assert told["candidate"]["state"] == "CHAMPION"  # judged beside the one that came back
    assert {outcome["model"]: outcome["degraded"] for outcome in told["outcomes"]} == {
        "models/champion": True,
        "models/previous": False,
    }
    # One that takes every purchase for a hundred times as dear breaks its promise of revenue alone.
    spend = {**good["choice"]["spend"], "p": good["choice"]["spend"]["p"] * 100}
    dear = shop.spec(
        "dear", models=[known(shop, old, "champion", choice={**good["choice"], "spend": spend}), models[1]]
    )
    shop.run(dear)
    told = judgement(dear)
    (outcome,) = (each for each in told["outcomes"] if each["model"] == "models/champion")
    assert (outcome["degraded"], outcome["revenue"]["degraded"]) == (False, True)
    assert (told["rollback"]["falls"], told["standing"]) == (True, "models/previous")
    assert told["rollback"]["message"].startswith("its error of revenue since is")
    alone = shop.spec("alone", models=models[:1])
    shop.run(alone)
    assert not judgement(alone)["rollback"]["falls"]
    assert "no earlier model is there" in judgement(alone)["rollback"]["message"]


def test_without_a_champion_the_mean_spend_stands_in_for_a_spend_model_that_does_not_pass(shop: Shop, shop_of) -> None:
    """Who spent much before spends little in the weeks of the test, and the other way round."""
    names, amounts = (shop.table.column(name).to_pylist() for name in ("customer", "amount_minor"))
    late = pc.greater(shop.table.column("event_time"), pa.scalar(WEEKS_AGO[13], shop.table.schema.field(2).type))
    of_customer: dict[str, list[int]] = {}
    for name, amount in zip(names, amounts, strict=True):
        of_customer.setdefault(name, []).append(amount)
    mean = {name: sum(each) / len(each) for name, each in of_customer.items()}
    turned = [
        round(10_000_000 / mean[name]) if is_late else round(mean[name] ** 2 / 1_000)
        for name, is_late in zip(names, late.to_pylist(), strict=True)
    ]
    place = shop.table.schema.get_field_index("amount_minor")
    spec = shop_of(shop.table.set_column(place, "amount_minor", pa.array(turned, pa.int64()))).spec("turned")
    Shop.run(spec)
    told = judgement(spec)
    state, failed = without_gates(told)
    assert (state, set(failed) <= {"spend", "revenue"}, "spend" in failed) == ("REJECTED", True, True)
    assert told["stand_in"]["message"].startswith("the spend model did not pass its gates (")
    assert told["scored_with"]["spend"]["class"] == "MeanSpend"
    assert told["scored_with"]["purchases"] == told["artefact"]["choice"]["purchases"]
    assert told["stand_in"]["artefact"]["promised"] == told["artefact"]["promised"]


def test_drift_is_seen_where_it_is_and_nowhere_else(shop: Shop, old: JobSpec, shop_of) -> None:
    late = pc.greater(shop.table.column("event_time"), pa.scalar(WEEKS_AGO[26], shop.table.schema.field(2).type))
    dearer = pc.if_else(late, pc.multiply(shop.table.column("amount_minor"), 4), shop.table.column("amount_minor"))
    other = shop_of(shop.table.set_column(3, "amount_minor", dearer))
    new = other.spec("new", models=[known(shop, old, "champion")])
    Shop.run(new)
    drifts = {drift["feature"]: drift for drift in judgement(new)["drifts"]}
    assert drifts.keys() == {
        *("frequency", "recency_weeks", "age_weeks", "monetary_minor"),
        *("p_alive", "expected_purchases", "lifetime_value_minor"),
    }
    assert drifts["monetary_minor"]["drifted"]
    assert not drifts["frequency"]["drifted"]
    assert all(drift["low"] <= drift["psi"] <= drift["high"] for drift in drifts.values())


def test_a_stored_model_that_is_not_what_was_stored_is_refused(shop: Shop, old: JobSpec) -> None:
    model = known(shop, old, "champion")
    with pytest.raises(LostModelError, match="models/champion: its stored form is not what was stored"):
        Shop.run(shop.spec("new", models=[{**model, "sha256": "0" * 64}]))
    with pytest.raises(LostModelError, match="models/champion: its stored form cannot be read"):
        Shop.run(shop.spec("new", models=[{**model, "url": str(shop.folder / "gone.json")}]))


def test_judging_does_not_depend_on_how_customers_are_divided(shop: Shop, old: JobSpec, monkeypatch) -> None:
    model = known(shop, old, "champion")
    monkeypatch.setattr(windows, "REVENUE_CUSTOMERS_MOST", len(set(shop.table.column("customer").to_pylist())) // 2)
    found = []
    for partitions, rows in ((1, dividing.ROUND_ROWS), (5, 700)):
        monkeypatch.setattr(dividing, "ROUND_ROWS", rows)
        spec = shop.spec(f"new{partitions}", models=[model], partitions=partitions, inputs=shop.files("in", partitions))
        shop.run(spec)
        found.append(judgement(spec))
    assert found[0] == found[1]
    some = found[0]["test"]["revenue"]["customers"] / found[0]["test"]["customers"]
    assert 0.4 < some < 0.6, "a half of them, the same half"
    days = shop.table.column("event_time").cast(pa.int64()).to_numpy() // DAY_US
    until = int(WEEKS_AGO[13].timestamp() * 1e6) // DAY_US
    assert found[0]["test"]["customers"] == len(set(shop.table.column("customer").filter(days <= until).to_pylist()))


def test_a_past_score_is_made_again_bit_for_bit(old: JobSpec, tmp_path: Path, capsys, monkeypatch) -> None:
    scores = scores_of(old).to_pylist()
    output = shutil.copytree(old.output.removeprefix("file://"), tmp_path / "result")
    result = Folder(str(output))
    for recorded in scores[:: len(scores) // 40]:
        found = reproduce.reproduce(result, recorded["customer"])
        assert found is not None
        assert found.computed == recorded
        assert found.equal
    # Another model would have told something else: it is this version's numbers that are made again.
    told = result.read_json("model.json")
    assert told is not None
    told["judgement"]["scored_with"]["purchases"]["alpha"] *= 1.5
    result.write_json("model.json", told)
    name = next(each["customer"] for each in scores if each["frequency"] > 0)
    arguments = ["reproduce", "--result", str(output), "--customer"]
    monkeypatch.setattr("sys.argv", [*arguments, name])
    assert reproduce.main() == 1
    assert json.loads(capsys.readouterr().out)["close"] is False
    monkeypatch.setattr("sys.argv", [*arguments, "customers/nobody"])
    assert reproduce.main() == 2


def test_a_score_by_the_champion_is_made_again_too(rejected: JobSpec) -> None:
    recorded = scores_of(rejected).to_pylist()[7]
    found = reproduce.reproduce(Folder(rejected.output), recorded["customer"])
    assert found is not None
    assert found.equal
