"""The whole configuration of the ticketing service."""

from pydantic import Field

from chassis.settings import Settings
from chassis.smtp import SmtpSettings


class TicketingSettings(Settings, SmtpSettings):
    """Settings of the ticketing service, read from RAPPORT_ variables."""

    service: str = Field(default="ticketing", description="Name of the service.")
    desk_address: str = Field(
        default="",
        pattern=r"^([^@+\s<>]+@[^@\s<>]+)?$",
        description="Address whose mails come in here, such as help@example.com, if it takes +tags: answers that the "
        "installation's own sender signs ask for replies to it, tagged with the ticket.",
    )
