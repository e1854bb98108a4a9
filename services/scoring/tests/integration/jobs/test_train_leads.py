"""The program that trains on leads: what it refuses, what it says of nothing, and that it ends alike."""

import hashlib
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring import parquet
from scoring.jobs import memory, program, train_leads
from scoring.jobs.description import Watched
from scoring.jobs.files import Folder
from scoring.jobs.program import UnusableError
from scoring.jobs.progress import Reporter
from scoring.jobs.propensity_watch import Current, Known, watch
from scoring.jobs.spec import LeadJobSpec
from scoring.models import propensity

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def row(place: int, **changes: Any) -> dict[str, Any]:
    created = NOON - timedelta(days=200) + timedelta(hours=6 * place)
    known = {
        "lead": f"lead-{place}",
        "customer": "",
        "create_time": created,
        "know_time": created,
        "converted": place % 3 == 0,
        "points": place % 50,
        "facts": {"source": "SOURCE_WEB", "has_phone": place % 2 == 0, "message_length": place * 37 % 500},
    }
    return known | changes


def trained(
    folder: Path, rows: list[dict[str, Any]], *models: dict[str, str], as_of: datetime = NOON, **files: str
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    leads, output = folder / "leads.parquet", Folder(str(folder / "result"))
    leads.write_bytes(parquet.leads(rows))
    terms = {"tenant": "acme", "as_of": as_of, "leads": str(leads), "consenting": 1.0, "output": str(folder / "result")}
    spec = LeadJobSpec(**terms, **files, models=models)
    train_leads.run(spec, output, Reporter(output))
    found = output.read_json(program.MODEL)
    assert found is not None
    return found


def test_a_fact_that_was_known_only_later_is_refused(tmp_path) -> None:
    rows = [row(place) for place in range(300)]
    rows[7] = row(7, know_time=NOON)
    with pytest.raises(UnusableError, match="was known only after the row's date in 1 of"):
        trained(tmp_path, rows)


def test_without_any_lead_it_says_so(tmp_path) -> None:
    found = trained(tmp_path, [])
    gate = found["judgement"]["candidate"]["gates"][0]
    assert (gate["name"], gate["passed"]) == ("minimum_data", False)
    assert "there are 0 leads older than 30 days, at least 200 are needed" in gate["message"]


def test_leads_that_do_not_fit_into_memory_are_refused_before_they_are_read(tmp_path, monkeypatch) -> None:
    """Those that only tell what has moved count, too."""
    recent = tmp_path / "recent.parquet"
    recent.write_bytes(parquet.leads([row(place) for place in range(300, 400)]))
    monkeypatch.setattr(memory, "available", lambda: 301_000_000)
    with pytest.raises(UnusableError, match="RESOURCE_EXHAUSTED: 400 leads need about 301 MB; 301 MB are free"):
        trained(tmp_path, [row(place) for place in range(300)], recent=str(recent))


def test_equal_leads_in_another_order_make_an_equal_model(tmp_path) -> None:
    rows = [row(place) for place in range(300)]
    one, other = trained(tmp_path / "one", rows), trained(tmp_path / "other", rows[::-1])
    assert one["version"] == other["version"]
    assert one["judgement"] == other["judgement"]
    assert one["judgement"]["candidate"]["state"] == "REJECTED", "nothing was planted"


def known(folder: Path, name: str, role: str) -> dict[str, str]:
    """A model that an earlier job made in the folder, as a later one is told of it."""
    stored = folder / f"{role}.json"
    made = Folder(str(folder / "result")).read_json(program.MODEL)
    assert made is not None
    stored.write_text(json.dumps(made["judgement"]["artefact"]))
    return {"name": name, "role": role, "url": str(stored), "sha256": hashlib.sha256(stored.read_bytes()).hexdigest()}


THEN = NOON - timedelta(days=45)


def told(place: int, *, turned: bool) -> dict[str, Any]:
    chance = random.Random(place)
    phone = chance.random() < 0.5
    likely = phone != turned
    facts = {"source": "SOURCE_WEB", "has_phone": phone, "message_length": chance.randrange(500)}
    return row(place, facts=facts, converted=chance.random() < (0.7 if likely else 0.1))


def fallen(tmp_path: Path) -> dict[str, Any]:
    """A model beside a champion of the folder `two` that no longer tells leads apart, as the one before it does."""
    trained(tmp_path / "one", [told(place, turned=False) for place in range(500)], as_of=THEN)
    trained(tmp_path / "two", [told(place, turned=True) for place in range(500)], as_of=THEN)
    champion = known(tmp_path / "two", "models/two", "champion")
    before = [known(tmp_path / "one", f"models/{role}", role) for role in ("previous", "challenger")]
    both = [told(place, turned=place < 500) for place in range(700)]
    # Half of the leads since then come another way and write nothing.
    events = [{"source": "SOURCE_EVENT", "has_phone": place % 2 == 0} for place in range(200)]
    young = [row(700 + place, facts=facts) for place, facts in enumerate(events)]
    (tmp_path / "recent.parquet").write_bytes(parquet.leads(young))
    return trained(tmp_path / "three", both, champion, *before, recent=str(tmp_path / "recent.parquet"))


def test_a_champion_that_no_longer_tells_leads_apart_gives_way_to_the_one_before(fallen_leads, tmp_path) -> None:
    """Whom the champion takes for likely no longer is: what the one before learned holds again."""
    folder, made = fallen_leads
    found = made["judgement"]
    outcomes = {outcome["model"]: outcome for outcome in found["outcomes"]}
    outcome, other = outcomes["models/two"], outcomes["models/previous"]
    assert (outcome["customers"], outcome["degraded"]) == (200, True)
    assert outcome["error"]["low"] > 1 > outcome["promised"]
    # The outcome of the newest lead was known 30 days after it.
    newest = datetime.fromisoformat(made["window_end"])
    assert outcome["weeks"] == pytest.approx((newest + timedelta(days=30) - THEN) / timedelta(weeks=1), rel=1e-4)
    assert outcome["weeks"] == pytest.approx((45 - 0.25) / 7 + 5 / 7, rel=1e-4)
    assert not other["degraded"]
    assert outcomes["models/challenger"] == {**other, "model": "models/challenger"}
    assert sum(tenth["customers"] for tenth in other["deciles"]) == other["customers"] == 200
    assert found["rollback"]["falls"]
    assert "the model before it has" in found["rollback"]["message"]
    assert (found["champion"], found["standing"]) == ("models/two", "models/previous")
    drifted = {drift["feature"]: drift for drift in found["drifts"]}
    assert {name for name, drift in drifted.items() if drift["drifted"]} == {"source", "message_length", "probability"}
    assert all(drift["low"] <= drift["psi"] <= drift["high"] for drift in drifted.values())
    # Beside the candidate, on the leads that neither has learned from.
    sizes = [
        sum(tenth["customers"] for tenth in found["test"][name]) for name in ("deciles_beside", "champion_deciles")
    ]
    assert sizes == [200, 200]
    champion = known(folder / "two", "models/two", "champion")
    steady = trained(tmp_path / "four", [told(place, turned=True) for place in range(700)], champion)
    (outcome,) = steady["judgement"]["outcomes"]
    assert not outcome["degraded"]
    assert not steady["judgement"]["rollback"]["falls"]
    drifts = {drift["feature"]: drift["drifted"] for drift in steady["judgement"]["drifts"]}
    assert drifts.keys() == {*train_leads.PURPOSE.features, "probability"}
    assert not any(drifts.values())


def test_a_champion_is_not_held_against_a_model_that_has_learned_from_what_happened_since(fallen_leads) -> None:
    """As when somebody promotes an older model: the one before it knows the leads that it fails on."""
    folder, _ = fallen_leads
    data = train_leads._leads(train_leads._rows(str(folder / "three" / "leads.parquet")))
    champion, before = (
        propensity.load(json.loads((folder / name).read_text())) for name in ("two/champion.json", "one/previous.json")
    )
    current = Current(data.table.take(np.arange(0)), data.dates[:0])

    def watched(newest: int) -> Watched[Known]:
        one = Known("models/one", "previous", replace(before, newest=newest))
        return watch(data, current, 30, [Known("models/two", "champion", champion), one])

    for newest, falls in ((before.newest, True), (int(data.dates.max().astype(np.int64)), False)):
        found = watched(newest)
        assert (found.outcomes[0]["degraded"], found.falls) == (True, falls)


def test_leads_of_a_few_customers_prove_nothing(tmp_path) -> None:
    found = trained(tmp_path, [row(place, customer=f"customers/{place % 12}") for place in range(400)])
    gate = found["judgement"]["candidate"]["gates"][0]
    assert (gate["name"], gate["passed"]) == ("minimum_data", False)
    assert "4 customers with converted leads to be tested on, at least 20 are needed" in gate["message"]
    assert found["metrics"] == {}


def test_drift_is_that_of_customers_by_the_newest_lead_of_each() -> None:
    rows = [row(place, customer=["customers/a", "customers/b", ""][place % 3]) for place in range(9)]
    newest = [rows[place]["facts"]["message_length"] for place in (8, 7, 6, 5, 2)]
    current = train_leads._current([{**each, "facts": json.dumps(each["facts"])} for each in reversed(rows)])
    assert list(current.since(0).values["message_length"]) == newest
