import logging
import statistics
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import grpc
import pytest
from pymongo import monitoring
from rapport.access.v1 import access_service_pb2 as pb
from rapport.access.v1 import access_service_pb2_grpc, key_pb2

import docstore
from access.domain.key_text import KeyText, parse_key
from access.store import Key
from chassis import metric_names, telemetry, tenancy
from chassis.keys import keyring

SERVICE = "access"
pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def agent(caller):
    return caller()(
        "CreatePrincipal",
        pb.CreatePrincipalRequest(principal={"display_name": "Bot", "roles": ["roles/agent", "roles/collector"]}),
    )


@pytest.fixture
def agent_key(caller, agent):
    return caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": agent.name}))


def platform_key(caller, *permissions):
    staff = caller("platform")
    role_id = f"staff-{uuid.uuid4().hex[:8]}"
    staff("CreateRole", pb.CreateRoleRequest(role_id=role_id, role={"permissions": permissions}))
    person = staff(
        "CreatePrincipal",
        pb.CreatePrincipalRequest(principal={"display_name": "Staff", "roles": [f"roles/{role_id}"]}),
    )
    return staff("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": person.name})), person


def test_an_api_key_becomes_a_token_of_its_principal(exchange, agent, agent_key):
    before = datetime.now(UTC)
    answer = exchange(api_key=agent_key.secret)

    assert (answer.tenant, answer.principal, answer.source) == ("acme", agent.name, "")
    lifetime = answer.expire_time.ToDatetime(UTC) - before
    assert timedelta(seconds=295) < lifetime <= timedelta(seconds=305)
    claims = keyring().open_token(answer.token, audience="identity")
    assert (claims.tenant, claims.principal) == ("acme", agent.name)
    assert {"identity.customers.get", "identity.events.ingest"} <= claims.permissions
    assert all(permission.startswith("identity.") for permission in claims.permissions)
    access = keyring().open_token(exchange("access", api_key=agent_key.secret).token, audience="access")
    assert "consent.consents.grant" in access.permissions


def test_what_becomes_of_credentials_is_counted_by_kind(exchange, agent_key, monkeypatch):
    counted = []
    counter = SimpleNamespace(add=lambda number, labels: counted.append((number, *labels.values())))
    monkeypatch.setattr(telemetry, "counter", {metric_names.CREDENTIALS_EXCHANGED: counter}.__getitem__)
    exchange(api_key=agent_key.secret)
    for credential in ({"api_key": "nothing"}, {"write_key": agent_key.secret}):
        with pytest.raises(grpc.RpcError):
            exchange(**credential)
    assert counted == [(1, "api_key", "EXCHANGED"), (1, "api_key", "KEY_UNKNOWN"), (1, "write_key", "KEY_WRONG_KIND")]


def test_the_token_opens_what_the_roles_say_and_nothing_else(channel, exchange, caller):
    reader = caller()(
        "CreateRole", pb.CreateRoleRequest(role_id="role-reader", role={"permissions": ["access.roles.get"]})
    )
    ann = caller()(
        "CreatePrincipal", pb.CreatePrincipalRequest(principal={"display_name": "Ann", "roles": [reader.name]})
    )
    key = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": ann.name}))
    stub = access_service_pb2_grpc.AccessServiceStub(channel)
    metadata = [("authorization", f"Bearer {exchange('access', api_key=key.secret).token}")]
    assert stub.GetRole(pb.GetRoleRequest(name="roles/agent"), metadata=metadata).uid == "agent"
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListRoles(pb.ListRolesRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_write_key_opens_ingestion_only_and_names_its_source(exchange, caller):
    key = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_WRITE", "source": "shop"}))
    answer = exchange(write_key=key.secret)
    assert (answer.tenant, answer.principal, answer.source) == ("acme", key.name, "shop")
    assert keyring().open_token(answer.token, "identity").permissions == {"identity.events.ingest"}
    assert keyring().open_token(exchange("consent", write_key=key.secret).token, "consent").permissions == set()


def test_a_write_key_enters_no_other_tenant(exchange, exchange_refused, caller):
    own = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_WRITE", "source": "shop"}))
    assert exchange(write_key=own.secret, tenant="acme").tenant == "acme"
    assert exchange_refused(write_key=own.secret, tenant="other").reason == "TENANT_NOT_ENTERED"
    platform = caller("platform")("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_WRITE", "source": "shop"}))
    assert exchange_refused(write_key=platform.secret, tenant="acme").reason == "TENANT_NOT_ENTERED"


