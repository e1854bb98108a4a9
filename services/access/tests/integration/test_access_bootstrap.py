import pytest
from pydantic import SecretStr
from rapport.access.v1 import access_service_pb2 as pb

from access.bootstrap_key import new_bootstrap_key
from access.domain.key_text import KeyText, parse_key
from access.migrate import provide
from access.store import Key, Role, Tenant
from access.usecases.bootstrap import BOOTSTRAP_PRINCIPAL, provide_bootstrap_key
from chassis import tenancy
from chassis.keys import keyring
from chassis.settings import ConfigurationError

SERVICE = "access"


@pytest.fixture
def configured(database):
    def with_key(text):
        return database.model_copy(update={"bootstrap_key": SecretStr(text)})

    return with_key


def test_migrating_makes_the_first_key_open_everything(configured, exchange):
    key = new_bootstrap_key()
    provide(configured(key))
    provide(configured(key))

    answer = exchange("access", api_key=key)
    assert (answer.tenant, answer.principal) == ("platform", f"principals/{BOOTSTRAP_PRINCIPAL}")
    assert keyring().open_token(answer.token, "access").permissions == {"*"}
    with tenancy.service_context("platform"):
        assert [tenant.uid for tenant in Tenant.find({})] == ["platform"]
        assert [role.uid for role in Role.find({})] == ["platform-admin"]
        assert Key.rows().count({}) == 1
        assert parse_key(key).secret.hex() not in repr(Key.rows().find_one({}))


def test_a_changed_secret_replaces_the_former_key(configured, exchange, exchange_refused):
    first = new_bootstrap_key()
    provide_bootstrap_key(configured(first))
    second = new_bootstrap_key()
    provide_bootstrap_key(configured(second))
    assert exchange(api_key=second).tenant == "platform"
    assert exchange_refused(api_key=first).reason == "KEY_REVOKED"

    # The same id with another secret is the same key, rotated.
    third = KeyText("platform", parse_key(second).uid, b"s" * 32).text()
    provide_bootstrap_key(configured(third))
    assert exchange(api_key=third).tenant == "platform"
    assert exchange_refused(api_key=second).reason == "KEY_UNKNOWN"


def test_a_revoked_bootstrap_key_stays_revoked(configured, exchange_refused, caller):
    key = new_bootstrap_key()
    provide_bootstrap_key(configured(key))
    caller("platform")("RevokeKey", pb.RevokeKeyRequest(name=f"keys/{parse_key(key).uid}"))
    provide_bootstrap_key(configured(key))
    assert exchange_refused(api_key=key).reason == "KEY_REVOKED"


@pytest.mark.parametrize("text", ["secret", KeyText("acme", "0" * 8 + "-0000-0000-0000-" + "0" * 12, bytes(32)).text()])
def test_what_is_no_key_of_the_platform_is_refused_without_being_shown(configured, text):
    with pytest.raises(ConfigurationError) as caught:
        provide_bootstrap_key(configured(text))
    assert "RAPPORT_BOOTSTRAP_KEY" in str(caught.value)
    assert text not in str(caught.value)


def test_built_in_roles_follow_the_release(database, acme, caller):
    with tenancy.service_context("acme"):
        old = Role.get("agent")
        wanted = list(old.permissions)
        old.permissions = ["identity.customers.get"]
        old.save()
        Role.get("auditor").purge()
        collector = Role.get("collector")
        collector.built_in, collector.permissions = False, ["identity.customers.get"]
        collector.save()
    provide(database)
    roles = {role.uid: role for role in caller()("ListRoles", pb.ListRolesRequest()).roles}
    assert list(roles["agent"].permissions) == wanted
    assert roles["auditor"].built_in
    # A role of the tenant's own is not touched, whatever its name.
    assert list(roles["collector"].permissions) == ["identity.customers.get"]


def test_migrate_runs_as_a_process(settings_for, role):
    settings = settings_for("access", role="migrate", bootstrap_key=new_bootstrap_key())
    process = role(settings)
    process.run()
    assert settings.bootstrap_key.get_secret_value().rpartition(".")[2] not in process.log.read_text()
    wrong = role(settings_for("access", role="migrate", bootstrap_key="wrong"))
    assert wrong.start().process.wait(60) == 78
    assert "python -m access.bootstrap_key" in wrong.tail()
