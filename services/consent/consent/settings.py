"""The whole configuration of the consent service."""

from pydantic import Field

from chassis.settings import Settings
from chassis.smtp import SmtpSettings


class ConsentSettings(Settings, SmtpSettings):
    """Settings of the consent service, read from RAPPORT_ variables."""

    service: str = Field(default="consent", description="Name of the service.")

    public_url: str = Field(
        default="http://127.0.0.1:8080",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="Address under which people reach the gateway; confirmation links start with it.",
    )
    checkpoint_records: int = Field(
        default=1_000, ge=1, le=100_000, description="Records after which the chain gets a signed checkpoint."
    )
    checkpoint_seconds: float = Field(
        default=60.0, gt=0, description="Seconds after which sealed records get a signed checkpoint at the latest."
    )
