"""What a job of renewals is told, in a JSON file."""

from pydantic import AwareDatetime, Field

from scoring.jobs.spec import EventFile, ProgramSpec


class RenewalJobSpec(ProgramSpec):
    """One telling of which of a tenant's customers renew their contracts."""

    tenant: str = Field(min_length=1)
    as_of: AwareDatetime = Field(description="Only events before it count.")
    files: tuple[EventFile, ...] = Field(description="Immutable Parquet files: what happened to all contracts.")
    aliases: str | None = Field(default=None, description="Parquet file: customer -> canonical.")
    exclude: str | None = Field(default=None, description="Parquet file: customers who may not be profiled.")
    consenting: float | None = Field(default=None, ge=0, le=1, description="Share of customers who may be profiled.")
    memory_mb: int | None = Field(
        default=None, ge=16, description="Memory the job may use; what is free when it starts if not given."
    )
