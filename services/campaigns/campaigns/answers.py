"""Turns documents and values of the use cases into the contract's messages."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.type.timeofday_pb2 import TimeOfDay
from rapport.campaigns.v1 import journey_pb2, message_pb2, sending_policy_pb2, suppression_pb2, template_pb2

from campaigns.domain import journeys as rules
from campaigns.store import Journey, JourneyEntry, Message, SendingPolicy, Suppression, Template


def template(document: Template) -> template_pb2.Template:
    """A template."""
    return template_pb2.Template(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        variables=[
            template_pb2.TemplateVariable(name=variable.name, fallback=variable.fallback)
            for variable in document.variables
        ],
        contents=[
            template_pb2.TemplateContent(
                language_code=content.language_code,
                subject=content.subject,
                text=content.text,
                html=content.html or "",
                fallbacks=dict(content.fallbacks or {}),
            )
            for content in document.contents
        ],
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def journey(document: Journey, definition: rules.Definition) -> journey_pb2.Journey:
    """A journey with the steps of its present revision."""
    return journey_pb2.Journey(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        trigger=journey_pb2.Trigger(**{document.trigger_kind: document.trigger}),
        steps=[_step(step) for step in definition.steps],
        state=document.state,
        revision=document.revision,
        holdout_percent=document.holdout_percent,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def _step(step: rules.Step) -> journey_pb2.Step:
    match step.action:
        case rules.Wait(duration, following):
            return journey_pb2.Step(id=step.id, wait=journey_pb2.Wait(duration=_duration(duration)), next=following)
        case rules.Branch(condition, then, otherwise):
            branch = journey_pb2.Branch(condition=condition, then=then, otherwise=otherwise)
            return journey_pb2.Step(id=step.id, branch=branch)
        case rules.Send(template, purpose, following, max_wait):
            best = journey_pb2.BestTime(max_wait=_duration(max_wait)) if max_wait is not None else None
            send = journey_pb2.Send(template=template, purpose=purpose, at_best_time=best)
            return journey_pb2.Step(id=step.id, send=send, next=following)
        case rules.End():
            return journey_pb2.Step(id=step.id, end=journey_pb2.End())


def entry(document: JourneyEntry) -> journey_pb2.JourneyEntry:
    """A person's way through a journey."""
    answer = journey_pb2.JourneyEntry(
        name=document.name,
        customer=document.customer,
        journey_revision=document.revision,
        state=document.state,
        step=document.step or "",
        group="GROUP_HELD_OUT" if document.held_out else "GROUP_TREATED",
        due_time=document.due,
        create_time=document.create_time,
        end_time=document.end_time,
    )
    answer.snapshot.update(dict(document.snapshot or {}))
    return answer


def message(document: Message) -> message_pb2.Message:
    """A message."""
    return message_pb2.Message(
        name=document.name,
        uid=document.uid,
        journey=document.journey,
        step=document.step,
        journey_entry=f"{document.journey}/entries/{document.entry}",
        customer=document.customer,
        template=document.template,
        purpose=document.purpose,
        state=document.state,
        reason=document.reason or "",
        decision=document.decision or "",
        message_id_header=document.header,
        language_code=document.language_code or "",
        attempt_count=document.attempts,
        due_time=document.due,
        send_time=document.send_time,
        click_count=document.clicks,
        first_click_time=document.first_click_time,
        open_count=document.opens,
        first_open_time=document.first_open_time,
        create_time=document.create_time,
        update_time=document.update_time,
    )


def suppression(document: Suppression) -> suppression_pb2.Suppression:
    """A suppression, without its address."""
    return suppression_pb2.Suppression(
        name=document.name,
        uid=document.uid,
        reason=document.reason,
        create_time=document.create_time,
        etag=document.etag,
    )


def policy(document: SendingPolicy) -> sending_policy_pb2.SendingPolicy:
    """The sending policy."""
    start, end = (
        TimeOfDay(hours=minutes // 60, minutes=minutes % 60) for minutes in (document.quiet_start, document.quiet_end)
    )
    return sending_policy_pb2.SendingPolicy(
        name="sendingPolicy",
        cap_messages=document.cap_messages,
        cap_days=document.cap_days,
        quiet_start=start,
        quiet_end=end,
        default_time_zone=document.default_time_zone or "",
        update_time=document.update_time,
        etag=document.etag,
    )


def _duration(value: timedelta) -> Any:
    duration = Duration()
    duration.FromTimedelta(value)
    return duration
