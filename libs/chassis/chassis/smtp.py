"""Sending mail, with the one question that matters to a queue answered: may this be tried again?"""

import smtplib
import socket
import ssl
from email.utils import parseaddr
from types import TracebackType
from typing import Self

from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel, Field, SecretStr, field_validator

from chassis import telemetry

_TIMEOUT_S = 30.0


class SmtpSettings(BaseModel):
    """Mix into the settings of a service that sends mail."""

    smtp_host: str = Field(default="127.0.0.1", description="Mail server.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Port of the mail server.")
    smtp_starttls: bool = Field(default=True, description="Require STARTTLS with a verified certificate.")
    smtp_user: str | None = Field(default=None, description="Login at the mail server, if it wants one.")
    smtp_password: SecretStr | None = Field(default=None, description="Password of the login.")
    mail_from: str = Field(default="", description="Envelope sender and default From address.")

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, value: str) -> str:
        local, _, domain = parseaddr(value)[1].rpartition("@")
        if value and not (local and domain and value.isascii() and value.isprintable()):
            raise ValueError("is no mail address such as `Shop <no-reply@example.com>`")
        return value


class MailError(Exception):
    """The mail server did not take the message. Holds its codes, never addresses or texts."""

    def __init__(self, code: int | None, problem: str) -> None:
        super().__init__(problem if code is None else f"{problem} ({code})")
        self.code = code


class PermanentMailError(MailError):
    """The server refused this message for good (5xx): a bounce."""


class TransientMailError(MailError):
    """The server is away, refuses for now (4xx), or does not let us in: the message may be tried again."""


class Mailer:
    """A connection to the mail server, opened when needed and kept between messages. For one thread."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._connection: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, raw: bytes, message_id: str, mail_from: str, rcpt_to: str) -> None:
        """Hands one rendered message to the server for one recipient.

        `raw` is the whole message (RFC 5322) and must already carry `message_id`, the stable key under which the
        receiving side can drop the repeats that at-least-once sending makes. Raises PermanentMailError or
        TransientMailError; after any other exception nothing is known.
        """
        if message_id.encode() not in raw:
            raise ValueError("the message does not carry its Message-ID")
        with telemetry.tracer().start_as_current_span(
            "send mail", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                self._deliver(raw, mail_from, rcpt_to)
            except MailError as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def _deliver(self, raw: bytes, mail_from: str, rcpt_to: str) -> None:
        try:
            connection = self._connected()
            # Mail addresses beyond ASCII need SMTPUTF8 (RFC 6531) from the server.
            options = [] if (mail_from + rcpt_to).isascii() else ["SMTPUTF8"]
            connection.sendmail(mail_from, [rcpt_to], raw, mail_options=options)
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise self._refused(code, "recipient refused") from None
        except smtplib.SMTPAuthenticationError as error:
            self.close()
            raise TransientMailError(error.smtp_code, "the mail server refused our login") from None
        except (smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
            self.close()
            raise TransientMailError(error.smtp_code, "the mail server refused the connection") from None
        except smtplib.SMTPResponseException as error:
            raise self._refused(error.smtp_code, "message refused") from None
        except smtplib.SMTPNotSupportedError:
            self.close()
            if (mail_from + rcpt_to).isascii():
                raise TransientMailError(None, "the mail server lacks STARTTLS or AUTH") from None
            raise PermanentMailError(None, "the mail server cannot take addresses beyond ASCII") from None
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise TransientMailError(None, f"no mail server: {type(error).__name__}") from None

    def close(self) -> None:
        """Ends the connection; the next message opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> smtplib.SMTP:
        if self._connection is not None:
            return self._connection
        settings = self._settings
        connection = smtplib.SMTP(
            settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_S, local_hostname=socket.gethostname()
        )
        self._connection = connection
        connection.ehlo_or_helo_if_needed()
        if settings.smtp_starttls:
            connection.starttls(context=ssl.create_default_context())
        if settings.smtp_user and settings.smtp_password:
            connection.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        return connection

    def _refused(self, code: int, problem: str) -> MailError:
        if code == 421:  # The server is closing the connection (RFC 5321, section 3.8).
            self.close()
        kind = PermanentMailError if 500 <= code < 600 else TransientMailError
        return kind(code, problem)
