"""Calendars: written, changed, deleted; tickets that are timed by one go on by it."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.ticketing.v1 import calendar_pb2

import docstore
from chassis import inputs as fields
from chassis.errors import FailedPrecondition
from docstore import masks
from ticketing import answers, inputs
from ticketing.store import Calendar, SlaPolicy
from ticketing.usecases import routing

_USERS_TOLD = 10
"""Names of what uses a calendar that a refusal tells."""


@docstore.command(Calendar)
def create(uid: str, message: calendar_pb2.Calendar) -> Calendar:
    """Creates a calendar. Raises AlreadyExists for a taken id, InvalidArgument."""
    calendar = Calendar.new(uid=uid)
    _assign(calendar, message)
    created = calendar.insert()
    routing.rules.forget()
    return created


@docstore.command(Calendar)
def update(message: calendar_pb2.Calendar, mask: FieldMask) -> Calendar:
    """Changes what the mask names, under its etag if it has one. Raises NotFound, Aborted, InvalidArgument."""
    calendar = Calendar.get(fields.uid(message.name))
    wanted = answers.calendar(calendar)
    masks.apply(mask, message, wanted)
    _assign(calendar, wanted)
    saved = calendar.save(message.etag or None)
    routing.rules.forget()
    return saved


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Deletes a calendar that no policy goes by. Raises NotFound, Aborted, FailedPrecondition CALENDAR_IN_USE.

    It stays stored for the tickets that are timed by it, and for a policy that came to it at the same moment.
    """
    calendar = Calendar.get(uid)
    users = [policy.name for policy in SlaPolicy.in_order() if policy.calendar == uid]
    if users:
        shown = ", ".join(users[:_USERS_TOLD])
        raise FailedPrecondition(
            "CALENDAR_IN_USE",
            f"{len(users)} SLA policies go by {calendar.name}: {shown}; change or delete them first.",
            metadata={"resource": calendar.name, "users": shown},
            preconditions=[("CALENDAR_IN_USE", user, f"{user} goes by another calendar.") for user in users],
        )
    calendar.soft_delete(etag or None)
    return Empty()


def _assign(calendar: Calendar, message: calendar_pb2.Calendar) -> None:
    calendar.display_name = fields.display_name(message.display_name, "calendar.display_name")
    calendar.time_zone = fields.time_zone(message.time_zone, "calendar.time_zone")
    calendar.hours = inputs.open_hours(message.hours, "calendar.hours")
    calendar.holidays = inputs.holidays(message.holidays, "calendar.holidays")
