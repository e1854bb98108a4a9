"""One clock of a service level: open time used of what was agreed, with pauses."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ticketing.domain.business_time import OpenHours, add_open, open_between


@dataclass(frozen=True, slots=True)
class Clock:
    """The state of a clock. It runs while `since` is set, is done when `done` is, and is paused otherwise.

    used: open time used until `since`, or for good. due, warn: when the target and the stated share of it are used up
    if it runs on; None while it does not run. warned, breached: when they were.
    """

    target: timedelta
    warning_percent: int
    used: timedelta = timedelta()
    since: datetime | None = None
    due: datetime | None = None
    warn: datetime | None = None
    done: datetime | None = None
    warned: datetime | None = None
    breached: datetime | None = None

    @property
    def next(self) -> datetime | None:
        """When something is to be told next; None when nothing is."""
        waiting = [
            instant
            for instant, told in ((self.warn, self.warned), (self.due, self.breached))
            if instant is not None and told is None
        ]
        return min(waiting, default=None)

    def used_at(self, calendar: OpenHours, now: datetime) -> timedelta:
        """The open time used until an instant."""
        return self.used if self.since is None else self.used + open_between(calendar, self.since, now)

    def ticked(self, now: datetime) -> "Clock":
        """The clock with what has come to pass until `now` noted: warning, breach."""
        warned = self.warned or (self.warn if self.warn is not None and self.warn <= now else None)
        breached = self.breached or (self.due if self.due is not None and self.due <= now else None)
        return replace(self, warned=warned, breached=breached)

    def started(self, calendar: OpenHours, now: datetime) -> "Clock":
        """The clock running from `now` on, also one that was paused or done; a running one runs on."""
        if self.since is not None:
            return self
        return replace(self, since=now, done=None)._planned(calendar)

    def paused(self, calendar: OpenHours, now: datetime) -> "Clock":
        """The clock standing still from `now` on, with what was due until then noted."""
        if self.since is None:
            return self
        ticked = self.ticked(now)
        return replace(ticked, used=ticked.used_at(calendar, now), since=None, due=None, warn=None)

    def ended(self, calendar: OpenHours, now: datetime) -> "Clock":
        """The clock done at `now`; one that was done before stays so."""
        if self.done is not None:
            return self
        return replace(self.paused(calendar, now), done=now)

    def retargeted(self, calendar: OpenHours, now: datetime, target: timedelta, warning_percent: int) -> "Clock":
        """The clock with another target; what is used stays used, what was told stays told."""
        if (target, warning_percent) == (self.target, self.warning_percent):
            return self
        changed = replace(self.paused(calendar, now), target=target, warning_percent=warning_percent)
        return changed if self.since is None else changed.started(calendar, now)

    def _planned(self, calendar: OpenHours) -> "Clock":
        assert self.since is not None
        share = self.target * self.warning_percent / 100
        due = self.breached or add_open(calendar, self.since, self.target - self.used)
        return replace(self, due=due, warn=self.warned or add_open(calendar, self.since, share - self.used))
