"""Roles: named sets of permissions."""

from typing import Any, ClassVar

from mongoengine import BooleanField, ListField, StringField
from rapport.access.v1 import role_pb2

from docstore import Aggregate


class Role(Aggregate):
    """A named set of permissions of one tenant."""

    resource = "roles"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "roles",
        "indexes": [{"fields": ["tenant", "create_time", "id"]}],
    }

    display_name: Any = StringField(max_length=200)
    permissions: Any = ListField(StringField(), required=True)
    built_in: Any = BooleanField(default=False)

    def assign(self, message: role_pb2.Role) -> None:
        """Takes over the values callers may set."""
        self.display_name = message.display_name
        self.permissions = list(message.permissions)

    def to_proto(self) -> role_pb2.Role:
        """The role as callers see it."""
        return role_pb2.Role(
            name=self.name,
            uid=self.uid,
            display_name=self.display_name,
            permissions=self.permissions,
            create_time=self.create_time,
            update_time=self.update_time,
            etag=self.etag,
            built_in=self.built_in,
        )
