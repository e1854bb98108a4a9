"""What programs load: pandas and the libraries of trees take longer to load than a small job takes.

Run as a program of its own it loads all programs but those that learn trees, and carries some out, over a few
customers.
"""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from scoring import parquet
from scoring.domain.subscriptions import RENEWED, STARTED
from scoring.jobs.files import Folder
from scoring.jobs.programs import PROGRAMS
from scoring.jobs.progress import Reporter

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
WITH_TREES = {"scoring.jobs.churn", "scoring.jobs.response", "scoring.jobs.train_leads"}
HEAVY = {"pandas", "catboost", "sklearn"}
CUSTOMERS, WEEKS = 60, 24


def test_programs_run_without_what_they_do_not_need(tmp_path: Path) -> None:
    told = list(rows())
    paid = [row for row in told if row["currency"]]
    made = {
        "activity": parquet.activity({**row, "amount_minor": None, "currency": None} for row in told),
        "purchases": parquet.purchases(paid),
        "subscriptions": parquet.subscriptions(paid),
        "lines": parquet.order_lines(told),
        "aliases": parquet.strings({"customer": ["customers/01"], "canonical": ["customers/02"]}),
        "exclude": parquet.strings({"customer": ["customers/04"]}),
        "zones": parquet.strings({"customer": ["customers/05"], "time_zone": ["Europe/Berlin"]}),
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run([sys.executable, __file__, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def rows() -> Iterator[dict[str, Any]]:
    """Each customer comes once a week, and buys and renews every fourth; one takes it back each time."""
    for number in range(CUSTOMERS * WEEKS):
        week, who = divmod(number, CUSTOMERS)
        pays = week % 4 == 0
        yield {
            "customer": f"customers/{who:02}",
            "order_id": "",
            "event_time": AS_OF - timedelta(weeks=WEEKS - week, hours=who % 12),
            "amount_minor": (-100 if who == 3 else 1_000 + who) if pays else None,
            "currency": "EUR" if pays else None,
            "event": ("Page Viewed" if not pays else RENEWED if week else STARTED),
            "id": number + 1,
            "subscription": 0,
            "purchase": f"{number}",
            "product": f"p{number % 5}",
            "quantity": 1.0,
            "price_minor": None,
        }


def main(folder: Path) -> None:
    files = {
        kind: {"url": str(folder / kind), "kind": kind, "bucket": 0}
        for kind in ("activity", "purchases", "subscriptions")
    }
    events = {"files": [files["activity"], files["purchases"]]}
    whose = {name: str(folder / name) for name in ("aliases", "exclude")}
    of_all = {"tenant": "acme", "as_of": AS_OF, "consenting": 1.0, **whose}
    for program, own, result in (
        ("usage", events, "scores-0000.parquet"),
        ("send_times", {**events, "zones": str(folder / "zones")}, "send-times-0.parquet"),
        ("renewals", {"files": [files["subscriptions"]]}, "scores-0000.parquet"),
        ("train_offers", {"inputs": [str(folder / "lines")]}, "offers-0.parquet"),
        ("clusters", {**events, "currency": "EUR", "digits": 2, "executor": "in_process"}, "scores-0000.parquet"),
    ):
        name = f"scoring.jobs.{program}"
        spec = PROGRAMS[name].spec.model_validate({**of_all, **own, "output": str(folder / program)})
        output = Folder(spec.output)
        import_module(name).run(spec, output, Reporter(output))
        assert result in output.names(), f"{program} told nobody anything"
        assert not HEAVY & sys.modules.keys(), program
    for name in PROGRAMS.keys() - WITH_TREES:
        import_module(name)
        assert not HEAVY & sys.modules.keys(), name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
