"""A mail server that delivers to nobody: it keeps every mail and shows it.

SMTP on loopback. Mails are `.eml` files in one folder, the oldest removed past a limit. HTTP: `GET /` a page,
`GET /mails?to=ADDRESS&limit=N` newest first, `GET /mails/{id}`, `GET /mails/{id}.eml`, `DELETE /mails`.
To show what a sender makes of failures, a recipient whose local part begins with `bounce` is refused for good (550)
and one beginning with `defer` for now (451).
"""

import argparse
import asyncio
import email
import email.parser
import email.policy
import html
import re
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from localrun.web import WebHandler, WebServer, block_signals, run_until_signal

MAILS_MAX = 5000
MAIL_BYTES_MAX = 10 * 1024 * 1024


@dataclass(frozen=True)
class Mail:
    """What the list shows. sender and to are the envelope's."""

    id: str
    received_at: str
    sender: str
    to: list[str]
    subject: str
    message_id: str
    size: int


class MailStore:
    """Mails as files, with an index in memory that is read back at start."""

    def __init__(self, directory: Path, limit: int = MAILS_MAX) -> None:
        self._directory = directory
        self._limit = limit
        self._lock = threading.Lock()
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.glob("*.eml")):
            self._index(path.stem, path.read_bytes())

    def add(self, sender: str, to: list[str], content: bytes) -> None:
        """Keeps a mail; its file is complete before anybody sees it."""
        envelope = f"X-Envelope-From: {sender}\r\nX-Envelope-To: {', '.join(to)}\r\n".encode()
        with self._lock:
            mail_id = f"{time.time_ns():020d}"
            while mail_id in self._mails:
                mail_id = f"{int(mail_id) + 1:020d}"
            path = self._directory / f"{mail_id}.eml"
            fresh = path.with_suffix(".new")
            fresh.write_bytes(envelope + content)
            fresh.rename(path)
            self._index(mail_id, envelope + content)
            while len(self._mails) > self._limit:
                oldest, _ = self._mails.popitem(last=False)
                (self._directory / f"{oldest}.eml").unlink(missing_ok=True)

    def list(self, to: str = "", limit: int = 100) -> list[Mail]:
        """Newest first, optionally only those to one address (of any case)."""
        with self._lock:
            mails = list(reversed(self._mails.values()))
        wanted = [mail for mail in mails if not to or to.lower() in (address.lower() for address in mail.to)]
        return wanted[:limit]

    def raw(self, mail_id: str) -> bytes | None:
        """The whole mail, if it is there."""
        with self._lock:
            return (self._directory / f"{mail_id}.eml").read_bytes() if mail_id in self._mails else None

    def get(self, mail_id: str) -> tuple[Mail, EmailMessage] | None:
        """A mail and its parsed message, if it is there."""
        content = self.raw(mail_id)
        return None if content is None else (self._mails[mail_id], _parse(content))

    def clear(self) -> None:
        """Removes all mails."""
        with self._lock:
            for mail_id in self._mails:
                (self._directory / f"{mail_id}.eml").unlink(missing_ok=True)
            self._mails.clear()

    def _index(self, mail_id: str, content: bytes) -> None:
        # Only the head: thousands of mails are read at start.
        message = email.parser.BytesHeaderParser(policy=email.policy.default).parsebytes(content)
        self._mails[mail_id] = Mail(
            id=mail_id,
            received_at=datetime.fromtimestamp(int(mail_id) / 1e9, UTC).isoformat(),
            sender=str(message["X-Envelope-From"] or ""),
            to=[address.strip() for address in str(message["X-Envelope-To"] or "").split(",")],
            subject=str(message["Subject"] or ""),
            message_id=str(message["Message-ID"] or ""),
            size=len(content),
        )


