"""Outside OpenID providers whose tokens a tenant accepts."""

from typing import Any, ClassVar

from mongoengine import ListField, StringField
from rapport.access.v1 import issuer_pb2

from access.store.roles import Role
from docstore import Aggregate


class Issuer(Aggregate):
    """An OpenID provider of one tenant."""

    resource = "issuers"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "issuers",
        "indexes": [
            {"fields": ["tenant", "create_time", "id"]},
            {"fields": ["tenant", "issuer_uri"], "unique": True},
            {"fields": ["tenant", "allowed_roles"]},
        ],
    }

    issuer_uri: Any = StringField(required=True)
    audience: Any = StringField(required=True, max_length=500)
    jwks_uri: Any = StringField()
    jwks: Any = StringField()
    roles_claim: Any = StringField(max_length=200)
    allowed_roles: Any = ListField(StringField())
    """Ids of roles, the last part of their names."""

    def assign(self, message: issuer_pb2.Issuer) -> None:
        """Takes over the values callers may set."""
        self.issuer_uri = message.issuer_uri
        self.audience = message.audience
        self.jwks_uri = message.jwks_uri or None
        self.jwks = message.jwks or None
        self.roles_claim = message.roles_claim or None
        self.allowed_roles = [role.removeprefix(f"{Role.resource}/") for role in dict.fromkeys(message.allowed_roles)]

    def to_proto(self) -> issuer_pb2.Issuer:
        """The issuer as callers see it."""
        return issuer_pb2.Issuer(
            name=self.name,
            uid=self.uid,
            issuer_uri=self.issuer_uri,
            audience=self.audience,
            jwks_uri=self.jwks_uri,
            jwks=self.jwks,
            roles_claim=self.roles_claim,
            allowed_roles=[Role.described(role) for role in self.allowed_roles],
            create_time=self.create_time,
            update_time=self.update_time,
            etag=self.etag,
        )
