"""The mail: rendered once with its tracked links, kept encrypted until it has been sent."""

import html
import re
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, parseaddr
from typing import Any

from bson import Binary

from campaigns import rendering
from campaigns.domain import links
from campaigns.rendering import Texts
from campaigns.settings import CampaignsSettings
from campaigns.store import Message, Template
from campaigns.store.templates import Content
from chassis import clock, keys
from docstore import Row

CLICK, OPEN, UNSUBSCRIBE = "campaigns-click", "campaigns-open", "campaigns-unsubscribe"
"""Purposes of link tokens."""
LINK_LIFETIME = timedelta(days=366)
LINKS_MAX = 200
_SEAL_USE = "campaign-mail"
_FOOTERS = {"en": "Unsubscribe", "de": "Abmelden", "fr": "Se désabonner", "es": "Darse de baja"}
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail ready to leave, and the targets that its links name by index."""

    sealed: Binary
    links: list[str]
    language_code: str
    masked_email: str


def fallbacks(template: Template, content: Content) -> dict[str, str]:
    """What stands in for missing values in one language."""
    own = dict(content.fallbacks or {})
    return {variable.name: own.get(variable.name) or variable.fallback for variable in template.variables}


def content_for(template: Template, language_code: str) -> Content:
    """The texts in the best language for a reader."""
    codes = [content.language_code for content in template.contents]
    content: Content = template.contents[codes.index(rendering.best_language(language_code, codes))]
    return content


def values_of(contact: Row, snapshot: Row) -> dict[str, str]:
    """What variables stand for: the person's fields, and before them what the trigger told."""
    known = {name: contact.get(name) for name in ("given_name", "display_name", "language_code", "region_code")}
    return {name: _shown(value) for name, value in {**known, **snapshot}.items() if value is not None}


def render(
    template: Template, message: Message, contact: Row, sender: Row, tenant: str, settings: CampaignsSettings
) -> Rendered:
    """The mail for one person. Raises rendering.RenderingRefused."""
    content = content_for(template, contact.get("language_code") or "")
    source = Texts(content.subject, content.text, content.html or "")
    public = settings.public_url.rstrip("/")
    unsubscribe = f"{public}/u/{_token(UNSUBSCRIBE, tenant, message)}"
    values = values_of(contact, message.snapshot or {}) | {rendering.UNSUBSCRIBE_URL: unsubscribe}
    texts = rendering.render(source, values, fallbacks(template, content))
    texts = _with_footer(source, texts, unsubscribe, content.language_code)
    targets: list[str] = []

    def tracked(url: str) -> str:
        if url.startswith(f"{public}/u/") or (url not in targets and len(targets) >= LINKS_MAX):
            return url
        if url not in targets:
            targets.append(url)
        return f"{public}/l/{_token(CLICK, tenant, message, l=targets.index(url))}"

    text = links.rewrite_text(texts.text, links.origins(source.text), tracked)
    page = links.rewrite_html(texts.html, links.origins(source.html), tracked) if texts.html else ""
    if page:
        pixel = f'<img src="{public}/o/{_token(OPEN, tenant, message)}" width="1" height="1" alt="">'
        page = _before_end(page, pixel)
    recipient = contact["email"]
    mail = _mail(Texts(texts.subject, text, page), message.header, recipient, sender, unsubscribe, settings)
    mail["Content-Language"] = content.language_code
    sealed = keys.keyring().seal(_SEAL_USE, mail.as_bytes(), message.uid.encode())
    return Rendered(Binary(sealed), targets, content.language_code, mask_email(recipient))


def unsealed(message: Message) -> tuple[bytes, str]:
    """The stored mail and its recipient. Raises chassis.keys.InvalidToken when its key is gone from the keyring."""
    raw = keys.keyring().open(_SEAL_USE, bytes(message.sealed), message.uid.encode())
    return raw, parseaddr(str(message_from_bytes(raw, policy=policy.SMTP)["To"]))[1]


def mask_email(address: str) -> str:
    """The address so that its owner knows it and others do not, such as `a***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def _mail(
    texts: Texts, header: str, recipient: str, sender: Row, unsubscribe: str, settings: CampaignsSettings
) -> EmailMessage:
    # 7bit: relays without 8BITMIME must not change the body. Lines as long as RFC 5322 allows: tokens cannot be folded.
    mail = EmailMessage(policy.SMTP.clone(cte_type="7bit", utf8=not recipient.isascii(), max_line_length=998))
    own = sender.get("sender_email")
    mail["From"] = formataddr((sender.get("sender_name") or "", own)) if own else settings.mail_from
    mail["To"] = recipient
    mail["Subject"] = texts.subject
    mail["Date"] = format_datetime(clock.real_now())
    mail["Message-ID"] = header
    mail["List-Unsubscribe"] = f"<{unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058.
    mail.set_content(texts.text)
    if texts.html:
        mail.add_alternative(texts.html, subtype="html")
    return mail


def _with_footer(source: Texts, texts: Texts, unsubscribe: str, language_code: str) -> Texts:
    """The texts, each with a way to unsubscribe that everybody sees."""
    label = _FOOTERS.get(language_code.split("-")[0], _FOOTERS["en"])
    text, page = texts.text, texts.html
    if rendering.UNSUBSCRIBE_URL not in source.text:
        text = f"{text.rstrip()}\n\n-- \n{label}: {unsubscribe}\n"
    if page and rendering.UNSUBSCRIBE_URL not in source.html:
        page = _before_end(page, f'<p><a href="{html.escape(unsubscribe)}">{html.escape(label)}</a></p>')
    return Texts(texts.subject, text, page)


def _before_end(page: str, addition: str) -> str:
    found = _BODY_END.search(page)
    return page[: found.start()] + addition + page[found.start() :] if found else page + addition


def _token(purpose: str, tenant: str, message: Message, **data: Any) -> str:
    return keys.keyring().mint_link(purpose, tenant, {"m": message.uid, **data}, LINK_LIFETIME)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
