import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.access.v1 import access_service_pb2 as pb

SERVICE = "access"
pytestmark = pytest.mark.usefixtures("acme")

ROLE_WRITER = {"access.roles.*", "access.principals.*", "identity.customers.*"}


def create_role(role_id, *permissions, **fields):
    return pb.CreateRoleRequest(role_id=role_id, role={"permissions": permissions}, **fields)


def create_principal(name="Ann", **fields):
    return pb.CreatePrincipalRequest(principal={"display_name": name, **fields})


def test_a_role_lives_from_creation_to_deletion(caller):
    acme = caller()
    made = acme("CreateRole", create_role("seller", "identity.customers.get", "identity.merges.*"))
    assert (made.name, made.built_in) == ("roles/seller", False)
    assert acme("GetRole", pb.GetRoleRequest(name="roles/seller")) == made

    changed = acme("UpdateRole", pb.UpdateRoleRequest(role={"name": "roles/seller", "display_name": "Seller"}))
    assert (changed.display_name, list(changed.permissions)) == ("Seller", list(made.permissions))

    request = pb.DeleteRoleRequest(name="roles/seller", etag=made.etag)
    assert acme.refused("DeleteRole", request).reason == "ETAG_MISMATCH"
    request = pb.DeleteRoleRequest(name="roles/seller", etag=changed.etag, request_id=str(uuid.uuid4()))
    acme("DeleteRole", request)
    acme("DeleteRole", request)
    assert acme.refused("GetRole", pb.GetRoleRequest(name="roles/seller")).code == "NOT_FOUND"
    assert acme("CreateRole", create_role("seller", "identity.*")).name == "roles/seller"


def test_an_unknown_permission_is_refused_with_the_one_that_was_meant(caller):
    refused = caller().refused(
        "CreateRole", create_role("typo", "identity.customers.get", "identity.customer.merge", "identty.*", "nonsense")
    )
    assert refused.code == "INVALID_ARGUMENT"
    assert "`identity.customers.merge`" in refused.violations["role.permissions[1]"]
    assert "`identity.*`" in refused.violations["role.permissions[2]"]
    assert "role.permissions[3]" in refused.violations
    assert "role.permissions[0]" not in refused.violations


def test_built_in_roles_stay_as_they_are(caller):
    change = pb.UpdateRoleRequest(role={"name": "roles/agent", "permissions": ["*"]})
    assert caller().refused("UpdateRole", change).reason == "ROLE_BUILT_IN"
    assert caller().refused("DeleteRole", pb.DeleteRoleRequest(name="roles/agent")).reason == "ROLE_BUILT_IN"


def test_a_role_in_use_names_its_holders(caller):
    acme = caller()
    acme("CreateRole", create_role("held", "identity.customers.get"))
    holders = [acme("CreatePrincipal", create_principal(roles=["roles/held"])) for _ in range(2)]

    refused = acme.refused("DeleteRole", pb.DeleteRoleRequest(name="roles/held"))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "ROLE_IN_USE")
    assert "held by 2 principals" in refused.message
    for holder in holders:
        acme("DeletePrincipal", pb.DeletePrincipalRequest(name=holder.name))
    acme("DeleteRole", pb.DeleteRoleRequest(name="roles/held"))


def test_nobody_makes_a_role_with_more_than_they_hold(caller):
    writer = caller(permissions=ROLE_WRITER)
    writer("CreateRole", create_role("within", "identity.customers.*", "access.roles.create"))
    for role_id, permission in (("all", "*"), ("service", "identity.*"), ("other", "consent.purposes.get")):
        refused = writer.refused("CreateRole", create_role(role_id, permission))
        assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "ESCALATION")
        assert permission in refused.message
    grow = pb.UpdateRoleRequest(role={"name": "roles/within", "permissions": ["identity.customers.*", "identity.*"]})
    assert writer.refused("UpdateRole", grow).reason == "ESCALATION"


def test_a_change_asks_only_for_what_a_role_gains(caller):
    caller()("CreateRole", create_role("strong", "consent.*", "identity.*"))
    writer = caller(permissions=ROLE_WRITER)
    shrink = pb.UpdateRoleRequest(role={"name": "roles/strong", "permissions": ["consent.*"], "display_name": "Less"})
    assert list(writer("UpdateRole", shrink).permissions) == ["consent.*"]


