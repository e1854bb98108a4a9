"""The programs that compute jobs: what each is told, and whether it divides its work. All run on a Ray cluster, too."""

from typing import NamedTuple

from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.renewal_spec import RenewalJobSpec
from scoring.jobs.segment_spec import SegmentJobSpec
from scoring.jobs.send_time_spec import SendTimeJobSpec
from scoring.jobs.spec import (
    BackfillSpec,
    ChurnJobSpec,
    ClusterJobSpec,
    FeatureJobSpec,
    JobSpec,
    LeadJobSpec,
    ProgramSpec,
    ResponseJobSpec,
)
from scoring.jobs.usage_spec import UsageJobSpec


class Program(NamedTuple):
    """One program. divided: into tasks, which a cluster gets each by itself; what is not is one task as a whole."""

    spec: type[ProgramSpec]
    divided: bool


PROGRAMS = {
    "scoring.jobs.score": Program(JobSpec, divided=True),
    "scoring.jobs.churn": Program(ChurnJobSpec, divided=True),
    "scoring.jobs.features": Program(FeatureJobSpec, divided=True),
    "scoring.jobs.backfill": Program(BackfillSpec, divided=True),
    "scoring.jobs.clusters": Program(ClusterJobSpec, divided=True),
    "scoring.jobs.response": Program(ResponseJobSpec, divided=True),
    "scoring.jobs.segments": Program(SegmentJobSpec, divided=True),
    # As many leads as there ever are fit into one process.
    "scoring.jobs.train_leads": Program(LeadJobSpec, divided=False),
    # The newest lines, as many as fit (`offer_spec.MOST_LINES`).
    "scoring.jobs.train_offers": Program(OfferJobSpec, divided=False),
    # A bounded number of customers is learned from; the others are only looked up.
    "scoring.jobs.send_times": Program(SendTimeJobSpec, divided=False),
    # The same; counts of the others are held only.
    "scoring.jobs.usage": Program(UsageJobSpec, divided=False),
    # Of contracts there are a few events a year.
    "scoring.jobs.renewals": Program(RenewalJobSpec, divided=False),
}
"""By the name of the module."""
