"""The whole configuration of the sales service."""

from pydantic import Field

from chassis.settings import Settings


class SalesSettings(Settings):
    """Settings of the sales service, read from RAPPORT_ variables."""

    service: str = Field(default="sales", description="Name of the service.")
