"""What makes people enter journeys."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import docstore
from campaigns.store import Journey, JourneyRevision, entries, journeys
from campaigns.store.entries import Occasion
from chassis import clock

STALE_AFTER = timedelta(days=1)
"""What happened longer ago when it is told, as in an import, lets nobody enter."""

_JOURNEYS_MAX = 100


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
    for journey in active:
        definition = revisions[JourneyRevision.uid_of(journey.uid, journey.revision)].definition()
        entries.enter(journey, definition.first, occasions[journey.trigger], clock.now())


def is_fresh(when: datetime) -> bool:
    """Whether something that happened then may still let people enter."""
    return when > clock.now() - STALE_AFTER
