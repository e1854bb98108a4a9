import mongoengine as me
from rapport.identity.v1 import events_pb2

import docstore


class Thing(docstore.Aggregate):
    """Publishes."""

    label = me.StringField()
    number = me.IntField(default=0)

    resource = "things"
    meta = {"collection": "things"}

    def state_events(self):
        return [
            events_pb2.CustomerUpdated(customer=events_pb2.CustomerState(customer=self.name, display_name=self.label))
        ]


class Seen(docstore.Record):
    """What a handler did: `uid` = handler/what, `times` counts."""

    times = me.IntField()
    label = me.StringField()
    sequence = me.ListField(me.IntField())
    at = docstore.InstantField()

    meta = {"collection": "seen"}
