"""The whole configuration of the scoring service."""

import tempfile
from pathlib import Path

from pydantic import Field

from chassis.settings import Settings
from scoring.jobs.spec import RAY_FROM_PURCHASES


class ScoringSettings(Settings):
    """Settings of the scoring service, read from RAPPORT_ variables."""

    service: str = Field(default="scoring", description="Name of the service.")

    ray_address: str | None = Field(
        default=None,
        description="Ray cluster that jobs are submitted to, such as http://ray-head:8265. Without one a job starts "
        "a Ray of its own on this machine.",
    )
    ray_from_purchases: int = Field(
        default=RAY_FROM_PURCHASES,
        ge=0,
        description="Without a cluster: from so many purchases on a job starts a Ray of its own, 0: always. Below, "
        "it computes in its own process, which is faster there.",
    )
    work_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "rapport-scoring",
        description="Local folder where runners keep logs and process ids of the job programs they started.",
    )
    job_lease_s: float = Field(
        default=30.0, gt=1, le=600, description="Seconds after which another runner takes over a dead one's job."
    )
    job_partitions: int = Field(default=16, ge=1, le=1024, description="Parts a job's customers are divided into.")
    day_rates_url: str | None = Field(
        default=None,
        description="Table of day rates, a CSV file as the European Central Bank publishes it (eurofxref-hist.csv), a "
        "path or an fsspec address. Without one, amounts in other currencies than the main one are left out.",
    )
    purchases_kept_days: int = Field(
        default=3_653,
        ge=400,
        le=36_525,
        description="Days that purchases, their lines and refunds are kept, 10 years if nothing is said; at least 400, "
        "as features look back a year. There is no value for `for ever`.",
    )
    flush_rows: int = Field(
        default=5_000, ge=1, le=50_000, description="Staged purchases that are written to files at once, at most."
    )
    flush_seconds: float = Field(
        default=60.0, ge=0, description="Seconds after which staged purchases are written to files at the latest."
    )
