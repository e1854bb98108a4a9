"""Calendars: written and changed."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.ticketing.v1 import calendar_pb2

import docstore
from chassis import inputs as fields
from docstore import masks
from ticketing import answers, inputs
from ticketing.store import Calendar
from ticketing.usecases import routing


@docstore.command(Calendar)
def create(uid: str, message: calendar_pb2.Calendar) -> Calendar:
    """Creates a calendar. Raises AlreadyExists for a taken id, InvalidArgument."""
    calendar = Calendar.new(uid=uid)
    _assign(calendar, message)
    created = calendar.insert()
    routing.forget()
    return created


@docstore.command(Calendar)
def update(message: calendar_pb2.Calendar, mask: FieldMask) -> Calendar:
    """Changes what the mask names, under its etag if it has one. Raises NotFound, Aborted, InvalidArgument."""
    calendar = Calendar.get(fields.uid(message.name))
    wanted = answers.calendar(calendar)
    masks.apply(mask, message, wanted)
    _assign(calendar, wanted)
    saved = calendar.save(message.etag or None)
    routing.forget()
    return saved


def _assign(calendar: Calendar, message: calendar_pb2.Calendar) -> None:
    calendar.display_name = fields.display_name(message.display_name, "calendar.display_name")
    calendar.time_zone = fields.time_zone(message.time_zone, "calendar.time_zone")
    calendar.hours = inputs.open_hours(message.hours, "calendar.hours")
    calendar.holidays = inputs.holidays(message.holidays, "calendar.holidays")
