"""People move on: due entries do their steps until one takes time."""

import logging
from datetime import datetime, timedelta
from email.utils import parseaddr
from functools import cached_property

from pymongo import UpdateOne

from campaigns.domain.best_time import best_instant
from campaigns.domain.journeys import STEPS_MAX, Branch, Definition, End, Send, Wait
from campaigns.domain.time_zones import first_known
from campaigns.inputs import CONDITION_FIELDS
from campaigns.settings import CampaignsSettings
from campaigns.store import Journey, JourneyEntry, JourneyRevision, Message, SendingPolicy, entries, journeys, messages
from campaigns.store.contacts import contacts
from campaigns.store.policies import tenant_profile
from chassis import clock, ids
from chassis.errors import AlreadyExists
from docstore import Row, conditions, due
from docstore.aliases import profiles
from docstore.filters import parse

BATCH = 200
LEASE_S = 30.0
_LOOK_AGAIN = timedelta(minutes=1)
"""How long after its message was due an entry looks by itself what became of it; usually the message's end wakes it."""
_PAUSED_AGAIN = timedelta(seconds=30)

logger = logging.getLogger(__name__)


def advance(settings: CampaignsSettings) -> int:
    """Moves entries of all tenants that are due; returns how many it looked at."""

    def walk(rows: list[Row]) -> None:
        JourneyEntry.rows().bulk_write(_Walk(settings, rows).operations())

    return due.work_by_tenant(JourneyEntry, BATCH, LEASE_S, settings.instance, "advance", walk)


class _Walk:
    """Some entries of one tenant and what their steps need to know."""

    def __init__(self, settings: CampaignsSettings, rows: list[Row]) -> None:
        self._rows = rows
        self._domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
        self._now = clock.now()
        self._journeys = Journey.get_many(row["journey"] for row in rows)
        revisions = JourneyRevision.get_many(JourneyRevision.uid_of(row["journey"], row["revision"]) for row in rows)
        self._definitions = {uid: revision.definition() for uid, revision in revisions.items()}
        self._profiles = profiles(row["customer"] for row in rows)
        self._contacts = contacts({canonical for canonical, _ in self._profiles.values()})
        sent = Message.rows().find(
            {"entry": {"$in": [row["uid"] for row in rows]}}, {"entry": 1, "step": 1, "state": 1, "due": 1}
        )
        self._messages = {(row["entry"], row["step"]): row for row in sent}
        self._wait_for_hour: set[str] = set()

    def operations(self) -> list[UpdateOne]:
        """The writes that move the entries; messages have been stored by then."""
        moved = [self._moved(row) for row in self._rows]
        self._wake_objecting()
        return moved

    def _wake_objecting(self) -> None:
        """Who objected since contacts were read had no message yet that could be woken then."""
        canonical = {customer: self._profiles[customer][0] for customer in self._wait_for_hour}
        known = contacts(set(canonical.values())) if canonical else {}
        hours = {name for name, contact in known.items() if "ranking" in (contact.get("send_time") or {})}
        if without := {customer for customer, name in canonical.items() if name not in hours}:
            messages.wake(without, messages.BEST_TIME, clock.now())

    def _moved(self, row: Row) -> UpdateOne:
        if self._journeys[row["journey"]].state != journeys.ACTIVE:
            return due.plan(row, {}, self._now + _PAUSED_AGAIN)
        definition = self._definitions[JourneyRevision.uid_of(row["journey"], row["revision"])]
        step = row["step"]
        for _ in range(STEPS_MAX):
            match definition.action(step):
                case Wait(duration, following):
                    return due.plan(row, {"step": definition.following(step, following)}, self._now + duration)
                case Branch() as branch:
                    step = self._chosen(definition, step, branch, row)
                case Send() as send:
                    message = self._messages.get((row["uid"], step))
                    if message is None:
                        if self._is_superseded(row):
                            return self._ended(row, entries.SUPERSEDED, step)
                        self._store_message(row, step, send)
                    if message is None or message["state"] in messages.WAITING:
                        planned = (message or {}).get("due") or self._now
                        return due.plan(row, {"step": step}, max(planned, self._now) + _LOOK_AGAIN)
                    step = definition.following(step, send.next)
                case End():
                    break
        return self._ended(row, entries.ENDED, step)

    def _ended(self, row: Row, state: str, step: str) -> UpdateOne:
        return due.plan(row, {"state": state, "step": step, "end_time": self._now}, None)

    def _chosen(self, definition: Definition, step: str, branch: Branch, row: Row) -> str:
        canonical, _ = self._profiles[row["customer"]]
        contact = self._contacts.get(canonical, {})
        values = {f"customer.{name}": contact.get(name) for name in ("language_code", "region_code", "time_zone")}
        values |= {f"score.{name}": value for name, value in row.get("snapshot", {}).items()}
        holds = conditions.holds(parse(branch.condition, CONDITION_FIELDS), values)
        return definition.following(step, branch.then) if holds else branch.otherwise

    def _is_superseded(self, row: Row) -> bool:
        _, members = self._profiles[row["customer"]]
        return len(members) > 1 and entries.older_ways(row, members)

    def _instant(self, row: Row, send: Send) -> datetime:
        """When a message is due: now, or when the person is most active."""
        canonical, _ = self._profiles[row["customer"]]
        contact = self._contacts.get(canonical, {})
        known = contact.get("send_time") or {}
        if send.max_wait is None or "ranking" not in known:
            return self._now
        policy, tenant_zone = self._timing
        return best_instant(
            known["ranking"],
            first_known(known["time_zone"]),
            self._now,
            send.max_wait,
            policy.quiet_hours(),
            first_known(contact.get("time_zone"), policy.default_time_zone, tenant_zone),
        )

    @cached_property
    def _timing(self) -> tuple[SendingPolicy, str | None]:
        return SendingPolicy.current(), tenant_profile().get("time_zone")

    def _store_message(self, row: Row, step: str, send: Send) -> None:
        due_time = self._instant(row, send)
        waits = due_time > self._now
        message = Message.new(
            journey=f"journeys/{row['journey']}",
            step=step,
            entry=row["uid"],
            customer=row["customer"],
            template=send.template,
            purpose=send.purpose,
            snapshot=row.get("snapshot", {}),
            held_out=row.get("held_out"),
            state=messages.DEFERRED if waits else messages.PENDING,
            reason=messages.BEST_TIME if waits else None,
            header=f"<{ids.uuid7()}@{self._domain}>",
            due=due_time,
            best_time=due_time if waits else None,
            traceparent=row.get("traceparent"),
        )
        try:
            message.insert()
            if waits:
                self._wait_for_hour.add(row["customer"])
        except AlreadyExists:
            logger.info("a message was stored by another process; it stays as it is")
