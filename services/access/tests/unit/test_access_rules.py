from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest

from access.domain.built_in_roles import _ROLES, built_in_roles
from access.domain.key_lifetime import expiry_problem
from access.domain.permission_names import closest_permission, permission_exists
from access.domain.slugs import slug_problem
from access.usecases.grants import known_permissions
from chassis.permissions import is_permission

KNOWN = {"identity.customers.get", "identity.customers.merge", "identity.merges.list", "consent.purposes.get"}
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("permission", ["*", "identity.*", "identity.customers.*", "identity.customers.get"])
def test_permissions_and_their_wildcards_exist(permission):
    assert permission_exists(permission, KNOWN)


@pytest.mark.parametrize(
    "permission", ["", "identity", "identity.customers", "ident.*", "identity.cust.*", "sales.*", "**"]
)
def test_what_no_method_asks_for_does_not_exist(permission):
    assert not permission_exists(permission, KNOWN)


def test_the_closest_permission_is_found():
    assert closest_permission("identity.customer.merge", KNOWN) == "identity.customers.merge"
    assert closest_permission("identity.customer.*", KNOWN) == "identity.customers.*"
    assert closest_permission("zzz", KNOWN) is None


def test_every_permission_of_the_platform_can_be_granted():
    assert {"identity.events.ingest", "access.tenants.enter", "consent.consents.grant"} <= known_permissions()
    assert all(is_permission(permission) for permission in known_permissions())


def test_each_pattern_of_a_built_in_role_matches_something():
    for role, _, patterns in _ROLES:
        for pattern in patterns:
            # Not every service has every verb of reading.
            if pattern.endswith((".summarize", ".verify")):
                continue
            assert any(fnmatchcase(name, pattern.removeprefix("!")) for name in known_permissions()), (role, pattern)


def test_built_in_roles_hold_what_their_names_say():
    roles = {role.id: set(role.permissions) for role in built_in_roles(known_permissions())}
    assert roles["admin"] == {"*"}
    assert {"identity.customers.create", "identity.customers.view", "ticketing.tickets.resolve"} <= roles["agent"]
    assert {"identity.customers.view", "sales.opportunities.win", "sales.orders.refund"} <= roles["sales-rep"]
    assert not {"identity.customers.view", "sales.leads.convert", "ticketing.tickets.list"} & roles["marketer"]
    fraud = {name for name in known_permissions() if name.startswith("scoring.fraud")}
    assert {role for role in roles if fraud & roles[role]} == {"agent", "privacy-officer", "auditor"}
    assert {"scoring.fraudAlerts.list", "scoring.fraudAlerts.resolve"} <= roles["agent"]
    assert {"scoring.segments.list", "scoring.customerScores.get"} <= roles["marketer"]
    assert not {"sales.salesReps.update", "sales.orders.refund", "ticketing.queues.update"} & roles["agent"]
    assert "identity.customers.delete" not in roles["agent"]
    assert {"identity.customers.delete", "consent.purposes.create"} <= roles["privacy-officer"]
    assert {"identity.customers.get", "access.keys.list", "consent.consentRecords.verify"} <= roles["auditor"]
    assert {name.rpartition(".")[2] for name in roles["auditor"]} == {"get", "list", "summarize", "verify"}
    assert "identity.events.ingest" in roles["collector"]
    assert not any(name.startswith("access.") for name in roles["agent"] | roles["marketer"] | roles["collector"])


@pytest.mark.parametrize("slug", ["ab", "acme-shop", "a1", "x" * 40])
def test_slugs(slug):
    assert slug_problem(slug) is None


@pytest.mark.parametrize("slug", ["", "a", "A1", "1a", "-a", "a b", "a.b", "a/b", "ä1", "a\n", "x" * 41])
def test_other_ids_are_refused(slug):
    assert slug_problem(slug)


def test_keys_live_between_now_and_five_years():
    assert expiry_problem(NOW, NOW)
    assert expiry_problem(NOW + timedelta(seconds=1), NOW) is None
    assert expiry_problem(datetime(2031, 5, 1, tzinfo=UTC), NOW) is None
    assert expiry_problem(datetime(2031, 5, 10, tzinfo=UTC), NOW)
