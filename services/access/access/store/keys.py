"""Keys of programs. Only the hash of a secret is kept."""

from datetime import datetime
from typing import Any, ClassVar

from mongoengine import BinaryField, BooleanField, StringField
from rapport.access.v1 import key_pb2

from access.store.principals import Principal
from docstore import Aggregate
from docstore.documents import InstantField

API = "api"
WRITE = "write"
_KINDS = {API: key_pb2.Key.KIND_API, WRITE: key_pb2.Key.KIND_WRITE}


class Key(Aggregate):
    """A credential of a program: an API key of a principal, or a write key of a source."""

    resource = "keys"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "keys",
        "indexes": [
            {"fields": ["tenant", "create_time", "id"]},
            {"fields": ["tenant", "principal", "revoke_time"]},
        ],
    }

    display_name: Any = StringField(max_length=200)
    kind: Any = StringField(required=True, choices=(API, WRITE))
    principal: Any = StringField()
    """Id of the principal an API key acts as."""
    source: Any = StringField()
    secret_hash: Any = BinaryField(required=True, max_bytes=32)
    expire_time: Any = InstantField(required=True)
    revoke_time: Any = InstantField()
    bootstrap: Any = BooleanField()
    """True for the key that comes from the installation's configuration; `migrate` alone makes it."""

    def state(self, now: datetime) -> key_pb2.Key.State:
        """Whether the key opens anything at a (real) instant."""
        if self.revoke_time:
            return key_pb2.Key.STATE_REVOKED
        return key_pb2.Key.STATE_ACTIVE if now < self.expire_time else key_pb2.Key.STATE_EXPIRED

    def to_proto(self, now: datetime) -> key_pb2.Key:
        """The key as callers see it, without its secret."""
        return key_pb2.Key(
            name=self.name,
            uid=self.uid,
            display_name=self.display_name,
            kind=_KINDS[self.kind],
            principal=Principal.described(self.principal) if self.principal else None,
            source=self.source,
            expire_time=self.expire_time,
            state=self.state(now),
            create_time=self.create_time,
            revoke_time=self.revoke_time,
            etag=self.etag,
        )
