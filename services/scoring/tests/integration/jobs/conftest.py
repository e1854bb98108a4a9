"""A shop's purchases as the service stages them: pseudonymous ids, several files, any order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.jobs import launch as launching
from scoring.jobs import score
from scoring.jobs.files import Folder
from scoring.jobs.progress import Progress, Reporter
from scoring.jobs.spec import DividedSpec, JobSpec, ProgramSpec
from scoring.models.classifier import boosting

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Shop:
    """Rows of purchases, and where their files are."""

    folder: Path
    table: pa.Table

    def files(self, name: str, number: int, table: pa.Table | None = None, *, seed: int = 0) -> tuple[str, ...]:
        """Addresses of files with the rows, shuffled and dealt out to them."""
        table = self.table if table is None else table
        order = np.random.default_rng(seed).permutation(len(table))
        urls = []
        for place in range(number):
            path = self.folder / f"{name}-{place}.parquet"
            pq.write_table(table.take(pa.array(order[place::number])), path, row_group_size=1_000)
            urls.append(f"file://{path}")
        return tuple(urls)

    def names(self, name: str, **columns: list[str]) -> str:
        """Address of a file of text columns."""
        path = self.folder / f"{name}.parquet"
        pq.write_table(pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()}), path)
        return str(path)

    def spec(self, output: str, **given: Any) -> JobSpec:
        values: dict[str, Any] = {
            "tenant": "t1",
            "as_of": AS_OF,
            "horizon_weeks": 26,
            "discount": 0.1,
            "currency": "EUR",
            "partitions": 3,
            "output": f"file://{self.folder / output}",
            "executor": "in_process",
            "threads": 1,
            **given,
        }
        if "inputs" not in values:
            values["inputs"] = self.files(output, 3)
        return JobSpec(**values)

    @staticmethod
    def run(spec: JobSpec) -> pa.Table:
        """The scores of a job run in this process."""
        output = Folder(spec.output)
        score.run(spec, output, Reporter(output))
        return scores_of(spec)


def scores_of(spec: DividedSpec) -> pa.Table:
    folder = Path(spec.output.removeprefix("file://"))
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("scores-*.parquet"))])


def model_of(spec: JobSpec) -> dict[str, Any]:
    found = Folder(spec.output).read_json("model.json")
    assert found is not None
    return found


def progress_of(spec: ProgramSpec) -> Progress:
    found = Progress.read(Folder(spec.output))
    assert found is not None
    return found


def purchases(customers: int, seed: int = 1, weeks: int = 80) -> pa.Table:
    """Purchases of BG/NBD customers within `weeks` before AS_OF."""
    rng = np.random.default_rng(seed)
    span = weeks * 7
    rows: dict[str, list[Any]] = {"customer": [], "event_time": [], "amount_minor": []}
    end = int(AS_OF.timestamp() * 1e6)
    for number in range(customers):
        rate, leave, spend = rng.gamma(0.8, 1 / 25), rng.beta(1, 3), 1_000 + rng.gamma(4, 500)
        day = float(rng.uniform(0, span))
        while day < span:
            rows["customer"].append(f"customers/{number:06d}")
            rows["event_time"].append(end - int((span - day) * DAY_US))
            rows["amount_minor"].append(int(rng.gamma(6, spend / 6)))
            if len(rows["customer"]) and rng.random() < leave and day > 0:
                break
            day += rng.exponential(1 / rate)
    count = len(rows["customer"])
    return pa.table(
        {
            "customer": rows["customer"],
            "order_id": [f"order-{number}" for number in range(count)],
            "event_time": pa.array(rows["event_time"], pa.timestamp("us", tz="UTC")),
            "amount_minor": pa.array(rows["amount_minor"], pa.int64()),
            "currency": ["EUR"] * count,
        }
    )


def row(customer: str, when: datetime, amount_minor: int = 1_000, currency: str = "EUR") -> dict[str, Any]:
    return {
        "customer": customer,
        "order_id": "",
        "event_time": when,
        "amount_minor": amount_minor,
        "currency": currency,
    }


def with_rows(table: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.concat_tables([table, pa.Table.from_pylist(rows, table.schema)])


@pytest.fixture(scope="session")
def all_purchases() -> pa.Table:
    return purchases(1_500)


@pytest.fixture(scope="session")
def fallen_leads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder, and what `test_train_leads.fallen` made there."""
    from . import test_train_leads

    folder = tmp_path_factory.mktemp("leads")
    return folder, test_train_leads.fallen(folder)


@pytest.fixture(scope="session")
def churn_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[dict[str, Any], dict[str, Any]]]:
    """A folder, and what `test_churn_job.looked_back` made there."""
    from . import test_churn_job

    folder = tmp_path_factory.mktemp("churn")
    with pytest.MonkeyPatch.context() as patch:
        # What is shown by them needs no models of 400 trees.
        patch.setattr(boosting, "SETTINGS", (25, 50))
        return folder, test_churn_job.looked_back(folder)


@pytest.fixture
def shop(tmp_path: Path, all_purchases: pa.Table) -> Shop:
    return Shop(tmp_path, all_purchases)


ShopOf = Callable[[pa.Table], Shop]


@pytest.fixture
def shop_of(tmp_path: Path) -> ShopOf:
    return lambda table: Shop(tmp_path, table)


@pytest.fixture
def warm(warm_starter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes need not load libraries first."""
    monkeypatch.setattr(launching, "_start", warm_starter)
