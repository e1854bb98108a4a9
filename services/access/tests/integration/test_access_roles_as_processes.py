import json

import grpc
import pytest
from rapport.access.v1 import access_service_pb2 as pb
from rapport.access.v1 import access_service_pb2_grpc

from access.bootstrap_key import new_bootstrap_key
from access.store import Tenant
from chassis import tenancy
from eventing import topology
from testkit import eventually

SERVICE = "access"


@pytest.fixture(scope="module")
def topology_file(amqp, tmp_path_factory):
    manifest = topology.manifest([])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


def test_the_first_key_makes_a_tenant_and_the_relay_tells_it(
    role, settings_for, database, topology_file, tenant_message
):
    """All roles of the service, as they run in a cluster."""
    key = new_bootstrap_key()
    role(settings_for("access", role="migrate", bootstrap_key=key)).run()
    settings = settings_for("access", role="serve")
    served = role(settings).start().wait_ready()
    with grpc.insecure_channel(f"{settings.bind_host}:{settings.grpc_port}") as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        token = stub.ExchangeCredential(pb.ExchangeCredentialRequest(api_key=key, audience="access"), timeout=20).token
        request = pb.CreateTenantRequest(tenant_id="acme", tenant=tenant_message())
        assert stub.CreateTenant(request, metadata=[("authorization", f"Bearer {token}")], timeout=20).uid == "acme"

    def unsent():
        with tenancy.service_context("platform"):
            return [row["uid"] for row in Tenant.rows().find({}, {"uid": 1, "outbox": 1}) if row.get("outbox")]

    assert set(unsent()) == {"platform", "acme"}
    relay = role(settings_for("access", role="relay", topology_file=topology_file)).start().wait_ready()
    eventually(lambda: not unsent(), message="the relay has published the tenants")
    assert (relay.stop(), served.stop()) == (0, 0)
    assert key.rpartition(".")[2] not in served.log.read_text()
