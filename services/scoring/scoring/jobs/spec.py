"""What a scoring job is told, in a JSON file."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from scoring.domain.buckets import BUCKETS
from scoring.domain.job_limits import CHURN_HORIZON_WEEKS_MAX, INSTANTS_MAX

RAY_FROM_PURCHASES = 20_000_000
MOST_THREADS = 4


class KnownModel(BaseModel):
    """A model of an earlier job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    role: Literal["champion", "previous", "challenger", "earlier"] = Field(
        description="champion: it scores unless a better one is found; previous: it comes back if the champion fails."
    )
    url: str = Field(description="Where its stored form is.")
    sha256: str = Field(description="Of the stored form.")


Task = Literal["train_and_score", "train", "score", "evaluate"]
"""What a program that knows models does. train: nobody is scored. score: by the champion. evaluate: what became of the
models, nothing else.
"""


class ProgramSpec(BaseModel):
    """What every job program is told. Addresses are fsspec's (`file:///...`, `s3://...`) or local paths."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: str = Field(min_length=1, description="Folder for the results; nothing else may be in it.")


class DividedSpec(ProgramSpec):
    """What every program is told that divides purchases among partitions of customers."""

    tenant: str = Field(min_length=1)
    currency: str = Field(pattern="^[A-Z]{3}$", description="The tenant's main one, which scores are told in.")
    rates: str | None = Field(default=None, description="See `FeaturesSpec.rates`.")
    inputs: tuple[str, ...] = Field(
        description="Immutable Parquet files: customer (pseudonymous id), order_id, event_time (timestamp[us, UTC]), "
        "amount_minor (int64), currency. Each row is a purchase, or with a negative amount a refund."
    )
    aliases: str | None = Field(default=None, description="Parquet file: customer -> canonical.")
    exclude: str | None = Field(
        default=None, description="Parquet file: customers who may be neither learned from nor scored."
    )
    partitions: int = Field(default=16, ge=1, le=1024, description="Parts that customers are divided into.")
    executor: Literal["auto", "in_process", "ray"] = Field(
        default="auto",
        description="auto: a Ray cluster if RAY_ADDRESS names one; else a Ray of its own for many rows, none for few.",
    )
    ray_from_purchases: int = Field(
        default=RAY_FROM_PURCHASES,
        ge=0,
        description="From so many purchases on, auto starts a Ray: below, starting it costs more than it saves.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description=f"Tasks at a time in this process; 0: one for each CPU, up to {MOST_THREADS}.",
    )
    memory_mb: int | None = Field(
        default=None, ge=16, description="Memory a job may use on a machine; what is free when it starts if not given."
    )


class JobSpec(DividedSpec):
    """One scoring of a tenant's customers. Refunds that reduce nothing are left out and counted."""

    task: Task = "train_and_score"
    as_of: AwareDatetime = Field(description="Purchases up to this instant count; time is measured until its UTC day.")
    horizon_weeks: int = Field(ge=1, le=520)
    discount: float = Field(ge=0, le=1, description="Annual discount rate.")
    models: tuple[KnownModel, ...] = Field(default=(), description="Models of earlier jobs, in the same currency.")
    consenting: float | None = Field(default=None, ge=0, le=1, description="Share of customers who may be scored.")


class PropensitySpec(ProgramSpec):
    """What every training of a model of propensity is told."""

    task: Task = "train_and_score"
    tenant: str = Field(min_length=1)
    as_of: AwareDatetime = Field(description="Outcomes that were known then count.")
    models: tuple[KnownModel, ...] = Field(default=(), description="Models of earlier jobs; all are measured.")
    consenting: float = Field(ge=0, le=1, description="Share of those that may be learned from.")


class LeadJobSpec(PropensitySpec):
    """One training of a tenant's model of lead conversion."""

    leads: str = Field(
        description="Parquet file, one lead a row: lead (uid), customer (who stands for the profile; empty for none), "
        "create_time and know_time (timestamp[us, UTC]), converted, points, and facts (JSON: "
        "`models.lead_conversion.COLUMNS`)."
    )
    recent: str | None = Field(
        default=None, description="The same of leads whose outcomes nobody knows yet: they tell what has moved."
    )


class ChurnJobSpec(PropensitySpec, DividedSpec):
    """One training of a tenant's model of churn, and the scoring of its customers."""

    horizon_weeks: int = Field(ge=1, le=CHURN_HORIZON_WEEKS_MAX)
    digits: int = Field(ge=0, le=4, description="Decimals of the currency.")


class EventFile(BaseModel):
    """One file of events, of one bucket of customers (`domain.buckets`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1)
    kind: Literal["purchases", "activity", "subscriptions"] = Field(
        description="purchases: as JobSpec's inputs. activity: also `event` (its name) and `id` (int64, which makes it "
        "unique), amounts only for orders and refunds. subscriptions: customer, event_time, event, id and subscription "
        "(int64; 0 for none)."
    )
    bucket: int = Field(ge=0, lt=BUCKETS)


class FeaturesSpec(ProgramSpec):
    """What every program that writes features is told."""

    tenant: str = Field(min_length=1)
    currency: str = Field(pattern="^[A-Z]{3}$", description="The tenant's main one, which amounts are told in.")
    files: tuple[EventFile, ...] = Field(description="Immutable Parquet files: all events of the tenant.")
    aliases: str | None = Field(default=None, description="Parquet file: customer -> canonical.")
    exclude: str | None = Field(default=None, description="Parquet file: customers to leave out.")
    rates: str | None = Field(
        default=None,
        description="CSV file of day rates (`features.rates`); without it rows in other currencies are left out.",
    )
    whole_from: dict[Literal["purchases", "activity"], AwareDatetime] = Field(
        default_factory=dict,
        description="By kind of file: older events are not kept. A feature that reaches back past it has no value.",
    )
    executor: Literal["auto", "in_process", "ray"] = Field(default="auto", description="As in JobSpec.")
    ray_from_events: int = Field(
        default=10 * RAY_FROM_PURCHASES, ge=0, description="From so many on auto starts a Ray."
    )
    threads: int = Field(default=0, ge=0, le=64, description="As in JobSpec.")
    memory_mb: int | None = Field(default=None, ge=16, description="As in JobSpec.")


class FeatureJobSpec(FeaturesSpec):
    """The features of a tenant's customers as of one instant."""

    as_of: AwareDatetime = Field(description="Only events before it count.")


class ClusterJobSpec(FeatureJobSpec):
    """The clusters of a tenant's customers, made of their features as of one instant."""

    digits: int = Field(ge=0, le=4, description="Decimals of the currency.")
    consenting: float = Field(ge=0, le=1, description="Share of customers who may be in clusters.")
    models: tuple[KnownModel, ...] = Field(
        default=(), max_length=1, description="The last model that had clusters: they keep their names."
    )


class ResponseJobSpec(PropensitySpec, FeaturesSpec):
    """One training of a tenant's model of responses to messages, and the scoring of its customers."""

    digits: int = Field(ge=0, le=4, description="Decimals of the currency.")


class BackfillSpec(FeaturesSpec):
    """The same as of several instants."""

    instants: tuple[AwareDatetime, ...] = Field(min_length=1, max_length=INSTANTS_MAX)
