"""What scoring tells of leads: how probable it is that they are converted, and why."""

from datetime import UTC

from rapport.scoring.v1 import events_pb2

from chassis import inputs as fields
from docstore import Row
from sales.store import leads

_COPIED = ("probability", "low", "high", "percentile", "model")


def take(event: events_pb2.LeadsScored) -> None:
    """Notes new estimates and takes back removed ones, in the transaction of the handler.

    Messages may overtake each other: the later change holds.
    """
    changed = event.change_time.ToDatetime(UTC)
    told = [(fields.uid(score.lead), {"change_time": changed, **_estimate(score)}) for score in event.scores]
    leads.estimate([*told, *((fields.uid(name), {"change_time": changed}) for name in event.removed_leads)])


def _estimate(score: events_pb2.LeadScoreState) -> Row:
    return {
        **{name: getattr(score, name) for name in _COPIED},
        "reasons": list(score.reasons),
        "decision": score.decision or None,
        "score_time": score.score_time.ToDatetime(UTC),
    }
