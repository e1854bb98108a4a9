"""The configuration of the access service."""

from pydantic import Field, SecretStr

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """What a process of the access service can be told."""

    service: str = "access"
    bootstrap_key: SecretStr | None = Field(
        default=None,
        description=(
            "First API key of the installation, `rk.platform.{uuid}.{32 random bytes in base64url}`, as printed by "
            "`python -m access.bootstrap_key`. Read by the role migrate; a changed one replaces the former one."
        ),
    )
