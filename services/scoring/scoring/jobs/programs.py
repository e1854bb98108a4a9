"""The programs that compute jobs: what each is told, and whether its tasks run on a Ray cluster."""

from typing import NamedTuple

from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.send_time_spec import SendTimeJobSpec
from scoring.jobs.spec import (
    BackfillSpec,
    ChurnJobSpec,
    ClusterJobSpec,
    FeatureJobSpec,
    JobSpec,
    LeadJobSpec,
    ProgramSpec,
)


class Program(NamedTuple):
    """One program. on_cluster: where there is one; what fits into one process needs none."""

    spec: type[ProgramSpec]
    on_cluster: bool


PROGRAMS = {
    "scoring.jobs.score": Program(JobSpec, on_cluster=True),
    "scoring.jobs.churn": Program(ChurnJobSpec, on_cluster=True),
    "scoring.jobs.features": Program(FeatureJobSpec, on_cluster=True),
    "scoring.jobs.backfill": Program(BackfillSpec, on_cluster=True),
    "scoring.jobs.clusters": Program(ClusterJobSpec, on_cluster=True),
    # As many leads as there ever are fit into one process.
    "scoring.jobs.train_leads": Program(LeadJobSpec, on_cluster=False),
    # The newest lines, as many as fit (`offer_spec.MOST_LINES`).
    "scoring.jobs.train_offers": Program(OfferJobSpec, on_cluster=False),
    # A bounded number of customers is learned from; the others are only looked up.
    "scoring.jobs.send_times": Program(SendTimeJobSpec, on_cluster=False),
}
"""By the name of the module."""
