import uuid
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.access.v1 import access_service_pb2 as pb
from rapport.access.v1 import events_pb2, key_pb2

from access.domain.key_text import hash_secret, parse_key
from access.store import Key
from chassis import tenancy

SERVICE = "access"
pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture(scope="module")
def agent(caller, acme):
    return caller(acme)(
        "CreatePrincipal", pb.CreatePrincipalRequest(principal={"display_name": "Bot", "roles": ["roles/agent"]})
    )


def api_key(principal, **fields):
    return pb.CreateKeyRequest(key={"kind": key_pb2.Key.KIND_API, "principal": principal.name, **fields})


def write_key(source="shop", **fields):
    return pb.CreateKeyRequest(key={"kind": key_pb2.Key.KIND_WRITE, "source": source, **fields})


def in_days(days):
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    return moment


def stored(uid, tenant="acme"):
    with tenancy.service_context(tenant):
        return Key.rows().find_one({"uid": uid})


def test_a_key_is_told_once_and_only_its_hash_is_stored(caller, agent):
    made = caller()("CreateKey", api_key(agent, display_name="Importer"))

    parts = parse_key(made.secret)
    assert (parts.tenant, parts.uid) == ("acme", made.uid)
    assert made.state == key_pb2.Key.STATE_ACTIVE
    year = made.expire_time.ToDatetime() - made.create_time.ToDatetime()
    assert abs(year - timedelta(days=365)) < timedelta(minutes=1)
    row = stored(made.uid)
    assert row["secret_hash"] == hash_secret(parts.secret)
    assert made.secret.rpartition(".")[2] not in repr(row)
    assert parts.secret.hex() not in repr(row)
    again = caller()("GetKey", pb.GetKeyRequest(name=made.name))
    assert again.secret == ""
    assert all(key.secret == "" for key in caller()("ListKeys", pb.ListKeysRequest()).keys)


def test_a_repeat_tells_the_same_secret_though_it_is_stored_nowhere(caller, agent):
    request = api_key(agent)
    request.request_id = str(uuid.uuid4())
    first = caller()("CreateKey", request)

    assert caller()("CreateKey", request).secret == first.secret
    assert request.request_id not in repr(stored(first.uid))
    other = api_key(agent)
    other.request_id = str(uuid.uuid4())
    assert parse_key(caller()("CreateKey", other).secret).secret != parse_key(first.secret).secret
    # The same request id of another principal, or of another tenant, is another request.
    elsewhere = caller(principal="principals/other")("CreateKey", request)
    assert parse_key(elsewhere.secret).secret != parse_key(first.secret).secret


def test_keys_without_request_id_have_independent_secrets(caller, agent):
    secrets = {parse_key(caller()("CreateKey", api_key(agent)).secret).secret for _ in range(5)}
    assert len(secrets) == 5


@pytest.mark.parametrize(("days", "good"), [(-1, False), (1, True), (5 * 365, True), (5 * 366 + 1, False)])
def test_expiry_lies_within_five_years(caller, days, good):
    request = write_key(expire_time=in_days(days))
    if good:
        assert caller()("CreateKey", request).expire_time == Timestamp(
            seconds=request.key.expire_time.seconds, nanos=request.key.expire_time.nanos // 1_000_000 * 1_000_000
        )
    else:
        assert "key.expire_time" in caller().refused("CreateKey", request).violations


def test_what_is_wrong_with_a_key_is_named(caller, agent):
    acme = caller()
    assert "key.principal" in acme.refused("CreateKey", pb.CreateKeyRequest(key={"kind": "KIND_API"})).violations
    assert "key.source" in acme.refused("CreateKey", api_key(agent, source="shop")).violations
    assert "key.source" in acme.refused("CreateKey", write_key(source="My Shop")).violations
    assert "key.principal" in acme.refused("CreateKey", write_key(principal=agent.name)).violations
    ghost = pb.CreateKeyRequest(key={"kind": "KIND_API", "principal": "principals/ghost"})
    assert "no such principal" in acme.refused("CreateKey", ghost).violations["key.principal"]
    assert "key.kind" in acme.refused("CreateKey", pb.CreateKeyRequest(key={"source": "shop"})).violations


def test_nobody_makes_a_key_that_opens_more_than_they_hold(caller, agent):
    maker = caller(permissions={"access.keys.*", "identity.*"})
    assert maker.refused("CreateKey", api_key(agent)).reason == "ESCALATION"
    maker("CreateKey", write_key())
    assert caller(permissions={"access.keys.*"}).refused("CreateKey", write_key()).reason == "ESCALATION"


def test_revoking_is_idempotent_and_told_once(caller, agent):
    made = caller()("CreateKey", api_key(agent))
    revoked = caller()("RevokeKey", pb.RevokeKeyRequest(name=made.name, etag=made.etag))

    assert revoked.state == key_pb2.Key.STATE_REVOKED
    assert caller()("RevokeKey", pb.RevokeKeyRequest(name=made.name)) == revoked
    (event,) = stored(made.uid)["outbox"]
    assert (event["type"], event["tenant"]) == ("rapport.access.v1.KeyRevoked", "acme")
    told = events_pb2.KeyRevoked.FromString(event["body"])
    assert (told.key, told.revoke_time) == (made.name, revoked.revoke_time)
    stale = caller().refused("RevokeKey", pb.RevokeKeyRequest(name=made.name, etag=made.etag))
    assert stale.reason == "ETAG_MISMATCH"


def test_a_principal_with_active_keys_stays(caller):
    ann = caller()("CreatePrincipal", pb.CreatePrincipalRequest(principal={"display_name": "Ann"}))
    made = caller()("CreateKey", api_key(ann))
    refused = caller().refused("DeletePrincipal", pb.DeletePrincipalRequest(name=ann.name))
    assert refused.reason == "PRINCIPAL_HAS_KEYS"
    assert "1 active keys" in refused.message
    caller()("RevokeKey", pb.RevokeKeyRequest(name=made.name))
    caller()("DeletePrincipal", pb.DeletePrincipalRequest(name=ann.name))


def test_other_tenants_see_no_keys(caller, agent):
    made = caller()("CreateKey", api_key(agent))
    other = caller("other")
    assert other.refused("GetKey", pb.GetKeyRequest(name=made.name)).code == "NOT_FOUND"
    assert other.refused("RevokeKey", pb.RevokeKeyRequest(name=made.name)).code == "NOT_FOUND"
    assert other.refused("CreateKey", api_key(agent)).violations.keys() == {"key.principal"}
    assert list(other("ListKeys", pb.ListKeysRequest()).keys) == []
