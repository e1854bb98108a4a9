"""Journeys and the revisions of their steps."""

from datetime import timedelta
from typing import Any, ClassVar

import mongoengine as me

from campaigns.domain import journeys as rules
from docstore.aggregate import Aggregate
from docstore.records import Record

DRAFT, ACTIVE, PAUSED = "STATE_DRAFT", "STATE_ACTIVE", "STATE_PAUSED"


class Step(me.EmbeddedDocument):
    """One step; `kind` says which of the fields count."""

    step: Any = me.StringField(required=True)
    kind: Any = me.StringField(required=True, choices=["wait", "branch", "send", "end"])
    seconds: Any = me.FloatField()
    condition: Any = me.StringField()
    template: Any = me.StringField()
    purpose: Any = me.StringField()
    max_wait: Any = me.FloatField()
    """Seconds that a send waits at most for the person's best hour."""
    next: Any = me.StringField()
    """The next step of wait and send, that of a branch whose condition holds."""
    otherwise: Any = me.StringField()

    @classmethod
    def of(cls, step: rules.Step) -> "Step":
        """The step as stored."""
        match step.action:
            case rules.Wait(duration, following):
                return cls(step=step.id, kind="wait", seconds=duration.total_seconds(), next=following)
            case rules.Branch(condition, then, otherwise):
                return cls(step=step.id, kind="branch", condition=condition, next=then, otherwise=otherwise)
            case rules.Send(template, purpose, following, max_wait):
                seconds = max_wait.total_seconds() if max_wait is not None else None
                return cls(
                    step=step.id, kind="send", template=template, purpose=purpose, next=following, max_wait=seconds
                )
            case rules.End():
                return cls(step=step.id, kind="end")

    def value(self) -> rules.Step:
        """The step as the rules know it."""
        following = self.next or ""
        action: rules.Action
        match self.kind:
            case "wait":
                action = rules.Wait(timedelta(seconds=self.seconds), following)
            case "branch":
                action = rules.Branch(self.condition, following, self.otherwise)
            case "send":
                longest = timedelta(seconds=self.max_wait) if self.max_wait is not None else None
                action = rules.Send(self.template, self.purpose, following, longest)
            case _:
                action = rules.End()
        return rules.Step(self.step, action)


class JourneyRevision(Record):
    """The steps of one revision, kept as long as somebody goes by them; its uid is `<journey>.<number>`."""

    meta: ClassVar[dict[str, Any]] = {"collection": "journey_revisions"}
    journey: Any = me.StringField(required=True)
    number: Any = me.IntField(required=True)
    steps: Any = me.EmbeddedDocumentListField(Step, required=True)

    @staticmethod
    def uid_of(journey: str, number: int) -> str:
        """The uid of a revision of the journey with that uid."""
        return f"{journey}.{number}"

    def definition(self) -> rules.Definition:
        """The steps as a graph."""
        return rules.Definition([step.value() for step in self.steps])


class Journey(Aggregate):
    """A journey; its uid is chosen by whoever creates it. Its steps are those of its last revision."""

    resource = "journeys"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "journeys",
        "indexes": [["tenant", "create_time", "id"], ["tenant", "trigger", "state"]],
    }

    display_name: Any = me.StringField(required=True)
    trigger: Any = me.StringField(required=True)
    """The segment's name, or the name of an event."""
    trigger_kind: Any = me.StringField(required=True, choices=["segment", "event"])
    state: Any = me.StringField(required=True, choices=[DRAFT, ACTIVE, PAUSED])
    revision: Any = me.IntField(required=True)
    holdout_percent: Any = me.IntField(required=True, default=0)
    holdout_salt: Any = me.StringField(default="")
    """Makes the draw of who is held out this journey's own; empty in those of before there was one."""
