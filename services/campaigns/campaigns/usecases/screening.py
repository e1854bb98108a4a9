"""The sender's own rules, looked at before consent is asked: they can only stop or delay a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

from campaigns.domain.quiet_hours import next_allowed
from campaigns.domain.time_zones import first_known
from campaigns.settings import CampaignsSettings
from campaigns.store import Journey, JourneyEntry, Message, SendingPolicy, entries, journeys, messages
from campaigns.store.complaints import complaining
from campaigns.store.contacts import contacts
from campaigns.store.policies import tenant_profile
from campaigns.store.suppressions import suppressed
from campaigns.store.unsubscribes import waiting
from campaigns.usecases.complaints import LOOK_AGAIN, PAUSED_FOR
from chassis.inputs import uid
from docstore import Row
from docstore.aliases import profiles
from eventing import tombstones

UNKNOWN_FOR = timedelta(minutes=10)
"""How long a message waits for the customer's profile, which may be told after what triggered it."""
_UNKNOWN_AGAIN = timedelta(seconds=5)
_PAUSED_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Person:
    """Who a message goes to: who stands for the profile, all its members, and what is known of it."""

    canonical: str
    members: Sequence[str]
    contact: Row


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a message does not leave now; with `due` it is looked at again then, else `state` is its end."""

    state: str
    reason: str
    due: datetime | None = None


class Screening:
    """What the rules need to know of some messages of one tenant; read at once."""

    def __init__(self, group: Sequence[Message]) -> None:
        self.policy = SendingPolicy.current()
        self.sender = tenant_profile()
        self._profiles = profiles(message.customer for message in group)
        self._contacts = contacts({canonical for canonical, _ in self._profiles.values()})
        emails = {contact["email"] for contact in self._contacts.values() if contact.get("email")}
        self._suppressed = suppressed(emails) if emails else frozenset()
        everybody = {member for _, members in self._profiles.values() for member in members}
        self._unsubscribed = waiting(everybody)
        self._complaining = complaining(everybody)
        self._erased = tombstones.erased(everybody)
        self._journeys = Journey.get_many(uid(message.journey) for message in group)

    def person(self, message: Message) -> Person:
        """Who a message goes to."""
        canonical, members = self._profiles[message.customer]
        return Person(canonical, members, self._contacts.get(canonical, {}))

    def envelope_sender(self, settings: CampaignsSettings) -> str:
        """The address that bounces go to."""
        return parseaddr(settings.mail_from)[1]

    def of(self, message: Message, now: datetime) -> Stop | None:
        """What stops the message now; None when only consent can."""
        person = self.person(message)
        if message.withdrawn:
            return Stop(messages.REFUSED, message.withdrawn)
        if any(member in self._erased for member in person.members):
            return Stop(messages.REFUSED, messages.ERASED)
        if self._journeys[uid(message.journey)].state != journeys.ACTIVE:
            return Stop(messages.DEFERRED, "JOURNEY_PAUSED", now + _PAUSED_AGAIN)
        if not person.contact and now - message.create_time < UNKNOWN_FOR:
            return Stop(messages.DEFERRED, "NO_ADDRESS", now + _UNKNOWN_AGAIN)
        if person.contact.get("delete_time"):
            return Stop(messages.FAILED, "CUSTOMER_DELETED")
        if not person.contact.get("email"):
            return Stop(messages.FAILED, "NO_ADDRESS")
        if any((member, message.purpose) in self._unsubscribed for member in person.members):
            return Stop(messages.REFUSED, messages.UNSUBSCRIBED)
        if len(person.members) > 1 and entries.older_ways(_entry(message), person.members):
            return Stop(messages.SUPPRESSED, "MERGED")
        if person.contact["email"] in self._suppressed:
            return Stop(messages.SUPPRESSED, "ADDRESS_SUPPRESSED")
        if any(member in self._complaining for member in person.members):
            if now - message.create_time >= PAUSED_FOR:
                return Stop(messages.SUPPRESSED, messages.COMPLAINT_OPEN)
            return Stop(messages.DEFERRED, messages.COMPLAINT_OPEN, now + LOOK_AGAIN)
        hours = person.contact.get("send_time") or {}
        if message.best_time and message.best_time > now and "ranking" in hours:
            return Stop(messages.DEFERRED, messages.BEST_TIME, message.best_time)
        zone = first_known(person.contact.get("time_zone"), self.policy.default_time_zone, self.sender.get("time_zone"))
        until = next_allowed(now, zone, self.policy.quiet_hours())
        return Stop(messages.DEFERRED, "QUIET_HOURS", until) if until > now else None


def _entry(message: Message) -> Row:
    return JourneyEntry.rows().find_one({"uid": message.entry}) or {}
