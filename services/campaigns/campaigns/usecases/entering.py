"""What makes people enter journeys."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from rapport.campaigns.v1 import events_pb2, journey_pb2

import docstore
from campaigns.store import EntryNotice, Journey, JourneyRevision, entries, journeys
from campaigns.store.entries import Entrant, Occasion
from chassis import clock
from docstore import batches

STALE_AFTER = timedelta(days=1)
"""What happened longer ago when it is told, as in an import, lets nobody enter."""

_JOURNEYS_MAX = 100
_TOLD_AT_ONCE = 400
_Group = journey_pb2.JourneyEntry.Group


def enter(kind: str, occasions: Mapping[str, Iterable[Occasion]]) -> None:
    """Lets people enter all active journeys that a segment or event of that name triggers (name -> occasions)."""
    names = sorted(occasions)
    active = docstore.asked_once(
        ("journeys", kind, *names),
        lambda: Journey.find(
            {"trigger": {"$in": names}, "trigger_kind": kind, "state": journeys.ACTIVE}, limit=_JOURNEYS_MAX
        ),
    )
    if not active:
        return
    revisions = JourneyRevision.get_many(JourneyRevision.uid_of(each.uid, each.revision) for each in active)
    now = docstore.whole_milliseconds(clock.now())
    for journey in active:
        definition = revisions[JourneyRevision.uid_of(journey.uid, journey.revision)].definition()
        entered = entries.enter(journey, definition.first, list(occasions[journey.trigger]), now)
        _tell(journey, entered, now)


def is_fresh(when: datetime) -> bool:
    """Whether something that happened then may still let people enter."""
    return when > clock.now() - STALE_AFTER


def _tell(journey: Journey, entered: Sequence[Entrant], now: datetime) -> None:
    notices = []
    for start in range(0, len(entered), _TOLD_AT_ONCE):
        some = entered[start : start + _TOLD_AT_ONCE]
        event = events_pb2.JourneyEntered(
            journey=journey.name,
            holdout_percent=journey.holdout_percent,
            entrants=[
                events_pb2.JourneyEntrant(
                    journey_entry=entries.name_of(journey.uid, each.entry),
                    customer=each.customer,
                    group=_Group.GROUP_HELD_OUT if each.held_out else _Group.GROUP_TREATED,
                )
                for each in some
            ],
        )
        event.entry_time.FromDatetime(now)
        written = clock.real_now()
        notice = EntryNotice.new(state=batches.DONE, finish_time=written, expire_time=written)
        notice.emit(event, [each.customer for each in some])
        notices.append(notice)
    EntryNotice.insert_many(notices)
