"""Models of offers one after another: compared with the champion, looked back at, taken back, and made again."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from scoring.jobs import offer_watch, program, reproduce, train_offers
from scoring.jobs.files import Folder, sha256
from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.program import UnusableError
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import KnownModel
from scoring.models.offers import artefact
from scoring.models.offers.calibration import Calibration

from .test_train_offers import NOON, lines, made, shop

BEFORE = NOON - timedelta(days=100)
WHOLE = "offer_model.npz"


def known(folder: Path, role: str, name: str = WHOLE) -> KnownModel:
    """The model that a job made there."""
    file = folder / "result" / name
    with file.open("rb") as opened:
        return KnownModel(name=f"models/{folder.name}", role=role, url=str(file), sha256=sha256(opened))


def changed(folder: Path, to: Path, **changes: Any) -> KnownModel:
    """As a champion, the model that a job made there with something else."""
    with (folder / "result" / WHOLE).open("rb") as file:
        stored = artefact.load(file)
    model = replace(stored.model, **changes.pop("model", {}))
    (to / "result").mkdir(parents=True)
    with (to / "result" / WHOLE).open("wb") as file:
        artefact.dump(replace(stored, model=model, **changes), file)
    return known(to, "champion")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return shop(300, 12)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Path:
    """What the job of a hundred days ago made."""
    folder = tmp_path_factory.mktemp("jobs") / "first"
    assert made(folder, rows, as_of=BEFORE)["judgement"]["candidate"]["state"] == "CHAMPION"
    return folder


@pytest.fixture(scope="module")
def later(first: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the job of now made beside that."""
    return made(first.parent / "later", rows, models=(known(first, "champion"),))


