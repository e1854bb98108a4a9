"""A fresh installation whose processes start in the worst order loses no event."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pymongo
import pytest
from pydantic import SecretStr
from pymongo.database import Database
from rapport.consent.v1 import consent_service_pb2, consent_service_pb2_grpc

from chassis.ids import uuid7
from chassis.keys import Keyring
from chassis.settings import Settings
from e2e.platform import Platform
from eventing import topology
from localrun.ports import free_port
from testkit import eventually
from testkit.keys import TEST_KEYRING
from testkit.plugin import settings_class
from testkit.roles import RoleProcess
from testkit.servers import Broker

Start = Callable[[str, str], RoleProcess]
SERVICES = ("consent", "identity")
CUSTOMERS = 5


@pytest.fixture
def amqp_uri(platform: Platform) -> Iterator[str]:
    """An empty broker: a virtual host of the platform's, without any topology."""
    broker, name = Broker(platform.amqp_uri, platform.management_uri), f"order-{uuid.uuid4().hex[:8]}"
    yield broker.create_vhost(name)
    broker.delete_vhost(name)


@pytest.fixture
def databases(platform: Platform) -> Iterator[dict[str, Database[dict[str, Any]]]]:
    """Empty databases of the platform's server, by service."""
    with pymongo.MongoClient[dict[str, Any]](platform.mongodb_uri) as mongodb:
        found = {service: mongodb[f"order_{service}_{uuid.uuid4().hex[:8]}"] for service in SERVICES}
        yield found
        for database in found.values():
            mongodb.drop_database(database.name)


@pytest.fixture
def start(platform: Platform, amqp_uri: str, databases: dict[str, Database[Any]], tmp_path: Path) -> Iterator[Start]:
    """Starts a role of a service; all end with the test. Its topology file is `topology.json` in tmp_path."""
    started: list[RoleProcess] = []

    def make(service: str, role: str) -> RoleProcess:
        outside = {"mail_from": "news@example.org"} if service == "consent" else {}
        settings: Settings = settings_class(service)(
            **outside,
            service=service,
            role=role,
            environment="test",
            bind_host="127.0.0.1",
            grpc_port=free_port(),
            probe_port=free_port(),
            mongodb_uri=SecretStr(platform.mongodb_uri),
            database=databases[service].name,
            amqp_uri=SecretStr(amqp_uri),
            keys=SecretStr(TEST_KEYRING),
            topology_file=tmp_path / "topology.json",
            blob_url=tmp_path.as_uri(),
        )
        started.append(RoleProcess(settings, tmp_path / f"{service}-{role}.log"))
        return started[-1].start()

    yield make
    for process in started:
        process.kill()


def _grant_some(consent: RoleProcess) -> None:
    """Five people say yes, told by whoever asks the service itself."""
    token = Keyring(TEST_KEYRING).mint_token(
        tenant="fresh", principal="principals/tester", permissions={"consent.*"}, audience="consent", ttl_s=60
    )
    metadata = [("authorization", f"Bearer {token}")]
    with grpc.insecure_channel(f"127.0.0.1:{consent.settings.grpc_port}") as channel:
        stub = consent_service_pb2_grpc.ConsentServiceStub(channel)
        notice = {"texts": [{"language_code": "en", "text": "We write to you."}]}
        purpose = {
            "display_name": "News",
            "legal_basis": "LEGAL_BASIS_CONSENT",
            "channels": ["CHANNEL_EMAIL"],
            "notice": notice,
        }
        create: Any = consent_service_pb2.CreatePurposeRequest
        grant: Any = consent_service_pb2.GrantConsentRequest
        stub.CreatePurpose(create(purpose=purpose, purpose_id="news"), metadata=metadata, timeout=20)
        about = {"purpose": "purposes/news", "channel": "CHANNEL_EMAIL", "evidence": {"method": "METHOD_FORM"}}
        for _ in range(CUSTOMERS):
            stub.GrantConsent(grant(customer=f"customers/{uuid7()}", **about), metadata=metadata, timeout=20)


def test_relay_and_worker_wait_for_the_topology_and_then_nothing_is_missing(
    start: Start, databases: dict[str, Database[Any]], amqp_uri: str, tmp_path: Path
) -> None:
    manifest = topology.manifest(SERVICES)
    (tmp_path / "topology.json").write_text(json.dumps(manifest))
    relay, worker, serve = start("consent", "relay"), start("identity", "work"), start("consent", "serve")
    migrations = [start(service, "migrate") for service in SERVICES]
    assert [migration.process.wait(60) for migration in migrations] == [0, 0]
    _grant_some(serve.wait_ready())

    def unsent() -> int:
        return sum(len(row["outbox"]) for row in databases["consent"]["consents"].find({}, {"outbox": 1}))

    for process in (relay, worker):
        eventually(
            lambda p=process: "waiting for the topology" in p.tail(), 30, f"{process.log.name} says what it waits for"
        )
        assert process.process.poll() is None
        assert not process._http_ready()
    assert unsent() == CUSTOMERS
    assert databases["identity"]["timeline"].count_documents({}) == 0

    topology.declare(amqp_uri, manifest)
    relay.wait_ready()
    eventually(lambda: not unsent(), 30, "all events are published")
    eventually(lambda: databases["identity"]["timeline"].count_documents({}) >= CUSTOMERS, 30, "all events arrived")
    worker.wait_ready()
    assert databases["identity"]["timeline"].count_documents({}) == CUSTOMERS
