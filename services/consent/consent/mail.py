"""The confirmation message: rendered once (RFC 5322, plain text and HTML), kept encrypted until it has been sent."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import cache

from bson import Binary
from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chassis import clock, keys
from consent.domain.languages import best

_SEAL_USE = "opt-in-mail"
_LANGUAGES = ("en", "de")
"""Languages of the templates; the first one stands in for all others."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A rendered message. raw: the whole message; mail_from, rcpt_to: the envelope's addresses."""

    message_id: str
    mail_from: str
    rcpt_to: str
    raw: bytes

    def sealed(self, uid: str) -> Binary:
        """The message encrypted for the store, bound to the uid of its row."""
        plain = [self.message_id, self.mail_from, self.rcpt_to, b64encode(self.raw).decode()]
        return Binary(keys.keyring().seal(_SEAL_USE, json.dumps(plain).encode(), uid.encode()))

    @classmethod
    def unsealed(cls, sealed: bytes, uid: str) -> "Mail":
        """The message of a stored row. Raises chassis.keys.InvalidToken when its key is gone from the keyring."""
        message_id, mail_from, rcpt_to, raw = json.loads(keys.keyring().open(_SEAL_USE, sealed, uid.encode()))
        return cls(message_id, mail_from, rcpt_to, b64decode(raw))


def render_opt_in(
    *,
    message_id: str,
    mail_from: str,
    rcpt_to: str,
    language_code: str,
    purpose_display_name: str,
    notice_text: str,
    link: str,
    lifetime: timedelta,
) -> Mail:
    """The message that asks for a confirmation, in the best language there is a template for."""
    language = _LANGUAGES[best(language_code, _LANGUAGES)]
    values = {
        "purpose": " ".join(purpose_display_name.split()),
        "notice": notice_text,
        "link": link,
        "days": lifetime.days,
        "language": language,
    }
    # 7bit: relays without 8BITMIME must not change the body. utf8 only where the address needs it (RFC 6532).
    message = EmailMessage(policy.SMTP.clone(cte_type="7bit", utf8=not rcpt_to.isascii()))
    message["From"] = mail_from
    message["To"] = rcpt_to
    message["Subject"] = _rendered(f"{language}/opt_in.subject.txt", values).strip()
    message["Date"] = format_datetime(clock.real_now())
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please.
    message.set_content(_rendered(f"{language}/opt_in.txt", values))
    message.add_alternative(_rendered(f"{language}/opt_in.html", values), subtype="html")
    message["Content-Language"] = language  # Last: the lines above start the content's headers anew.
    return Mail(message_id, parseaddr(mail_from)[1], rcpt_to, message.as_bytes())


def _rendered(template: str, values: dict[str, object]) -> str:
    return _environment().get_template(template).render(values)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader("consent"),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
