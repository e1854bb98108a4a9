"""The whole configuration of the ticketing service."""

from pydantic import Field

from chassis.settings import Settings
from chassis.smtp import SmtpSettings


class TicketingSettings(Settings, SmtpSettings):
    """Settings of the ticketing service, read from RAPPORT_ variables."""

    service: str = Field(default="ticketing", description="Name of the service.")
