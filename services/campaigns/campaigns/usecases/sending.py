"""Messages leave: rules of the sender first, then consent's decision, then the mail server.

A message is written down whole before it is handed over, so that an attempt repeated after a crash is the same mail
with the same Message-ID. Whatever is known about it at any instant is in its document; a process that dies leaves it
claimed until its lease ends, and the next one goes on from there.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

from rapport.campaigns.v1 import events_pb2

from campaigns import consenting, mail, rendering
from campaigns.consenting import ConsentAway, PurposeUnknown, Verdict
from campaigns.settings import CampaignsSettings
from campaigns.store import Message, Suppression, Template, contacts, entries, messages
from campaigns.store.suppressions import HARD_BOUNCE, fingerprint
from campaigns.usecases.screening import Screening
from chassis import clock, metric_names, telemetry, tenancy
from chassis.errors import AlreadyExists
from chassis.inputs import uid
from chassis.smtp import Mailer, PermanentMailError, TransientMailError
from docstore import Conflict, Row, due, leases, tracing

BATCH = 25
LEASE_S = 60.0
RETRY_FIRST, RETRY_MAX = timedelta(seconds=5), timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=3)
_NO_MAILBOX = (550, 551, 553)
"""Answers about the mailbox itself (RFC 5321, section 4.2.3)."""
_CONSENT_PAUSE_S = 2.0
_ATTEMPTS_TO_WRITE = 8

logger = logging.getLogger(__name__)


def send_due(settings: CampaignsSettings, mailer: Mailer) -> int:
    """Sends, defers or ends messages of all tenants that are due; returns how many it looked at."""

    def send(rows: list[Row]) -> None:
        _Batch(settings, mailer, tenancy.tenant(), [Message.from_row(row) for row in rows]).work()

    return due.work_by_tenant(Message, BATCH, LEASE_S, settings.instance, "send", send)


class _Batch:
    """Some claimed messages of one tenant."""

    def __init__(self, settings: CampaignsSettings, mailer: Mailer, tenant: str, waiting: list[Message]) -> None:
        self._settings = settings
        self._mailer = mailer
        self._tenant = tenant
        self._screening = Screening(waiting)
        self._waiting = waiting
        self._templates = Template.get_many(uid(message.template) for message in waiting)

    def work(self) -> None:
        """Settles each message, or hands it back."""
        by_purpose: dict[str, list[Message]] = defaultdict(list)
        for message in self._waiting:
            verdict = self._screening.of(message, clock.now())
            if verdict is None:
                by_purpose[message.purpose].append(message)
            elif verdict.due is None:
                self._end(message, verdict.state, verdict.reason)
            else:
                self._defer(message, verdict.reason, verdict.due)
        for purpose, group in by_purpose.items():
            try:
                self._decide_and_send(purpose, group)
            except PurposeUnknown:
                for message in group:
                    self._end(message, messages.FAILED, "PURPOSE_UNKNOWN")
            except ConsentAway as error:
                logger.warning("consent does not decide (%s): nothing is sent", error.code)
                self._hand_back(group, _CONSENT_PAUSE_S)

    def _decide_and_send(self, purpose: str, group: list[Message]) -> None:
        people = {message.uid: self._screening.person(message) for message in group}
        asked = {customer for message in group for customer in (message.customer, people[message.uid].canonical)}
        verdicts = consenting.decide(self._settings, sorted(asked), purpose)
        for index, message in enumerate(group):
            if time.monotonic() > verdicts.good_until:
                self._hand_back(group[index:], 0.0)
                return
            verdict = verdicts.of([message.customer, people[message.uid].canonical])
            with tracing.continued(message.traceparent, "send message"):
                if not verdict.allowed:
                    self._end(message, messages.REFUSED, verdict.reason, verdict.decision)
                elif not self._send(message, verdict, verdicts.good_until):
                    self._hand_back(group[index + 1 :], RETRY_FIRST.total_seconds())
                    return

    def _send(self, message: Message, verdict: Verdict, good_until: float) -> bool:
        """One attempt; False when the mail server is not there for anybody."""
        person, policy = self._screening.person(message), self._screening.policy
        others = [member for member in person.members if member != person.canonical]
        cap, days = policy.cap_messages, policy.cap_days
        if not contacts.reserve(person.canonical, others, message.uid, clock.now(), cap, days):
            self._end(message, messages.SUPPRESSED, "FREQUENCY_CAP", verdict.decision)
            return True
        if message.held_out:
            # As late as can be: those held out are people who would have got it.
            self._end(message, messages.HELD_OUT, decision=verdict.decision)
            return True
        try:
            ready = self._written_down(message, verdict)
        except rendering.RenderingRefused:
            logger.warning("a message cannot be rendered", extra={"message": message.name})
            self._end(message, messages.FAILED, "TEMPLATE_FAILED", verdict.decision)
            return True
        if ready is None:
            return True
        if time.monotonic() > good_until:
            self._settle(ready, _not_handed_over)
            self._hand_back([ready], 0.0)
            return True
        raw, recipient = mail.unsealed(ready)
        try:
            self._mailer.send(raw, ready.header, self._screening.envelope_sender(self._settings), recipient)
        except PermanentMailError as error:
            logger.warning("the mail server refused a message for good", extra={"smtp_code": error.code})
            _count("refused")
            self._end(ready, messages.FAILED, "MAIL_SERVER_REFUSED", verdict.decision)
            if error.code in _NO_MAILBOX:
                _suppress(recipient)
        except TransientMailError as error:
            logger.warning("the mail server is not there for us", extra={"smtp_code": error.code})
            _count("deferred")
            pause = min(RETRY_MAX, RETRY_FIRST * 2 ** min(ready.attempts - 1, 10))
            if clock.now() - ready.create_time > GIVEN_UP_AFTER:
                self._end(ready, messages.FAILED, "MAIL_SERVER_AWAY", verdict.decision)
            else:
                self._defer(ready, "MAIL_SERVER_AWAY", clock.now() + pause)
            return error.code is not None
        else:
            _count("sent")
            self._sent(ready, verdict)
        return True

    def _written_down(self, message: Message, verdict: Verdict) -> Message | None:
        """The message with its mail and its decision stored, about to be handed over; None when it was cancelled."""
        rendered = None
        if not message.sealed:
            person, sender = self._screening.person(message), self._screening.sender
            template = self._templates[uid(message.template)]
            rendered = mail.render(template, message, person.contact, sender, self._tenant, self._settings)

        def handing_over(found: Message) -> None:
            if rendered and not found.sealed:
                found.sealed, found.links = rendered.sealed, rendered.links
                found.language_code, found.masked_email = rendered.language_code, rendered.masked_email
            found.decision, found.handover, found.withdrawn = verdict.decision, True, None
            found.attempts += 1

        return self._settle(message, handing_over)

    def _sent(self, message: Message, verdict: Verdict) -> None:
        now = clock.now()

        def sent(found: Message) -> None:
            found.end(messages.SENT)
            found.send_time, found.decision = now, verdict.decision
            event = events_pb2.MessageSent(message=found.reference(), decision=verdict.decision)
            event.send_time.FromDatetime(now)
            found.emit(event, [found.customer])

        self._settle(message, sent, ends=True)

    def _end(self, message: Message, state: str, reason: str = "", decision: str = "") -> None:
        def ended(found: Message) -> None:
            found.end(state, reason)
            found.decision = decision or found.decision

        self._settle(message, ended, ends=True)
        contacts.release(self._screening.person(message).canonical, message.uid)

    def _defer(self, message: Message, reason: str, until: datetime) -> None:
        ended = []

        def deferred(found: Message) -> None:
            if found.withdrawn:
                ended.append(found.withdrawn)
                found.end(messages.REFUSED, found.withdrawn)
            else:
                found.state, found.reason, found.due, found.handover = messages.DEFERRED, reason, until, None

        written = self._settle(message, deferred, ends=False)
        if ended and written:
            entries.wake([message.entry], clock.now())
        elif written:
            self._hand_back([written], 0.0)

    def _settle(self, message: Message, change: Callable[[Message], None], *, ends: bool = False) -> Message | None:
        """Writes a change of a claimed message, over whatever others wrote meanwhile; None when the claim was lost."""
        found: Message | None = message
        for _ in range(_ATTEMPTS_TO_WRITE):
            if found is None:
                return None
            change(found)
            try:
                found.save()
            except Conflict:
                found = _still_claimed(message)
                continue
            if ends:
                entries.wake([found.entry], clock.now())
            return found
        raise Conflict(message.name)

    def _hand_back(self, group: list[Message], pause_s: float) -> None:
        for message in group:
            leases.release(Message.rows(), messages.claimed(message), pause_s=pause_s)


def _still_claimed(message: Message) -> Message | None:
    row = Message.rows().find_one(leases.held(messages.claimed(message)), Message.projection())
    return Message.from_row(row) if row else None


def _not_handed_over(message: Message) -> None:
    message.handover = None


def _suppress(recipient: str) -> None:
    try:
        Suppression.new(uid=fingerprint(recipient), reason=HARD_BOUNCE).insert()
    except AlreadyExists:
        logger.info("the address is suppressed already")


def _count(outcome: str) -> None:
    telemetry.counter(metric_names.MAIL_SENT).add(1, {"rapport.mail.outcome": outcome})