class MailSink:
    """The server: SMTP and HTTP on one loopback address. Port 0 takes a free one."""

    def __init__(self, directory: Path, host: str = "127.0.0.1", smtp_port: int = 0, http_port: int = 0) -> None:
        self.host = host
        self.store = MailStore(directory)
        self._web = WebServer(host, http_port, type("Handler", (_Handler,), {"store": self.store}))
        self.http_port = self._web.port
        self._loop = asyncio.new_event_loop()
        receiver = _Receiver(self.store)
        self._smtp = self._loop.run_until_complete(
            self._loop.create_server(
                lambda: SMTP(
                    receiver,
                    data_size_limit=MAIL_BYTES_MAX,
                    enable_SMTPUTF8=True,
                    hostname="mail-sink",
                    loop=self._loop,
                ),
                host,
                smtp_port,
            )
        )
        self.smtp_port: int = self._smtp.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)

    def start(self) -> None:
        """Begins to take mails and to show them."""
        self._thread.start()
        self._web.start()

    def stop(self) -> None:
        """Ends both; connections that are open are cut."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._web.shutdown()
        self._web.server_close()

    async def _close(self) -> None:
        self._smtp.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Receiver:
    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.lower().startswith("bounce"):
            return "550 5.1.1 no such mailbox"
        if address.lower().startswith("defer"):
            return "451 4.2.1 mailbox busy, try later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        if not isinstance(content, bytes):
            return "554 5.6.0 no content"
        self._store.add(envelope.mail_from or "", list(envelope.rcpt_tos), content)
        return "250 OK"


class _Handler(WebHandler):
    store: MailStore

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.route == "/":
            self.send_page(_list_page(self.store.list(limit=200)))
        elif self.route == "/mails":
            limit = self.argument("limit", "100")
            if not limit.isdigit():
                self.send_json({"error": "limit is not a number"}, 400)
                return
            mails = self.store.list(self.argument("to"), int(limit))
            self.send_json({"mails": [asdict(mail) for mail in mails]})
        elif (match := re.fullmatch(r"/mails/(\d+)\.eml", self.route)) and (content := self.store.raw(match[1])):
            self.send_bytes(content, "message/rfc822")
        elif (match := re.fullmatch(r"/(mails|view|html)/(\d+)", self.route)) and (found := self.store.get(match[2])):
            mail, message = found
            text, markup = _body(message, "plain"), _body(message, "html")
            if match[1] == "mails":
                headers = [[name, str(value)] for name, value in message.items()]
                self.send_json({**asdict(mail), "headers": headers, "text": text, "html": markup})
            else:
                self.send_page(_mail_page(mail, text, markup) if match[1] == "view" else markup)
        else:
            self.send_json({"error": "not found"}, 404)

    def do_DELETE(self) -> None:  # noqa: N802 - http.server's name
        if self.route != "/mails":
            self.send_json({"error": "not found"}, 404)
            return
        self.store.clear()
        self.send_json({})


def _parse(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part else ""


_STYLE = """<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #dde3ea}
pre{white-space:pre-wrap;background:#f5f7fa;padding:1rem;border-radius:6px}a{color:#0b5cad}
iframe{width:100%;height:40rem;border:1px solid #dde3ea;border-radius:6px}</style>"""


def _list_page(mails: list[Mail]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(mail.received_at[:19].replace('T', ' '))}</td><td>{html.escape(', '.join(mail.to))}</td>"
        f'<td><a href="/view/{mail.id}">{html.escape(mail.subject or "(no subject)")}</a></td></tr>'
        for mail in mails
    )
    body = rows or '<tr><td colspan="3">No mail yet.</td></tr>'
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Mails</title>{_STYLE}<h1>Mails</h1>'
        "<p>Kept here, delivered to nobody.</p><table><tr><th>UTC</th><th>To</th><th>Subject</th></tr>"
        f"{body}</table></html>"
    )


def _mail_page(mail: Mail, text: str, markup: str) -> str:
    linked = re.sub(r"(https?://[^\s<>&]+(?:&amp;[^\s<>&]+)*)", r'<a href="\1">\1</a>', html.escape(text))
    frame = f'<h2>HTML</h2><iframe sandbox="" src="/html/{mail.id}"></iframe>' if markup else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(mail.subject)}</title>{_STYLE}'
        f'<p><a href="/">All mails</a> | <a href="/mails/{mail.id}.eml">as file</a></p>'
        f"<h1>{html.escape(mail.subject)}</h1><p>From {html.escape(mail.sender)} to "
        f"{html.escape(', '.join(mail.to))}, {html.escape(mail.received_at)}</p><pre>{linked}</pre>{frame}</html>"
    )


def main() -> None:
    """`python -m localrun.mailsink`: runs a MailSink until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m localrun.mailsink", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--smtp-port", type=int, default=2525)
    parser.add_argument("--http-port", type=int, default=8025)
    parser.add_argument("--directory", type=Path, required=True)
    arguments = parser.parse_args()
    block_signals()
    sink = MailSink(arguments.directory, arguments.host, arguments.smtp_port, arguments.http_port)
    sink.start()
    run_until_signal(sink.stop)


if __name__ == "__main__":
    main()
