"""Templates: what is written, by language."""

from typing import Any, ClassVar

import mongoengine as me

from docstore.aggregate import Aggregate


class Variable(me.EmbeddedDocument):
    """A variable with what stands in for a missing value."""

    name: Any = me.StringField(required=True)
    fallback: Any = me.StringField(required=True)


class Content(me.EmbeddedDocument):
    """The texts in one language (BCP 47), checked by `campaigns.rendering`."""

    language_code: Any = me.StringField(required=True)
    subject: Any = me.StringField(required=True)
    text: Any = me.StringField(required=True)
    html: Any = me.StringField()
    fallbacks: Any = me.DictField()


class Template(Aggregate):
    """A message to be written to many; its uid is chosen by whoever creates it."""

    resource = "templates"
    meta: ClassVar[dict[str, Any]] = {"collection": "templates", "indexes": [["tenant", "create_time", "id"]]}

    display_name: Any = me.StringField(required=True)
    variables: Any = me.EmbeddedDocumentListField(Variable)
    contents: Any = me.EmbeddedDocumentListField(Content, required=True)