def test_a_model_without_proof_against_the_champion_is_challenger_and_the_champion_offers(
    later: dict[str, Any], first: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    told = later["judgement"]
    assert told["candidate"]["state"] == "CHALLENGER", told["candidate"]["gates"]
    gate = told["candidate"]["gates"][-1]
    assert (gate["name"], gate["passed"]) == ("champion", False)
    assert "in 90 days that neither has learned from" in gate["message"]
    assert told["test"]["beside"]["tested"] == told["test"]["customers"]
    assert (told["champion"], told["standing"], "stand_in" in told) == ("models/first", "models/first", False)
    assert later["scored_with"]["model"] == "models/first"
    assert told["artefact_file"] == WHOLE, "it is kept whole, to be promoted"
    released = {"task": "score", "models": (known(first, "champion"),)}
    scored = offered(tmp_path, first.parent / "later" / "0.parquet", **released)
    assert scored == later["offers"], "what the champion told, to the bit"


def offered(folder: Path, lines: Path, **told: Any) -> dict[str, Any]:
    output = Folder(str(folder))
    spec = OfferJobSpec(tenant="acme", as_of=NOON, consenting=1.0, inputs=(str(lines),), output=str(folder), **told)
    train_offers.run(spec, output, Reporter(output))
    with output.open(train_offers.OFFERS) as file:
        return {row.pop("customer"): row for row in pq.read_table(file).to_pylist()}


def test_hits_that_came_are_held_against_those_promised_and_customers_against_those_of_then(
    later: dict[str, Any], first: Path
) -> None:
    (outcome,) = later["judgement"]["outcomes"]
    (promised,) = {outcome["promised"]}
    with (first / "result" / WHOLE).open("rb") as file:
        stored = artefact.load(file)
    assert (outcome["model"], outcome["weeks"]) == ("models/first", 8)
    assert promised == stored.promised[56]
    assert outcome["expected"] == pytest.approx(promised * outcome["customers"], rel=1e-5)
    rate = outcome["hit_rate"]
    assert rate["value"] == pytest.approx(outcome["actual"] / outcome["customers"], rel=1e-5)
    assert rate["low"] < promised < rate["high"]
    assert not outcome["degraded"]
    drifts = {each["feature"]: each for each in later["judgement"]["drifts"]}
    assert drifts.keys() == {"products_bought", "days_since_bought", "product", "probability"}
    assert drifts["probability"]["score"]
    assert not drifts["product"]["drifted"], "they buy the same products as before"
    assert drifts["products_bought"]["drifted"], "and less of them: the shop runs out"


def test_a_champion_that_breaks_its_promise_gives_way_to_the_model_before_it(
    first: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    # It ranks the products last that it would rank first.
    with (first / "result" / WHOLE).open("rb") as file:
        good = artefact.load(file).model
    assert good.weights is not None
    wrong = changed(first, tmp_path / "wrong", model={"weights": -good.weights, "prior": -good.prior})
    models = (wrong, known(first, "previous"))
    told = made(tmp_path / "job", rows, models=models)
    judgement = told["judgement"]
    assert judgement["rollback"]["falls"]
    assert "; the model before it has " in judgement["rollback"]["message"]
    assert (judgement["champion"], judgement["standing"]) == ("models/wrong", "models/first")
    assert {each["model"]: each["degraded"] for each in judgement["outcomes"]} == {
        "models/wrong": True,
        "models/first": False,
    }
    assert told["scored_with"]["model"] == "models/first"
    evaluated = evaluation(tmp_path / "evaluated", tmp_path / "job" / "0.parquet", models)
    assert evaluated["judgement"] == {name: judgement[name] for name in evaluated["judgement"]}
    kept = made(tmp_path / "alone", rows, models=(wrong,))["judgement"]
    assert (kept["rollback"]["falls"], kept["standing"]) == (False, "models/wrong")
    assert kept["candidate"]["state"] == "CHAMPION", "which is better than a champion like that"


def evaluation(folder: Path, lines: Path, models: tuple[KnownModel, ...]) -> dict[str, Any]:
    output = Folder(str(folder))
    spec = OfferJobSpec(
        task="evaluate", tenant="acme", as_of=NOON, inputs=(str(lines),), models=models, output=str(folder)
    )
    train_offers.run(spec, output, Reporter(output))
    assert train_offers.OFFERS not in output.names()
    found = output.read_json(program.MODEL)
    assert found is not None
    return found


def test_a_champion_that_knows_as_much_or_more_is_no_measure(
    first: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    same = made(tmp_path / "same", rows, as_of=BEFORE, models=(known(first, "champion"),))
    assert same["judgement"]["candidate"]["state"] == "CHAMPION"
    assert "nothing new was bought since" in same["judgement"]["candidate"]["gates"][-1]["message"]
    assert (same["judgement"]["outcomes"], same["judgement"]["drifts"]) == ([], [])
    back = made(tmp_path / "back", rows, as_of=BEFORE - timedelta(days=1), models=(known(first, "champion"),))
    assert back["judgement"]["candidate"]["state"] == "CHALLENGER"
    assert "it goes on" in back["judgement"]["candidate"]["gates"][-1]["message"]


def test_what_is_popular_is_no_champion_to_beat_and_is_renewed(
    first: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    few = made(tmp_path / "few", shop(20), as_of=BEFORE)
    assert few["judgement"]["stand_in"]["artefact_file"] == "stand_in.npz"
    popular = known(tmp_path / "few", "champion", "stand_in.npz")
    again = made(tmp_path / "again", shop(20), models=(popular,))["judgement"]
    assert again["stand_in"]["parameters"]["offers"]["model"] == "popularity"
    better = made(tmp_path / "better", rows, models=(popular,))["judgement"]
    assert better["candidate"]["state"] == "CHAMPION"
    assert [gate["name"] for gate in better["candidate"]["gates"]][-1] == "calibration"


@pytest.mark.parametrize("which", ["first", "later"])
def test_past_offers_are_made_again_to_the_bit(
    later: dict[str, Any], first: Path, which: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = first.parent / which / "result"
    names = sorted(later["offers"])
    for name in names[::40]:
        found = reproduce.reproduce(Folder(str(address)), name)
        assert found is not None
        assert found.equal, name
    assert found.recorded["history_product"]
    monkeypatch.setattr("sys.argv", ["reproduce", "--result", str(address), "--customer", names[0]])
    assert reproduce.main() == 0
    told = json.loads(capsys.readouterr().out)
    assert told["equal"]
    assert told["computed"]["products"] == told["recorded"]["products"]
    assert reproduce.reproduce(Folder(str(address)), "customers/nobody") is None


def test_a_model_that_is_not_what_was_stored_is_refused(
    first: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    damaged = known(first, "champion").model_copy(update={"sha256": "0" * 64})
    with pytest.raises(UnusableError, match="models/first: its stored form is not what was stored"):
        made(tmp_path, rows, models=(damaged,))


def test_training_alone_offers_nothing(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    made(lines, rows[:50])
    output = Folder(str(tmp_path / "result"))
    spec = OfferJobSpec(
        task="train", tenant="acme", as_of=NOON, inputs=(str(lines / "0.parquet"),), output=str(tmp_path / "result")
    )
    train_offers.run(spec, output, Reporter(output))
    assert not {train_offers.OFFERS, train_offers.ASSOCIATIONS} & output.names()
    assert "stand_in.npz" in output.names()


def test_tenths_of_told_probabilities_come_once_the_horizon_has_passed(first: Path, tmp_path: Path) -> None:
    curve = Calibration(np.array([0.0, 0.2]), np.array([0.0, 0.4]), np.array([0.0, 0.3]), np.array([0.1, 0.5]))
    assert offer_watch.deciles(None) == []
    told = changed(first, tmp_path / "told", model={"of_new": curve})
    judgement = made(tmp_path / "job", shop(300, 12), models=(told,))["judgement"]
    (outcome,) = judgement["outcomes"]
    expected = [tenth["expected"] for tenth in outcome["deciles"]]
    assert expected == sorted(expected)
    assert len(expected) > 2
    assert sum(tenth["customers"] for tenth in outcome["deciles"]) % 10 == 0, "ten offers of each customer"
    assert outcome["deciles"][-1]["actual"] > outcome["deciles"][0]["actual"]


def test_a_champion_offers_what_came_after_it_had_learned_and_so_made_is_made_again(
    first: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    came = [line for who in range(0, 300, 5) for line in lines(who, "new", 5 + who % 40, "n01")]
    folder = tmp_path / "job"
    found = made(folder, rows + came, models=(known(first, "champion"),))
    assert (found["scored_with"]["model"], found["newcomers"]) == ("models/first", 1)
    offered_to = 0
    for name, row in found["offers"].items():
        why = dict(zip(row["products"], row["reasons"], strict=True))
        place = row["products"].index("n01")
        if row["bought_day"][place] < 0:
            offered_to += 1
            assert why["n01"].startswith("because it is new and many buy it: "), why["n01"]
            assert row["probability"][place] is not None or row["probability"][0] is None
        if name.endswith("7"):
            again = reproduce.reproduce(Folder(str(folder / "result")), name)
            assert again is not None
            assert again.equal, name
    assert offered_to > 200
    scored = offered(tmp_path / "scored", folder / "0.parquet", task="score", models=(known(first, "champion"),))
    assert scored == found["offers"]
    with (folder / "result" / WHOLE).open("rb") as file:
        assert "n01" in artefact.load(file).model.names, "the challenger has learned it"
