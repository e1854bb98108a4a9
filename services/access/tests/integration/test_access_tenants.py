import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2 as pb
from rapport.access.v1 import events_pb2

from access.store import Role, Tenant
from chassis import tenancy

SERVICE = "access"
pytestmark = pytest.mark.usefixtures("database")


def outbox(uid):
    with tenancy.service_context("platform"):
        return Tenant.rows().find_one({"uid": uid}, {"outbox": 1}).get("outbox", [])


def test_a_tenant_comes_with_its_built_in_roles_and_an_event(caller, tenant_message):
    made = caller("platform")("CreateTenant", pb.CreateTenantRequest(tenant_id="beta", tenant=tenant_message("Beta")))

    assert made.name == "tenants/beta"
    assert made.settings.time_zone == "Europe/Berlin"
    assert made.etag
    roles = caller("beta")("ListRoles", pb.ListRolesRequest()).roles
    assert {role.name for role in roles} == {
        "roles/admin",
        "roles/agent",
        "roles/marketer",
        "roles/privacy-officer",
        "roles/auditor",
        "roles/collector",
        "roles/sales-rep",
    }
    assert all(role.built_in for role in roles)
    (event,) = outbox("beta")
    assert event["type"] == "rapport.access.v1.TenantCreated"
    assert event["tenant"] == "platform"
    told = events_pb2.TenantCreated.FromString(event["body"]).tenant
    assert (told.name, told.settings.currency_code) == ("tenants/beta", "EUR")
    assert told.HasField("create_time")


def test_a_tenant_and_its_roles_come_together_or_not_at_all(caller, tenant_message):
    with tenancy.service_context("half"):
        Role.new("collector", display_name="In the way", permissions=["*"]).insert()

    refused = caller("platform").refused(
        "CreateTenant", pb.CreateTenantRequest(tenant_id="half", tenant=tenant_message())
    )

    assert refused.code == "ALREADY_EXISTS"
    assert caller("platform").refused("GetTenant", pb.GetTenantRequest(name="tenants/half")).code == "NOT_FOUND"
    with tenancy.service_context("half"):
        assert Role.rows().count({}) == 1


def test_a_repeat_answers_the_same_tenant_and_another_body_is_refused(caller, tenant_message):
    request = pb.CreateTenantRequest(tenant_id="gamma", tenant=tenant_message(), request_id=str(uuid.uuid4()))
    first = caller("platform")("CreateTenant", request)

    assert caller("platform")("CreateTenant", request) == first
    assert len(outbox("gamma")) == 1
    request.tenant.display_name = "Other"
    assert caller("platform").refused("CreateTenant", request).reason == "REQUEST_ID_REUSED"
    request.request_id = str(uuid.uuid4())
    assert caller("platform").refused("CreateTenant", request).reason == "ALREADY_EXISTS"


@pytest.mark.parametrize("tenant_id", ["platform", "a", "Acme", "1st", "a_b", "x" * 41])
def test_bad_and_reserved_ids_are_refused(caller, tenant_message, tenant_id):
    refused = caller("platform").refused(
        "CreateTenant", pb.CreateTenantRequest(tenant_id=tenant_id, tenant=tenant_message())
    )
    assert refused.code == "INVALID_ARGUMENT"
    assert "tenant_id" in refused.violations


def test_each_wrong_setting_is_named(caller, tenant_message):
    wrong = tenant_message(
        time_zone="Berlin",
        currency_code="eur",
        language_codes=["de", "en-us"],
        region_code="UK",
        sender={"email": "nobody", "display_name": "A\r\nBcc: x@example.com"},
    )
    refused = caller("platform").refused("CreateTenant", pb.CreateTenantRequest(tenant_id="delta", tenant=wrong))
    assert refused.code == "INVALID_ARGUMENT"
    assert set(refused.violations) == {
        "tenant.settings.time_zone",
        "tenant.settings.currency_code",
        "tenant.settings.language_codes[1]",
        "tenant.settings.region_code",
        "tenant.settings.sender.email",
        "tenant.settings.sender.display_name",
    }
    assert "en-US" in refused.violations["tenant.settings.language_codes[1]"]


@pytest.mark.usefixtures("acme")
def test_tenants_see_and_change_themselves_only(caller, tenant_message):
    own = caller("acme")("GetTenant", pb.GetTenantRequest(name="tenants/acme"))
    assert own.display_name == "Acme"
    for name in ("tenants/platform", "tenants/nowhere"):
        assert caller("acme").refused("GetTenant", pb.GetTenantRequest(name=name)).code == "NOT_FOUND"
        change = pb.UpdateTenantRequest(tenant={"name": name, "display_name": "Mine"})
        assert caller("acme").refused("UpdateTenant", change).code == "NOT_FOUND"
    assert caller("acme").refused("ListTenants", pb.ListTenantsRequest()).reason == "PLATFORM_ONLY"
    create = pb.CreateTenantRequest(tenant_id="theirs", tenant=tenant_message())
    assert caller("acme").refused("CreateTenant", create).reason == "PLATFORM_ONLY"


@pytest.mark.usefixtures("acme")
def test_a_change_is_masked_guarded_by_etag_and_told(caller):
    before = caller("acme")("GetTenant", pb.GetTenantRequest(name="tenants/acme"))
    told = len(outbox("acme"))
    request = pb.UpdateTenantRequest(
        tenant={"name": "tenants/acme", "settings": {"currency_code": "CHF"}, "etag": before.etag},
        update_mask=FieldMask(paths=["settings.currency_code"]),
        request_id=str(uuid.uuid4()),
    )
    after = caller("acme")("UpdateTenant", request)

    assert (after.settings.currency_code, after.settings.time_zone) == ("CHF", "Europe/Berlin")
    assert after.etag != before.etag
    assert caller("acme")("UpdateTenant", request) == after
    assert len(outbox("acme")) == told + 1
    assert events_pb2.TenantUpdated.FromString(outbox("acme")[-1]["body"]).tenant.settings.currency_code == "CHF"
    request.request_id = ""
    assert caller("acme").refused("UpdateTenant", request).reason == "ETAG_MISMATCH"


def test_the_platform_changes_any_and_lists_in_order_of_creation(caller, tenant_message):
    for number in range(3):
        request = pb.CreateTenantRequest(tenant_id=f"list-{number}", tenant=tenant_message())
        caller("platform")("CreateTenant", request)
    changed = caller("platform")(
        "UpdateTenant", pb.UpdateTenantRequest(tenant={"name": "tenants/list-1", "display_name": "New name"})
    )
    assert changed.display_name == "New name"

    names, token = [], ""
    while True:
        page = caller("platform")("ListTenants", pb.ListTenantsRequest(page_size=2, page_token=token))
        names += [tenant.name for tenant in page.tenants]
        token = page.next_page_token
        if not token:
            break
    assert names[0] == "tenants/platform"
    assert names[-3:] == ["tenants/list-0", "tenants/list-1", "tenants/list-2"]
    assert len(names) == len(set(names))


@pytest.mark.usefixtures("acme")
def test_each_method_asks_for_its_permission(caller):
    reader = caller("acme", {"access.tenants.get"})
    assert reader("GetTenant", pb.GetTenantRequest(name="tenants/acme")).uid == "acme"
    refused = reader.refused("UpdateTenant", pb.UpdateTenantRequest(tenant={"name": "tenants/acme"}))
    assert refused.reason == "PERMISSION_MISSING"
