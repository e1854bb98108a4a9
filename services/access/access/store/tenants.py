"""Tenants and their settings."""

from typing import Any, ClassVar

from google.protobuf.message import Message
from mongoengine import EmbeddedDocument, EmbeddedDocumentField, ListField, StringField
from rapport.access.v1 import events_pb2, tenant_pb2

from docstore import Aggregate


class Sender(EmbeddedDocument):
    """Who a tenant's messages come from."""

    meta: ClassVar[dict[str, Any]] = {"strict": False}

    display_name: Any = StringField()
    email: Any = StringField(required=True)


class Settings(EmbeddedDocument):
    """Settings of a tenant, checked by `access.tenant_settings`."""

    meta: ClassVar[dict[str, Any]] = {"strict": False}

    time_zone: Any = StringField(required=True)
    currency_code: Any = StringField(required=True)
    language_codes: Any = ListField(StringField())
    region_code: Any = StringField()
    sender: Any = EmbeddedDocumentField(Sender)


class Tenant(Aggregate):
    """A customer of the installation."""

    resource = "tenants"
    meta: ClassVar[dict[str, Any]] = {"collection": "tenants", "indexes": [{"fields": ["tenant", "create_time", "id"]}]}

    display_name: Any = StringField(required=True, max_length=200)
    settings: Any = EmbeddedDocumentField(Settings, required=True)

    def assign(self, message: tenant_pb2.Tenant) -> None:
        """Takes over the values callers may set."""
        wanted = message.settings
        self.display_name = message.display_name
        self.settings = Settings(
            time_zone=wanted.time_zone,
            currency_code=wanted.currency_code,
            language_codes=list(wanted.language_codes),
            region_code=wanted.region_code or None,
            sender=Sender(display_name=wanted.sender.display_name or None, email=wanted.sender.email)
            if wanted.HasField("sender")
            else None,
        )

    def to_proto(self) -> tenant_pb2.Tenant:
        """The tenant as callers see it."""
        settings = tenant_pb2.TenantSettings(
            time_zone=self.settings.time_zone,
            currency_code=self.settings.currency_code,
            language_codes=self.settings.language_codes,
            region_code=self.settings.region_code,
        )
        if self.settings.sender:
            settings.sender.email = self.settings.sender.email
            settings.sender.display_name = self.settings.sender.display_name or ""
        return tenant_pb2.Tenant(
            name=self.name,
            uid=self.uid,
            display_name=self.display_name,
            settings=settings,
            create_time=self.create_time,
            update_time=self.update_time,
            etag=self.etag,
        )

    def published(self) -> tenant_pb2.Tenant:
        """The tenant as events tell it: without etag and update time, which are known only once it is written."""
        message = self.to_proto()
        message.ClearField("etag")
        message.ClearField("update_time")
        return message

    def state_events(self) -> list[Message]:
        """The tenant as it is, for services that catch up."""
        return [events_pb2.TenantUpdated(tenant=self.published())]
