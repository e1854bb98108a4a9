"""What a job of usage is told, in a JSON file."""

from pydantic import AwareDatetime, Field

from scoring.domain.usage_gates import EVENTS_MOST
from scoring.jobs.spec import EventFile, ProgramSpec


class UsageJobSpec(ProgramSpec):
    """One judging of what a tenant's customers use."""

    tenant: str = Field(min_length=1)
    as_of: AwareDatetime = Field(description="Only events before it count.")
    files: tuple[EventFile, ...] = Field(description="Immutable Parquet files: all events of the tenant.")
    events: tuple[str, ...] = Field(
        default=(),
        max_length=EVENTS_MOST,
        description="Names of the events that count; without any all do but `domain.usage_gates.NO_USE`.",
    )
    aliases: str | None = Field(default=None, description="Parquet file: customer -> canonical.")
    exclude: str | None = Field(default=None, description="Parquet file: customers who may not be profiled.")
    consenting: float | None = Field(default=None, ge=0, le=1, description="Share of customers who may be profiled.")
    memory_mb: int | None = Field(
        default=None, ge=16, description="Memory the job may use; what is free when it starts if not given."
    )
