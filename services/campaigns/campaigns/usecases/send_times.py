"""When people are most active, as scoring tells it: kept for the messages that wait for it."""

from collections.abc import Collection
from datetime import UTC

from rapport.scoring.v1 import events_pb2

from campaigns.store import contacts, messages
from chassis import clock
from docstore.aliases import profiles


def follow(event: events_pb2.SendTimesUpdated, left_out: Collection[str] = ()) -> None:
    """Takes over what is told; what waits for an hour that was taken back, as by an objection, waits no longer.

    left_out: customers (resource names) to ignore.
    """
    told = {
        state.customer: {"ranking": bytes(state.hours_of_week), "time_zone": state.time_zone}
        for state in event.send_times
        if state.customer not in left_out
    }
    removed = [name for name in event.removed_customers if name not in left_out]
    contacts.learn_send_times({**told, **{name: {} for name in removed}}, event.change_time.ToDatetime(UTC))
    # Of a merged member the hour of the profile stands, which is told of by itself.
    people = profiles(removed) if removed else {}
    waiting = {member for name, (canonical, members) in people.items() if canonical == name for member in members}
    if waiting:
        messages.wake(waiting, messages.BEST_TIME, clock.now())
