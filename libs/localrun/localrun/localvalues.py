"""What only this machine knows: secrets made once, addresses of its servers, the clock file - as chart values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localrun import render
from localrun.localsecrets import Secrets
from localrun.loopback import Loopback
from localrun.mongod import Mongod


@dataclass(frozen=True)
class Service:
    """One alias of the umbrella chart. secret_keys: keys of its own Secret that must be given."""

    name: str
    database: bool
    secret_keys: tuple[str, ...]


def services(chart: Path) -> list[Service]:
    """The services the chart installs, from its dependencies and their blocks in its values.yaml."""
    values = yaml.safe_load((chart / "values.yaml").read_text()) or {}
    found = []
    for dependency in render.dependencies(chart):
        name = dependency.get("alias") or dependency["name"]
        block = values.get(name) or {}
        keys = [item["key"] for item in (block.get("secretEnv") or {}).values() if not item.get("optional")]
        if block.get("enabled", True):
            found.append(Service(name, block.get("database", True), tuple(keys)))
    return found


def given_addresses(values: Sequence[Path]) -> tuple[dict[str, str], str]:
    """`global.addresses` and `global.publicUrl` of some values files, later ones winning."""
    addresses: dict[str, str] = {}
    public_url = ""
    for path in values:
        given = (yaml.safe_load(path.read_text()) or {}).get("global") or {}
        addresses |= given.get("addresses") or {}
        public_url = given.get("publicUrl") or public_url
    return addresses, public_url


def clock_file(state: Path) -> Path:
    """The business clock's offset, created as zero; moving it moves the whole platform's clock."""
    path = state / "clock.json"
    if not path.exists():
        path.write_text('{"offset_seconds": 0}\n')
    return path


def database_password(service: Service, known: Secrets) -> str:
    """Password of a service's own database user on our mongod."""
    return known.get(f"{service.name}.mongodb-password")


def build(
    state: Path,
    installed: Sequence[Service],
    known: Secrets,
    *,
    loopback: Loopback,
    addresses: dict[str, str],
    public_url: str,
    mongod: Mongod | None,
    mongodb_uri: str,
    amqp_uri: str,
    ray_address: str = "",
) -> dict[str, Any]:
    """Values for the chart, on top of its local example.

    addresses, public_url: as the given values have them, moved to the platform's own loopback network.
    mongod: ours, where each service has a user of its own; None: all use `mongodb_uri` as it is.
    ray_address: the user's Ray cluster (RAY_ADDRESS); empty: each job starts a Ray of its own.
    """
    blobs = state / "data" / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "global": {
            "secrets": {"values": {"keys": known.keyring(), "amqp-uri": amqp_uri}},
            "clockFile": str(clock_file(state)),
            "blobUrl": blobs.as_uri(),
            "addresses": {workload: loopback.own(address) for workload, address in addresses.items()},
            "publicUrl": loopback.own(public_url),
            "otlpEndpoint": loopback.trace_url,
            "rayAddress": ray_address,
            "smtp": {
                "host": loopback.mail_host,
                "port": loopback.mail_smtp_port,
                "starttls": False,
                "from": "rapport@localhost",
            },
        }
    }
    for service in installed:
        own = {key: _secret(f"{service.name}.{key}", known) for key in service.secret_keys}
        if service.database:
            own["mongodb-uri"] = mongodb_uri
            if mongod is not None:
                own["mongodb-uri"] = mongod.user_uri(service.name, service.name, database_password(service, known))
        if own:
            values[service.name] = {"secrets": {"values": own}}
    return values


def _secret(name: str, known: Secrets) -> str:
    return known.api_key(name) if name.endswith(".bootstrap-key") else known.get(name)
