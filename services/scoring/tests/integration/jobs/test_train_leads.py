"""The program that trains on leads: what it refuses, what it says of nothing, and that it ends alike."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scoring import parquet
from scoring.jobs import train_leads
from scoring.jobs.files import Folder
from scoring.jobs.program import UnusableError
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import LeadJobSpec

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


def trained(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    leads, output = folder / "leads.parquet", Folder(str(folder / "result"))
    leads.write_bytes(parquet.leads(rows))
    spec = LeadJobSpec(tenant="acme", as_of=NOON, leads=str(leads), consenting=1.0, output=str(folder / "result"))
    train_leads.run(spec, output, Reporter(output))
    found = output.read_json(train_leads.MODEL)
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


def test_equal_leads_in_another_order_make_an_equal_model(tmp_path) -> None:
    rows = [row(place) for place in range(300)]
    one, other = trained(tmp_path / "one", rows), trained(tmp_path / "other", rows[::-1])
    assert one["version"] == other["version"]
    assert one["judgement"] == other["judgement"]
    assert one["judgement"]["candidate"]["state"] == "REJECTED", "nothing was planted"
