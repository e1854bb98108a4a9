"""Principals: the people and programs that act."""

from typing import Any, ClassVar

from mongoengine import BooleanField, ListField, StringField
from rapport.access.v1 import principal_pb2

from access.store.roles import Role
from docstore import Aggregate


class Principal(Aggregate):
    """A person or a program of one tenant."""

    resource = "principals"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "principals",
        "indexes": [
            {"fields": ["tenant", "create_time", "id"]},
            {"fields": ["tenant", "roles"]},
            {
                "fields": ["tenant", "issuer", "subject"],
                "unique": True,
                "partialFilterExpression": {"issuer": {"$exists": True}},
            },
        ],
    }

    display_name: Any = StringField(required=True, max_length=200)
    roles: Any = ListField(StringField())
    """Ids of roles, the last part of their names."""
    issuer: Any = StringField()
    """Absent, not empty, for principals without an outside identity: the unique index skips them."""
    subject: Any = StringField(max_length=255)
    disabled: Any = BooleanField(default=False)

    def assign(self, message: principal_pb2.Principal) -> None:
        """Takes over the values callers may set."""
        self.display_name = message.display_name
        self.roles = [role.removeprefix(f"{Role.resource}/") for role in dict.fromkeys(message.roles)]
        self.issuer = message.issuer or None
        self.subject = message.subject or None
        self.disabled = message.disabled

    def to_proto(self) -> principal_pb2.Principal:
        """The principal as callers see it."""
        return principal_pb2.Principal(
            name=self.name,
            uid=self.uid,
            display_name=self.display_name,
            roles=[Role.described(role) for role in self.roles],
            issuer=self.issuer,
            subject=self.subject,
            disabled=self.disabled,
            create_time=self.create_time,
            update_time=self.update_time,
            etag=self.etag,
        )
