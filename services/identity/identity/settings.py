"""The whole configuration of the identity service."""

from pydantic import Field

from chassis.settings import Settings
from identity.domain.guards import Limits
from identity.domain.identifiers import BlockList, Kind


class IdentitySettings(Settings):
    """Settings of the identity service, read from RAPPORT_ variables."""

    service: str = Field(default="identity", description="Name of the service.")

    default_region: str = Field(
        default="US",
        min_length=2,
        max_length=2,
        description="ISO 3166-1 alpha-2 region that national phone numbers are read with until the tenant's is known.",
    )
    default_currency: str = Field(
        default="USD",
        min_length=3,
        max_length=3,
        description="ISO 4217 code of amounts without a currency until the tenant's is known.",
    )
    blocked_identifiers: list[str] = Field(
        default_factory=list,
        max_length=10_000,
        description="Identifier values that prove nothing here, besides the built-in ones; case does not matter.",
    )
    max_user_ids: int = Field(default=10, ge=1, le=1000, description="Most user ids in one profile, by data.")
    max_emails: int = Field(default=5, ge=1, le=1000, description="Most e-mail addresses in one profile, by data.")
    max_phones: int = Field(default=5, ge=1, le=1000, description="Most phone numbers in one profile, by data.")
    max_anonymous_ids: int = Field(default=50, ge=1, le=1000, description="Most anonymous ids in one profile, by data.")
    max_members: int = Field(default=50, ge=2, le=500, description="Most customers merged into one profile.")
    apply_threads: int = Field(default=2, ge=1, le=16, description="Ingestion batches applied at once by one runner.")

    def limits(self) -> Limits:
        """How large one profile may become."""
        return Limits(
            {
                Kind.USER_ID: self.max_user_ids,
                Kind.EMAIL: self.max_emails,
                Kind.PHONE: self.max_phones,
                Kind.ANONYMOUS_ID: self.max_anonymous_ids,
            },
            self.max_members,
        )

    def block_list(self) -> BlockList:
        """Which values prove nothing."""
        return BlockList(self.blocked_identifiers)