def test_keys_of_the_wrong_kind_are_refused(exchange_refused, caller, agent_key):
    write = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_WRITE", "source": "shop"}))
    for arguments in ({"api_key": write.secret}, {"write_key": agent_key.secret}):
        refused = exchange_refused(**arguments)
        assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "KEY_WRONG_KIND")


def test_unknown_and_malformed_keys_are_refused_alike_and_never_echoed(exchange_refused, agent_key, caplog):
    good = parse_key(agent_key.secret)
    bad = {
        "wrong secret": KeyText(good.tenant, good.uid, bytes(32)).text(),
        "other tenant": KeyText("other", good.uid, good.secret).text(),
        "unknown id": KeyText(good.tenant, str(uuid.uuid4()), good.secret).text(),
        "cut": agent_key.secret[:-1],
        "longer": agent_key.secret + "A",
        "spaces": f" {agent_key.secret}",
        "foreign": "sk_live_0123456789",
        "injected": agent_key.secret.replace("acme", "acme/x"),
    }
    with caplog.at_level(logging.DEBUG):
        answers = {name: exchange_refused(api_key=text) for name, text in bad.items()}
    assert {(answer.code, answer.reason) for answer in answers.values()} == {("UNAUTHENTICATED", "KEY_UNKNOWN")}
    assert len({answer.message for answer in answers.values()}) == 1
    told = repr(answers) + caplog.text
    assert agent_key.secret.rpartition(".")[2] not in told
    assert "sk_live" not in told


def test_revoked_expired_and_disabled_are_told_apart_to_the_holder_only(
    exchange, exchange_refused, caller, agent, agent_key
):
    caller()("UpdatePrincipal", pb.UpdatePrincipalRequest(principal={"name": agent.name, "disabled": True}))
    assert exchange_refused(api_key=agent_key.secret).reason == "PRINCIPAL_DISABLED"
    request = pb.UpdatePrincipalRequest(principal={"name": agent.name})
    request.update_mask.paths.append("disabled")
    caller()("UpdatePrincipal", request)
    assert exchange(api_key=agent_key.secret).principal == agent.name

    with tenancy.service_context("acme"):
        key = Key.get(agent_key.uid)
        key.expire_time = datetime.now(UTC) - timedelta(seconds=1)
        key.save()
    assert exchange_refused(api_key=agent_key.secret).reason == "KEY_EXPIRED"
    assert caller()("GetKey", pb.GetKeyRequest(name=agent_key.name)).state == key_pb2.Key.STATE_EXPIRED

    caller()("RevokeKey", pb.RevokeKeyRequest(name=agent_key.name))
    refused = exchange_refused(api_key=agent_key.secret)
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "KEY_REVOKED")
    stranger = KeyText("acme", agent_key.uid, bytes(32)).text()
    assert exchange_refused(api_key=stranger).reason == "KEY_UNKNOWN"


def test_a_token_does_not_outlive_its_key(exchange, agent_key):
    with tenancy.service_context("acme"):
        key = Key.get(agent_key.uid)
        key.expire_time = datetime.now(UTC) + timedelta(seconds=30)
        key.save()
    claims = keyring().open_token(exchange(api_key=agent_key.secret).token, "identity")
    assert claims.expires < datetime.now(UTC) + timedelta(seconds=32)


def test_a_principal_without_roles_is_told_so(exchange_refused, caller):
    ann = caller()("CreatePrincipal", pb.CreatePrincipalRequest(principal={"display_name": "Ann"}))
    key = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": ann.name}))
    refused = exchange_refused(api_key=key.secret)
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "NO_ROLES")


