"""Moving the business clock (`chassis.clock`) of a test and of the processes it started."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from chassis import clock
from chassis.settings import Settings


class Travel:
    """Moves the business clock of this process, and of those that share its clock file.

    travel(hours=2)      onwards from where it is
    travel.to(instant)   to an instant
    """

    def __init__(self, settings: Settings) -> None:
        if settings.clock_file is None:
            raise ValueError("to move the clock, settings need a clock_file")
        self._settings = settings
        self._path = settings.clock_file
        self._offset = timedelta()

    def __call__(self, **delta: float) -> None:
        """Moves it onwards."""
        self._set(self._offset + timedelta(**delta))

    def to(self, instant: datetime) -> None:
        """Makes it `instant`."""
        self._set(instant.astimezone(UTC) - datetime.now(UTC))

    def back(self) -> None:
        """Makes it now again."""
        self._path.unlink(missing_ok=True)
        clock.configure(self._settings)

    def _set(self, offset: timedelta) -> None:
        self._offset = offset
        aside = self._path.with_suffix(".new")  # no process may read half of it
        aside.write_text(json.dumps({"offset_seconds": offset.total_seconds()}))
        aside.replace(self._path)
        clock.configure(self._settings)


@pytest.fixture
def travel(settings: Settings) -> Iterator[Travel]:
    """Moves the clock of the fixture `settings`; it is now again after the test."""
    made = Travel(settings)
    yield made
    made.back()
