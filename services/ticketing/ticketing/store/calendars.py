"""When work is done on tickets."""

from datetime import date
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import mongoengine as me

from docstore.aggregate import Aggregate
from ticketing.domain.business_time import OpenHours


class DayHours(me.EmbeddedDocument):
    """Open hours of a day of the week, 0 for Monday; minutes after midnight."""

    day: Any = me.IntField(required=True, min_value=0, max_value=6)
    start: Any = me.IntField(required=True)
    end: Any = me.IntField(required=True)


class Calendar(Aggregate):
    """A calendar; the uid is chosen by whoever creates it. Holidays are ISO dates, sorted."""

    resource = "calendars"
    meta: ClassVar[dict[str, Any]] = {"collection": "calendars", "indexes": [["tenant", "create_time", "id"]]}
    display_name: Any = me.StringField(required=True)
    time_zone: Any = me.StringField(required=True)
    hours: Any = me.EmbeddedDocumentListField(DayHours, required=True)
    holidays: Any = me.ListField(me.StringField())

    def value(self) -> OpenHours:
        """The calendar as the rules know it."""
        days: list[list[tuple[int, int]]] = [[] for _ in range(7)]
        for each in self.hours:
            days[each.day].append((each.start, each.end))
        monday, tuesday, wednesday, thursday, friday, saturday, sunday = (tuple(sorted(day)) for day in days)
        return OpenHours(
            ZoneInfo(self.time_zone),
            (monday, tuesday, wednesday, thursday, friday, saturday, sunday),
            frozenset(date.fromisoformat(day) for day in self.holidays),
        )
