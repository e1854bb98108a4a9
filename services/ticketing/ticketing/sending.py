"""The mail of an agent's answer: rendered once, kept encrypted until it has been sent."""

import base64
import json
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, parseaddr

from bson import Binary

from chassis import clock, keys, tenancy
from docstore import Row
from ticketing.mail_parsing import LOOP_HEADER
from ticketing.settings import TicketingSettings
from ticketing.store import Ticket, TicketMessage

_SEAL_USE = "ticket-mail"
_TOKEN_USE = "reply-token"  # noqa: S105 - names a use of the keyring
_LOOP_USE = "mail-loop"
_TOKEN_BYTES = 10
_REFERENCES_MAX = 20


def reply_token(tenant: str, ticket: str) -> str:
    """What in a reply names the ticket (uid): 16 characters, which nobody without the keyring can find (80 bits)."""
    digest = bytes.fromhex(keys.keyring().fingerprint(_TOKEN_USE, f"{tenant}/{ticket}"))
    return base64.b32encode(digest[:_TOKEN_BYTES]).decode().lower()


def loop_mark(tenant: str) -> str:
    """What every mail of the tenant carries, so that it is known should it come back, and no other tenant's is."""
    return f"rapport-{keys.keyring().fingerprint(_LOOP_USE, tenant)[:20]}"


def render(
    settings: TicketingSettings, mail: Row, ticket: Ticket, message: TicketMessage, thread: list[str], sender: Row
) -> Row:
    """The mail's Message-ID, and it with its envelope, sealed for its row (`message_id`, `sealed`).

    thread: Message-IDs of what was said, the oldest first. sender: what is known of the tenant.
    """
    recipient = str(ticket.requester_email)
    own = sender.get("sender_email")
    envelope_sender = parseaddr(own or settings.mail_from)[1]
    message_id = f"<{message.uid}@{envelope_sender.rpartition('@')[2]}>"
    # 7bit: relays without 8BITMIME must not change the body.
    rendered = EmailMessage(policy.SMTP.clone(cte_type="7bit", utf8=not recipient.isascii()))
    rendered["From"] = formataddr((sender.get("sender_name") or "", own)) if own else settings.mail_from
    rendered["To"] = recipient
    if settings.desk_address and not own:
        local, _, domain = settings.desk_address.rpartition("@")
        rendered["Reply-To"] = f"{local}+{mail['token']}@{domain}"
    rendered["Subject"] = _subject(ticket.subject, mail["token"])
    rendered["Date"] = format_datetime(clock.real_now())
    rendered["Message-ID"] = message_id
    if thread:
        rendered["In-Reply-To"] = thread[-1]
        rendered["References"] = " ".join(thread[-_REFERENCES_MAX:])
    rendered[LOOP_HEADER] = loop_mark(tenancy.tenant())
    rendered.set_content(message.text)
    if ticket.language_code:
        rendered["Content-Language"] = ticket.language_code  # Last: set_content starts the content's fields anew.
    raw = base64.b64encode(rendered.as_bytes()).decode()
    plain = [envelope_sender, recipient, raw]
    sealed = keys.keyring().seal(_SEAL_USE, json.dumps(plain).encode(), mail["uid"].encode())
    return {"message_id": message_id, "sealed": Binary(sealed)}


def unsealed(mail: Row) -> tuple[str, str, bytes]:
    """Envelope's sender and recipient, and the stored mail. Raises chassis.keys.InvalidToken when its key is gone."""
    plain = keys.keyring().open(_SEAL_USE, bytes(mail["sealed"]), mail["uid"].encode())
    sender, recipient, raw = json.loads(plain)
    return sender, recipient, base64.b64decode(raw)


def _subject(subject: str, token: str) -> str:
    tag = f"[#{token}]"
    line = " ".join(subject.replace(tag, " ").split())
    line = line if line.lower().startswith(("re:", "aw:")) else f"Re: {line}"
    return f"{line} {tag}"