def test_nobody_gives_a_role_with_more_than_they_hold(caller):
    writer = caller(permissions=ROLE_WRITER)
    refused = writer.refused("CreatePrincipal", create_principal(roles=["roles/admin"]))
    assert refused.reason == "ESCALATION"
    ann = writer("CreatePrincipal", create_principal())
    grow = pb.UpdatePrincipalRequest(principal={"name": ann.name, "roles": ["roles/admin"]})
    assert writer.refused("UpdatePrincipal", grow).reason == "ESCALATION"
    assert list(writer("GetPrincipal", pb.GetPrincipalRequest(name=ann.name)).roles) == []


def test_nobody_takes_over_or_revives_a_principal_with_more_than_they_hold(caller):
    boss = caller()("CreatePrincipal", create_principal("Boss", roles=["roles/admin"], disabled=True))
    writer = caller(permissions=ROLE_WRITER)

    take_over = pb.UpdatePrincipalRequest(
        principal={"name": boss.name, "issuer": "https://id.example.com", "subject": "mine"}
    )
    assert writer.refused("UpdatePrincipal", take_over).reason == "ESCALATION"
    revive = pb.UpdatePrincipalRequest(principal={"name": boss.name}, update_mask=FieldMask(paths=["disabled"]))
    assert writer.refused("UpdatePrincipal", revive).reason == "ESCALATION"
    rename = pb.UpdatePrincipalRequest(principal={"name": boss.name, "display_name": "Former boss"})
    assert writer("UpdatePrincipal", rename).display_name == "Former boss"


def test_an_outside_identity_belongs_to_one_principal_of_a_tenant(caller):
    identity = {"issuer": "https://id.example.com", "subject": "u-4711"}
    ann = caller()("CreatePrincipal", create_principal(**identity))
    refused = caller().refused("CreatePrincipal", create_principal("Impostor", **identity))
    assert refused.code == "ALREADY_EXISTS"
    assert "u-4711" not in refused.message
    bob = caller()("CreatePrincipal", create_principal("Bob"))
    steal = pb.UpdatePrincipalRequest(principal={"name": bob.name, **identity})
    assert caller().refused("UpdatePrincipal", steal).code == "ALREADY_EXISTS"
    assert caller("other")("CreatePrincipal", create_principal(**identity)).name != ann.name

    caller()("DeletePrincipal", pb.DeletePrincipalRequest(name=ann.name))
    assert caller()("CreatePrincipal", create_principal(**identity)).subject == "u-4711"


def test_what_is_wrong_with_a_principal_is_named(caller):
    refused = caller().refused(
        "CreatePrincipal", create_principal("x" * 201, roles=["roles/agent", "roles/ghost"], subject="alone")
    )
    assert set(refused.violations) == {"principal.display_name", "principal.roles[1]", "principal.issuer"}
    malformed = caller().refused("CreatePrincipal", create_principal(roles=["admin"]))
    assert "principal.roles[0]" in malformed.violations
    many = caller().refused("CreatePrincipal", create_principal(roles=["roles/agent"] * 51))
    assert "50" in many.violations["principal.roles"]


def test_repeats_create_one_principal(caller):
    request = create_principal("Once")
    request.request_id = str(uuid.uuid4())
    assert caller()("CreatePrincipal", request) == caller()("CreatePrincipal", request)


def test_other_tenants_see_nothing(caller):
    ann = caller()("CreatePrincipal", create_principal())
    other = caller("other")
    assert other.refused("GetPrincipal", pb.GetPrincipalRequest(name=ann.name)).code == "NOT_FOUND"
    assert other.refused("UpdatePrincipal", pb.UpdatePrincipalRequest(principal={"name": ann.name})).code == "NOT_FOUND"
    assert other.refused("DeletePrincipal", pb.DeletePrincipalRequest(name=ann.name)).code == "NOT_FOUND"
    assert other.refused("GetRole", pb.GetRoleRequest(name="roles/agent")).code == "NOT_FOUND"
    assert other.refused("DeleteRole", pb.DeleteRoleRequest(name="roles/strong")).code == "NOT_FOUND"
    assert ann.name not in {item.name for item in other("ListPrincipals", pb.ListPrincipalsRequest()).principals}
    page = caller()("ListPrincipals", pb.ListPrincipalsRequest(page_size=1))
    stolen = pb.ListPrincipalsRequest(page_size=1, page_token=page.next_page_token)
    assert other.refused("ListPrincipals", stolen).reason == "INVALID_PAGE_TOKEN"
