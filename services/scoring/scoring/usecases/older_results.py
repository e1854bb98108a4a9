"""What was known before does not take the place of what is known later, unless somebody says so: one rule for all
kinds of jobs whose results look from an instant.
"""

from datetime import datetime
from typing import NamedTuple

import docstore
from chassis.errors import FailedPrecondition
from docstore import Row
from docstore.records import Record
from scoring.domain.conditions import CLUSTER, USAGE
from scoring.store import CustomerOffers, CustomerSendTime, Score, ScoringJob, models
from scoring.store.jobs import replaces_results
from scoring.store.models import MADE_ANEW
from scoring.store.scores import RENEWAL, RESPONSE
from scoring.usecases.score_parts import CHURN


class _Results(NamedTuple):
    """Where results of a kind of jobs stand: rows, and the part of each that such jobs make, all of it where empty."""

    rows: type[Record]
    part: str = ""

    def field(self, name: str) -> str:
        return f"{self.part}.{name}" if self.part else name

    def of(self, row: Row) -> Row:
        found: Row = row[self.part] if self.part else row
        return found


_RESULTS = {
    models.LIFETIME_VALUE: _Results(Score),
    models.CHURN: _Results(Score, CHURN),
    models.RESPONSE: _Results(Score, RESPONSE),
    models.CLUSTERS: _Results(Score, CLUSTER),
    models.USAGE: _Results(Score, USAGE),
    models.RENEWAL: _Results(Score, RENEWAL),
    models.NEXT_OFFER: _Results(CustomerOffers),
    models.SEND_TIME: _Results(CustomerSendTime),
}
"""By the kind of job (`store.jobs.replaces_results`)."""
_INSTANTS = {"uid": 1, "as_of": 1}


def refuse(job: ScoringJob) -> None:
    """Raises FailedPrecondition NEWER_RESULTS_STAND where the job would put results in the place of some that look from
    a later instant, and was not told to (`replace_newer`).
    """
    if job.replace_newer or not replaces_results(job.task, job.kind):
        return
    newest, as_of = _newest(_RESULTS[job.kind]), docstore.whole_milliseconds(job.as_of)
    if newest is None or newest <= as_of:
        return
    scores_nobody = "" if job.kind in MADE_ANEW else "ask TASK_TRAIN or TASK_EVALUATE, which score nobody; "
    raise FailedPrecondition(
        "NEWER_RESULTS_STAND",
        f"What jobs of KIND_{job.kind} tell now looks from {_text(newest)}, this job would look from {_text(as_of)}, "
        f"earlier than that: it stays. Give that as_of or a later one, or none for now; {scores_nobody}or say "
        "replace_newer.",
        metadata={"kind": f"KIND_{job.kind}", "newest_as_of": _text(newest), "as_of": _text(as_of)},
        preconditions=[("NEWER_RESULTS_STAND", f"KIND_{job.kind}", f"as_of is {_text(newest)} or later.")],
    )


def _newest(results: _Results) -> datetime | None:
    """The latest instant that a job looked from whose results stand; None where there are none."""
    rows, by = results.rows.rows(), results.field("job")
    # But for a killed job, and for what others left to it, all are of one.
    makers = set(rows.distinct(by, {by: {"$gt": ""}}))
    # What was made online since looks from later than its job did, and gives way to no job by itself.
    found = {row["uid"]: row["as_of"] for row in ScoringJob.rows().find({"uid": {"$in": [*makers]}}, _INSTANTS)}
    instants = [*found.values()]
    for maker in makers - found.keys():
        # The job is kept no longer.
        row = rows.find_one({by: maker})
        told = results.of(row) if row else {}
        if "as_of" in told and not told.get("rescored"):
            instants.append(told["as_of"])
    return max(instants, default=None)


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
