"""The configuration of the gateway."""

from pydantic import Field

from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings):
    """What the gateway can be told, besides what every process can."""

    service: str = "gateway"

    public_url: str = Field(default="", description="Address under which people reach the gateway.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of the HTTP server.")
    http_threads: int = Field(default=32, ge=1, le=512, description="Requests served at the same time.")
    http_connections: int = Field(
        default=1000, ge=33, description="Open client connections; more wait in the system's queue."
    )
    keepalive_s: int = Field(default=75, ge=0, description="Seconds an idle client connection is kept open.")
    http_head_s: float = Field(default=10.0, gt=0, description="Seconds the head of a request may take to come in.")
    http_request_s: float = Field(
        default=60.0, gt=0, description="Seconds a request may take, body and answer on the network included."
    )
    trusted_proxies: int = Field(
        default=0, ge=0, le=5, description="How many proxies in front add to X-Forwarded-For; 0 ignores the header."
    )

    body_max_bytes: int = Field(
        default=1 << 20, ge=1024, description="Largest request body, unpacked, unless the method takes more."
    )
    large_bodies: int = Field(
        default=4, ge=1, description="Bodies beyond that, of the methods that take or give them, in hand at a time."
    )
    default_timeout_s: float = Field(
        default=10.0, gt=0, le=30, description="Time for a call without X-Rapport-Timeout."
    )

    credential_cache_s: float = Field(
        default=10.0, ge=0.1, le=15, description="How long an exchanged credential is trusted without asking again."
    )
    credential_cache_size: int = Field(default=10_000, ge=1, description="Credentials kept in the cache.")

    rate_per_s: float = Field(default=500, gt=0, description="Requests per second for each credential.")
    rate_burst: int = Field(default=1000, ge=1, description="Requests a credential may send at once.")
    address_rate_per_s: float = Field(
        default=50, gt=0, description="Requests per second for each client address without a known credential."
    )
    address_rate_burst: int = Field(default=200, ge=1, description="Such requests an address may send at once.")
    rate_limit_entries: int = Field(
        default=50_000, ge=1, description="Credentials and addresses whose rates are remembered, each."
    )

    cors_origins: list[str] = Field(
        default_factory=lambda: ["*"],
        description="Web origins that may send events (Segment endpoints only); `*` is any.",
    )
