"""Templates: saved only when they can be trusted, previewed as they would be sent."""

from collections.abc import Mapping

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.campaigns.v1 import campaigns_service_pb2, template_pb2

import docstore
from campaigns import answers, inputs, mail, rendering
from campaigns.rendering import Texts
from campaigns.store import Template
from campaigns.store.contacts import contacts
from chassis import inputs as fields
from chassis.errors import FailedPrecondition, NotFound
from docstore import masks
from docstore.aliases import profiles

_PREVIEW_URL = "https://example.com/unsubscribe"


@docstore.command(Template)
def create(uid: str, message: template_pb2.Template) -> Template:
    """Creates a template. Raises AlreadyExists for a taken id, InvalidArgument TEMPLATE_INVALID."""
    template = Template.new(uid=uid)
    _assign(template, message)
    return template.insert()


@docstore.command(Template)
def update(message: template_pb2.Template, mask: FieldMask) -> Template:
    """Changes what the mask names, under the etag in `message` if there is one.

    Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument.
    """
    template = Template.get(fields.uid(message.name))
    wanted = answers.template(template)
    masks.apply(mask, message, wanted)
    _assign(template, wanted)
    return template.save(message.etag or None)


def preview(
    template: Template, language_code: str, customer: str, values: Mapping[str, str]
) -> campaigns_service_pb2.TemplatePreview:
    """The template as a reader would get it, without tracking.

    Raises NotFound for a customer campaigns knows nothing of, FailedPrecondition TEMPLATE_FAILED.
    """
    contact = {}
    if customer:
        canonical, _ = profiles([customer])[customer]
        known = contacts([canonical])
        if canonical not in known:
            raise NotFound("NOT_FOUND", f"{customer} does not exist.", metadata={"resource": customer})
        contact = known[canonical]
    content = mail.content_for(template, language_code or contact.get("language_code") or "")
    fallbacks = mail.fallbacks(template, content)
    known_values = mail.values_of(contact, {}) | {name: text for name, text in values.items() if text.strip()}
    try:
        texts = rendering.render(
            Texts(content.subject, content.text, content.html or ""),
            known_values | {rendering.UNSUBSCRIBE_URL: _PREVIEW_URL},
            fallbacks,
        )
    except rendering.RenderingRefused as error:
        raise FailedPrecondition("TEMPLATE_FAILED", f"{template.name} cannot be rendered: {error}.") from None
    return campaigns_service_pb2.TemplatePreview(
        language_code=content.language_code,
        subject=texts.subject,
        text=texts.text,
        html=texts.html,
        fallbacks_used=rendering.missing(known_values, fallbacks),
    )


def _assign(template: Template, message: template_pb2.Template) -> None:
    template.display_name = fields.display_name(message.display_name, "template.display_name")
    template.variables, template.contents = inputs.contents(message)
