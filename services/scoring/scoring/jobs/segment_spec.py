"""What a recompute of segments is told, in a JSON file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from scoring.jobs.spec import RAY_FROM_PURCHASES, ProgramSpec


class AskedSegment(BaseModel):
    """One living segment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uid: str = Field(min_length=1)
    expression: str


class PeopleFile(BaseModel):
    """One file of customers (`scoring.people_files`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    rows: int = Field(ge=0, description="Customers in it.")
    chunk_bytes: int = Field(ge=0, description="Of what is known of those that are read at once, at most.")


class SegmentJobSpec(ProgramSpec):
    """One recompute of the memberships of all customers in all segments."""

    tenant: str = Field(min_length=1)
    people: str = Field(min_length=1, description="Folder of the files.")
    parts: tuple[PeopleFile, ...] = Field(description="The files: all customers, with what segments can ask of them.")
    segments: tuple[AskedSegment, ...] = Field(description="All that live.")
    following: tuple[str, ...] = Field(
        default=(), description="Uids of those whose members are being found after a change: nobody is judged for them."
    )
    executor: Literal["auto", "in_process", "ray"] = Field(default="auto", description="As in JobSpec.")
    ray_from_customers: int = Field(
        default=RAY_FROM_PURCHASES // 20, ge=0, description="From so many on auto starts a Ray."
    )
    memory_mb: int | None = Field(default=None, ge=16, description="As in JobSpec.")
