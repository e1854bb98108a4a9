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
    erasure_services: tuple[str, ...] = Field(
        default=("identity", "sales", "campaigns", "ticketing", "scoring", "consent"),
        min_length=1,
        description="Services that hold personal data: all must answer an erasure request before it is completed.",
    )
    erasure_residue_days: int = Field(
        default=35,
        ge=1,
        le=400,
        description="Days after which raw copies of erased data (oplog, broker, backups) are gone; certified.",
    )