def test_a_wildcard_swallows_what_it_covers(exchange, caller):
    caller()("CreateRole", pb.CreateRoleRequest(role_id="wide", role={"permissions": ["identity.*"]}))
    both = ["roles/wide", "roles/collector"]
    ann = caller()("CreatePrincipal", pb.CreatePrincipalRequest(principal={"display_name": "Ann", "roles": both}))
    key = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": ann.name}))
    assert keyring().open_token(exchange(api_key=key.secret).token, "identity").permissions == {"identity.*"}


def test_a_platform_administrator_enters_a_tenant(exchange, channel, caller):
    key, person = platform_key(caller, "*")
    at_home = exchange("access", api_key=key.secret)
    assert (at_home.tenant, at_home.principal) == ("platform", person.name)

    guest = exchange("access", api_key=key.secret, tenant="acme")
    assert (guest.tenant, guest.principal) == ("acme", f"tenants/platform/{person.name}")
    metadata = [("authorization", f"Bearer {guest.token}")]
    made = access_service_pb2_grpc.AccessServiceStub(channel).CreateKey(
        pb.CreateKeyRequest(key={"kind": "KIND_WRITE", "source": "shop"}), metadata=metadata
    )
    assert parse_key(made.secret).tenant == "acme"


def test_entering_takes_the_permission_and_brings_no_more(exchange, exchange_refused, caller):
    limited, _ = platform_key(caller, "access.tenants.*", "identity.customers.get")
    claims = keyring().open_token(exchange(api_key=limited.secret, tenant="acme").token, "identity")
    assert claims.permissions == {"identity.customers.get"}

    reader, _ = platform_key(caller, "access.tenants.list", "identity.customers.get")
    refused = exchange_refused(api_key=reader.secret, tenant="acme")
    assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "TENANT_NOT_ENTERED")
    assert exchange_refused(api_key=limited.secret, tenant="nowhere").code == "NOT_FOUND"
    assert "tenant" in exchange_refused(api_key=limited.secret, tenant="a/b").violations


def test_keys_of_tenants_enter_no_other_tenant(exchange, exchange_refused, caller):
    boss = caller()(
        "CreatePrincipal", pb.CreatePrincipalRequest(principal={"display_name": "B", "roles": ["roles/admin"]})
    )
    key = caller()("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": boss.name}))
    assert exchange(api_key=key.secret, tenant="acme").tenant == "acme"
    for tenant in ("platform", "other"):
        assert exchange_refused(api_key=key.secret, tenant=tenant).reason == "TENANT_NOT_ENTERED"


def test_wrong_requests_are_refused(exchange_refused, agent_key):
    assert "audience" in exchange_refused(audience="billing", api_key=agent_key.secret).violations
    assert "credential" in exchange_refused().violations


def test_an_exchange_takes_milliseconds(exchange, agent_key, record_property):
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        exchange(api_key=agent_key.secret)
        seconds.append(time.perf_counter() - start)
    p50 = statistics.median(seconds) * 1000
    record_property("p50_ms", round(p50, 1))
    # The aim is 5 ms; a busy machine gets four times that.
    assert p50 < 20


def test_unknown_ids_and_wrong_secrets_cost_the_same_reads(exchange_refused, agent_key, database):
    class Finds(monitoring.CommandListener):
        def __init__(self):
            self.count = 0

        def started(self, event):
            self.count += event.command_name in ("find", "aggregate")

        def succeeded(self, event):
            """Not needed."""

        def failed(self, event):
            """Not needed."""

    finds = Finds()
    docstore.disconnect()
    docstore.connect(database, event_listeners=[finds])
    good = parse_key(agent_key.secret)
    reads = []
    for text in (
        KeyText("acme", good.uid, bytes(32)).text(),
        KeyText("acme", str(uuid.uuid4()), bytes(32)).text(),
        "malformed",
    ):
        finds.count = 0
        exchange_refused(api_key=text)
        reads.append(finds.count)
    assert reads == [1, 1, 1]
