"""Turns documents into the contract's messages."""

from datetime import date

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.type.date_pb2 import Date
from google.type.timeofday_pb2 import TimeOfDay
from rapport.options.v1 import options_pb2
from rapport.ticketing.v1 import (
    agent_pb2,
    calendar_pb2,
    inbound_mail_pb2,
    queue_pb2,
    sla_policy_pb2,
    ticket_pb2,
)

from chassis import clock as business
from ticketing.domain.business_time import OpenHours
from ticketing.store import Agent, Calendar, InboundMail, Queue, SlaPolicy, Ticket, TicketMessage
from ticketing.store.messages import Attachment
from ticketing.store.text_models import FIGURES, TextModelState
from ticketing.store.tickets import StoredClock
from ticketing.usecases import routing
from ticketing.usecases.learned_models import Learnable


def ticket(document: Ticket) -> ticket_pb2.Ticket:
    """A ticket."""
    answer = ticket_pb2.Ticket(
        name=document.name,
        uid=document.uid,
        subject=document.subject,
        customer=document.customer,
        requester_email=document.requester_email,
        state=document.state,
        priority=document.priority,
        kind=document.kind,
        kind_reason=document.kind_reason,
        intent=document.intent,
        intent_source=document.intent_source,
        intent_suggestion=document.suggestion.message() if document.suggestion else None,
        channel=document.channel,
        language_code=document.language_code,
        queue=f"queues/{document.queue}",
        required_skills=document.skills,
        sentiment=document.sentiment.message() if document.sentiment else None,
        resolve_time=document.resolve_time,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )
    if document.assign_reason:
        answer.assignment.reason = document.assign_reason
    if document.agent:
        answer.assignment.agent = f"agents/{document.agent}"
        answer.assignment.agent_load = document.agent_load or 0
        answer.assignment.assign_time.FromDatetime(document.assign_time)
    clocks = {name: getattr(document, name) for name in ("first_response", "resolution")}
    if document.sla_policy:
        answer.sla.sla_policy = f"slaPolicies/{document.sla_policy}"
    for name, stored in clocks.items():
        if stored is not None:
            hours = routing.rules.get().hours(document.calendar)
            getattr(answer.sla, name).CopyFrom(_progress(stored, hours))
    return answer


def _progress(stored: StoredClock, hours: OpenHours) -> ticket_pb2.SlaProgress:
    clock = stored.value().ticked(business.now())
    return ticket_pb2.SlaProgress(
        due_time=clock.due,
        done_time=clock.done,
        used_duration=Duration(seconds=int(clock.used_at(hours, business.now()).total_seconds())),
        target_duration=Duration(seconds=int(clock.target.total_seconds())),
        paused=clock.since is None and clock.done is None,
        warning_time=clock.warned,
        breach_time=clock.breached,
    )


def ticket_message(document: TicketMessage) -> ticket_pb2.TicketMessage:
    """Something said in a ticket."""
    return ticket_pb2.TicketMessage(
        name=document.name,
        author=document.author,
        text=document.text,
        channel=document.channel,
        principal=document.principal,
        sentiment=document.sentiment.message() if document.sentiment else None,
        attachments=[_attachment(each, document.name) for each in document.attachments],
        message_id=document.message_id,
        send_time=document.send_time,
        create_time=document.create_time,
        uid=document.uid,
        etag=document.etag,
    )


def _attachment(stored: Attachment, message: str) -> ticket_pb2.Attachment:
    return ticket_pb2.Attachment(
        name=f"{message}/attachments/{stored.sha256}" if message and stored.sha256 else "",
        filename=stored.filename,
        content_type=stored.content_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        refusal=stored.refusal,
    )


def file(attachment: Attachment, content: bytes) -> HttpBody:
    """A file that came with a message."""
    body = HttpBody(content_type=attachment.content_type, data=content)
    body.extensions.add().Pack(options_pb2.File(filename=attachment.filename))
    return body


def inbound_mail(document: InboundMail) -> inbound_mail_pb2.InboundMail:
    """What became of a mail, without the mail."""
    return inbound_mail_pb2.InboundMail(
        name=document.name,
        uid=document.uid,
        state=document.state,
        reason=document.reason,
        ticket=document.ticket,
        ticket_message=document.message,
        customer=document.customer,
        masked_sender=document.masked_sender,
        message_id=document.message_id,
        size_bytes=document.size_bytes,
        attachments=[_attachment(each, document.message or "") for each in document.attachments],
        create_time=document.create_time,
        process_time=document.process_time,
        etag=document.etag,
    )


def agent(document: Agent, load: int) -> agent_pb2.Agent:
    """An agent with the number of unresolved tickets."""
    return agent_pb2.Agent(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        principal=document.principal,
        skills=document.skills,
        languages=document.languages,
        capacity=document.capacity,
        available=document.available,
        load=load,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def queue(document: Queue) -> queue_pb2.Queue:
    """A queue; the default one has no times and no etag until somebody has changed it."""
    return queue_pb2.Queue(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        filter=document.filter,
        order=document.order,
        required_skills=document.skills,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag if document.version else "",
    )


def calendar(document: Calendar) -> calendar_pb2.Calendar:
    """A calendar."""
    return calendar_pb2.Calendar(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        time_zone=document.time_zone,
        hours=[
            calendar_pb2.OpenHours(day_of_week=each.day + 1, start=_time(each.start), end=_time(each.end))
            for each in document.hours
        ],
        holidays=[_date(date.fromisoformat(day)) for day in document.holidays],
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def sla_policy(document: SlaPolicy) -> sla_policy_pb2.SlaPolicy:
    """An SLA policy."""
    return sla_policy_pb2.SlaPolicy(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        calendar=f"calendars/{document.calendar}",
        filter=document.filter,
        order=document.order,
        targets=[
            sla_policy_pb2.SlaTarget(
                priority=each.priority,
                first_response=_duration(each.first_response),
                resolution=_duration(each.resolution),
            )
            for each in document.targets
        ],
        warning_percent=document.warning_percent,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def text_model(learnable: Learnable, document: TextModelState | None) -> Message:
    """A model of the tenant; None: nothing has been there to learn from."""
    told = learnable.contract(name=learnable.subject, stated_precision=learnable.precision)
    if document is None:
        told.messages.append(learnable.nothing)
        return told
    told.messages.extend(document.messages)
    if document.attempt_time:
        told.attempt_time.FromDatetime(document.attempt_time)
    if document.artefact:
        told.version, told.texts = document.version, document.texts
        for label in document.labels:
            told.labels.add(**label)
        told.learn_time.FromDatetime(document.learn_time)
        for name in FIGURES:
            if (value := getattr(document, name)) is not None:
                setattr(told, name, value)
    return told


def _time(minutes: int) -> TimeOfDay:
    return TimeOfDay(hours=minutes // 60, minutes=minutes % 60)


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def _duration(seconds: int | None) -> Duration | None:
    return None if seconds is None else Duration(seconds=seconds)
