"""What a job of send times is told, in a JSON file."""

from pydantic import AwareDatetime, Field

from scoring.jobs.spec import EventFile, ProgramSpec


class SendTimeJobSpec(ProgramSpec):
    """One finding of the hours in which a tenant's customers are active."""

    tenant: str = Field(min_length=1)
    as_of: AwareDatetime = Field(description="Only events before it count.")
    files: tuple[EventFile, ...] = Field(description="Immutable Parquet files: all events of the tenant.")
    aliases: str | None = Field(default=None, description="Parquet file: customer -> canonical.")
    exclude: str | None = Field(default=None, description="Parquet file: customers who may not be profiled.")
    zones: str | None = Field(default=None, description="Parquet file: customer -> time_zone (IANA).")
    consenting: float | None = Field(default=None, ge=0, le=1, description="Share of customers who may be profiled.")
    memory_mb: int | None = Field(
        default=None, ge=16, description="Memory the job may use; what is free when it starts if not given."
    )
