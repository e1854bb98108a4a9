"""The configuration of a process: environment variables `RAPPORT_<FIELD>`, documented and checked in one class.

Services subclass `Settings`; nothing else in the platform reads the environment.
"""

import os
import socket
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

_PREFIX = "RAPPORT_"


class ConfigurationError(Exception):
    """A setting is missing or wrong: names the environment variable and what is wrong with it, never its value."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable
        self.problem = problem


class Settings(BaseSettings):
    """What every process of the platform can be told. Lists and maps are written as JSON."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    service: str = Field(description="Short name of the service, such as `identity`.")
    role: str = Field(default="serve", description="Role of the process: serve, work, relay, run or migrate.")
    version: str = Field(default="dev", description="Version of the code, the image's tag.")
    instance: str = Field(
        default_factory=lambda: f"{socket.gethostname()}.{os.getpid()}",
        description="Unique name of the process, such as namespace.pod.container.",
    )
    environment: Literal["production", "test"] = Field(
        default="production", description="`test` allows moving the business clock."
    )

    bind_host: str = Field(default="0.0.0.0", description="Address the process listens on.")
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="Port of the gRPC server.")
    probe_port: int = Field(default=8081, ge=0, le=65535, description="Port of the HTTP probes of other roles.")
    grpc_reflection: bool = Field(default=True, description="Let tools ask the server for its API.")
    grpc_threads: int = Field(default=32, ge=1, le=512, description="Threads that serve requests.")
    grpc_max_concurrent: int = Field(
        default=256, ge=1, description="Requests in work or waiting; more are refused with RESOURCE_EXHAUSTED."
    )
    drain_s: float = Field(
        default=2.0, ge=0, description="Seconds between telling `not ready` and refusing requests, on SIGTERM."
    )
    shutdown_grace_s: float = Field(default=20.0, ge=0, description="Seconds running requests get to end on SIGTERM.")
    upstreams: dict[str, str] = Field(
        default_factory=dict,
        description='gRPC targets of other services, `{"identity": "dns:///identity:50051"}`.',
    )

    mongodb_uri: SecretStr | None = Field(
        default=None, description="Address of the replica set. Without `w=` and `journal=` (the default is majority)."
    )
    database: str | None = Field(default=None, description="Database of the service; its name unless set.")
    amqp_uri: SecretStr | None = Field(default=None, description="Address of the broker, virtual host included.")
    topology_file: Path | None = Field(default=None, description="Manifest of queues and bindings (JSON).")
    blob_url: str | None = Field(
        default=None,
        description="Address of the blob store: s3://bucket/dir, file:///dir, or another with a driver of fsspec.",
    )

    keys: SecretStr = Field(description="Keyring, as printed by `python -m chassis.keys new`.")
    clock_file: Path | None = Field(
        default=None, description="File with the offset of the business clock; read in environment `test` only."
    )

    otlp_endpoint: str | None = Field(
        default=None,
        description="OTLP over HTTP, such as http://127.0.0.1:4318. No telemetry leaves the process without.",
    )
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of new traces that are recorded.")
    trace_store_ratio: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of recorded traces that hold every database command, not only slow and failed ones.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")

    @classmethod
    def environment_names(cls) -> dict[str, str]:
        """Field name -> environment variable, for all fields of the class."""
        return {field: f"{_PREFIX}{field.upper()}" for field in cls.model_fields}


SettingsT = TypeVar("SettingsT", bound=Settings)


def load(kind: type[SettingsT], **given: str) -> SettingsT:
    """Settings from the environment; `given` fields win. Raises ConfigurationError telling all that is wrong."""
    names = kind.environment_names()
    try:
        return kind(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        # By construction at least one; the location's first part is the field, or absent for a rule over several.
        problems = [(names.get(str((*item["loc"], "")[0]), f"{_PREFIX}*"), _problem(item)) for item in error.errors()]
        (variable, problem), *others = problems
        text = "; ".join([problem, *(": ".join(other) for other in others)])
        raise ConfigurationError(variable, text) from None
    except SettingsError as error:
        # A list or map that is not JSON; the text names the field, only the cause holds the value.
        field = next((name for name in names if f'"{name}"' in str(error)), "*")
        raise ConfigurationError(names.get(field, f"{_PREFIX}*"), "is not valid JSON") from None


def _problem(item: ErrorDetails) -> str:
    if item["type"] == "missing":
        return "is not set"
    within = ".".join(str(part) for part in item["loc"][1:])
    return f"{within}: {item['msg']}" if within else item["msg"]
