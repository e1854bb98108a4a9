"""What is likely of customers, as jobs of scoring tell it, kept for the agent view.

What comes late must not take the place of what is newer, nor bring back what was removed: what goes with the scores is
ordered by the id of the event, which grows with time (UUIDv7), send times by the instant of their change.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.identity.v1 import agent_view_pb2, present_scores_pb2
from rapport.scoring.v1 import events_pb2 as scoring

from eventing.envelope import Envelope
from identity.store import agent_view
from identity.store.agent_view import Kind
from identity.usecases import facet_values

BEST_HOURS = 10
"""Hours of the week that are kept of the 168 that are told."""
_OF_THE_ROW = {"customer", "as_of", "lifetime_value"}


def _fields_of(shown: type[Message]) -> tuple[str, ...]:
    """The fields of a message of the view that are kept as details."""
    return tuple(field.name for field in shown.DESCRIPTOR.fields if field.name not in _OF_THE_ROW)


class _Likely(NamedTuple):
    """What ScoresUpdated tells of customers in one field, and in another of whom it is told no more.

    fields: of the message there that are shown as they are, by their names.
    """

    kind: Kind
    field: str
    removed: str
    fields: tuple[str, ...]


_LIKELY = (
    _Likely(Kind.SCORES, "scores", "removed_value_customers", _fields_of(agent_view_pb2.PresentScores)),
    _Likely(Kind.CHURN_RISK, "churn_risks", "removed_churn_customers", _fields_of(agent_view_pb2.PresentChurnRisk)),
    _Likely(Kind.CLUSTER, "clusters", "removed_cluster_customers", _fields_of(present_scores_pb2.PresentCluster)),
    _Likely(Kind.USAGE, "usages", "removed_usage_customers", _fields_of(present_scores_pb2.PresentUsage)),
    _Likely(Kind.RENEWAL, "renewals", "removed_renewal_customers", _fields_of(present_scores_pb2.PresentRenewal)),
    _Likely(
        Kind.RESPONSE,
        "responses",
        "removed_response_customers",
        _fields_of(present_scores_pb2.PresentResponsePropensity),
    ),
)


def show_scores(event: scoring.ScoresUpdated, envelope: Envelope) -> None:
    """Keep the newest of what jobs tell; what is removed leaves nothing but a mark of when."""
    for each in _LIKELY:
        told = {
            state.customer: {
                **facet_values.row(state.customer, envelope, event.as_of),
                **_worth(state),
                "details": {field: _copied(state, field) for field in each.fields},
            }
            for state in getattr(event, each.field)
        }
        # Who loses the scores loses all that is told with them.
        removed = (*event.removed_customers, *getattr(event, each.removed))
        _show_newest(each.kind, told, removed, envelope, envelope.id)


def show_send_times(event: scoring.SendTimesUpdated, envelope: Envelope) -> None:
    """Keep when customers are best reached, as was told last."""
    changed = facet_values.instant(event.change_time)
    told = {
        state.customer: {
            **facet_values.row(state.customer, envelope, event.change_time),
            "details": {
                **facet_values.strings(state, "time_zone", "model", "decision"),
                "hours_of_week": list(state.hours_of_week[:BEST_HOURS]),
                "fallback": state.fallback,
            },
        }
        for state in event.send_times
    }
    _show_newest(Kind.SEND_TIME, told, event.removed_customers, envelope, changed)


def _show_newest(
    kind: Kind, told: Mapping[str, dict[str, Any]], removed: Iterable[str], envelope: Envelope, version: Any
) -> None:
    """Keep what is told, and of whom nothing is any more, each unless something newer is kept."""
    nothing = {"shown": False, **facet_values.amount(None), "details": None}
    rows = {name: {**row, "shown": True} for name, row in told.items()}
    rows |= {name: {**facet_values.row(name, envelope), **nothing} for name in removed}
    put = [(name, {**row, "version": version}) for name, row in rows.items() if name not in envelope.erased]
    agent_view.put_newer(kind, put)


def _worth(state: Message) -> dict[str, Any]:
    """The amount of scores; nothing else has one."""
    if not isinstance(state, scoring.ScoreSnapshot):
        return {}
    return facet_values.amount(state.lifetime_value if state.HasField("lifetime_value") else None)


def _copied(state: Message, name: str) -> Any:
    """A field as it is kept, None where it is not set."""
    field, value = state.DESCRIPTOR.fields_by_name[name], getattr(state, name)
    if field.is_repeated:
        return list(value)
    if field.has_presence and not state.HasField(name):
        return None
    return facet_values.instant(value) if isinstance(value, Timestamp) else value
