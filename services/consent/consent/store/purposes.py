"""Purposes and the versions of their notices."""

from typing import Any, ClassVar

import mongoengine as me

from consent.domain.decisions import LegalBasis, Terms
from docstore.aggregate import Aggregate
from docstore.documents import InstantField
from docstore.records import Record


class NoticeText(me.EmbeddedDocument):
    """A notice in one language (BCP 47)."""

    language_code: Any = me.StringField(required=True)
    text: Any = me.StringField(required=True)


class Notice(Record):
    """One version of a purpose's notice, kept for good as it was shown; its uid is `<purpose>.<version>`."""

    meta: ClassVar[dict[str, Any]] = {"collection": "notices"}
    purpose: Any = me.StringField(required=True)
    number: Any = me.IntField(required=True)
    """The version, from 1."""
    texts: Any = me.EmbeddedDocumentListField(NoticeText, required=True)
    renewal_required: Any = me.BooleanField(required=True)
    create_time: Any = InstantField(required=True)

    @staticmethod
    def uid_of(purpose: str, number: int) -> str:
        """The uid of a version of the notice of the purpose with that uid."""
        return f"{purpose}.{number}"


class Purpose(Aggregate):
    """Why personal data is used; its uid is chosen by whoever creates it."""

    resource = "purposes"
    meta: ClassVar[dict[str, Any]] = {"collection": "purposes", "indexes": [["tenant", "create_time", "id"]]}

    display_name: Any = me.StringField(required=True)
    legal_basis: Any = me.StringField(required=True, choices=[basis.value for basis in LegalBasis])
    channels: Any = me.ListField(me.StringField(), required=True)
    double_opt_in: Any = me.BooleanField(required=True)
    notice_version: Any = me.IntField(required=True)
    """The notice shown now; 0 without any."""
    valid_from_version: Any = me.IntField(required=True)
    """Grants to earlier notices are void."""

    def terms(self) -> Terms:
        """What the purpose says about deciding."""
        return Terms(LegalBasis(self.legal_basis), frozenset(self.channels), self.valid_from_version)
