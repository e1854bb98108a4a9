"""The whole configuration of the campaigns service."""

from email.utils import parseaddr

from pydantic import Field, field_validator

from chassis.settings import Settings
from chassis.smtp import SmtpSettings


class CampaignsSettings(Settings, SmtpSettings):
    """Settings of the campaigns service, read from RAPPORT_ variables."""

    service: str = Field(default="campaigns", description="Name of the service.")

    public_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="Address under which people reach the gateway; tracked links start with it.",
    )
    send_threads: int = Field(default=4, ge=1, le=32, description="Connections to the mail server of one process.")

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, value: str) -> str:
        local, _, domain = parseaddr(value)[1].rpartition("@")
        if value and not (local and domain and value.isascii() and value.isprintable()):
            raise ValueError("is no mail address such as `Shop <no-reply@example.com>`")
        return value
