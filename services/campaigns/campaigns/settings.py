"""The whole configuration of the campaigns service."""

from pydantic import Field

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
