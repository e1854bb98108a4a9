"""What a job of offers is told, in a JSON file."""

from pydantic import AwareDatetime, Field

from scoring.jobs.spec import KnownModel, ProgramSpec, Task

MOST_LINES = 10_000_000
"""Lines that are learned from at most, the newest."""


class OfferJobSpec(ProgramSpec):
    """One making of a tenant's offers."""

    task: Task = "train_and_score"
    tenant: str = Field(min_length=1)
    as_of: AwareDatetime = Field(description="Lines up to this instant count; time is measured in UTC days.")
    inputs: tuple[str, ...] = Field(
        description="Immutable Parquet files, one line a row (`parquet.LINE_COLUMNS`); those of a purchase adjoin."
    )
    aliases: str | None = Field(default=None, description="Parquet file: customer -> canonical.")
    exclude: str | None = Field(default=None, description="Parquet file: customers who may not be offered anything.")
    blocked: str | None = Field(
        default=None, description="Parquet file: key, of products that are offered to nobody: `=id` or `^prefix`."
    )
    models: tuple[KnownModel, ...] = Field(default=(), description="Models of earlier jobs; all are measured.")
    consenting: float | None = Field(default=None, ge=0, le=1, description="Share of customers who may be profiled.")
    memory_mb: int | None = Field(
        default=None, ge=16, description="Memory the job may use; what is free when it starts if not given."
    )
    most_lines: int = Field(default=MOST_LINES, ge=1, description="The newest lines count when there are more.")
