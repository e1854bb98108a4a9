"""What exists from the installation on: the tenant `platform`, its administrator, and the key to begin with."""

import logging
from datetime import datetime

from rapport.access.v1 import events_pb2

from access.domain.key_lifetime import LONGEST_LIFETIME
from access.domain.key_text import KeyText, hash_secret, parse_key
from access.domain.slugs import PLATFORM
from access.settings import Settings
from access.store import Key, Principal, Tenant
from access.store.keys import API
from access.store.tenants import Settings as TenantSettings
from access.usecases.built_in_roles import PLATFORM_ADMIN
from access.usecases.keys import revoke_key
from chassis import clock, tenancy
from chassis.settings import ConfigurationError

BOOTSTRAP_PRINCIPAL = "00000000-0000-7000-8000-000000000001"
"""Always the same, so that repeats find it."""

logger = logging.getLogger(__name__)


def create_platform_tenant() -> None:
    """Creates the tenant `platform` unless it exists."""
    with tenancy.service_context(PLATFORM):
        if Tenant.get_many([PLATFORM]):
            return
        tenant = Tenant.new(PLATFORM, display_name="Platform", create_time=clock.now())
        tenant.settings = TenantSettings(time_zone="UTC", currency_code="EUR", language_codes=["en"])
        tenant.emit(events_pb2.TenantCreated(tenant=tenant.published()))
        tenant.insert()


def provide_bootstrap_key(settings: Settings) -> None:
    """Makes the configured key open the platform as its administrator, and no former one.

    Safe to repeat. A key that was revoked stays revoked: configure a new one. Raises ConfigurationError when the
    configured text is no key of the platform.
    """
    if settings.bootstrap_key is None:
        logger.warning("no bootstrap key is configured; existing keys stay as they are")
        return
    key = parse_key(settings.bootstrap_key.get_secret_value())
    if key is None or key.tenant != PLATFORM:
        raise ConfigurationError(
            settings.environment_names()["bootstrap_key"],
            "is not an API key of the tenant `platform`; make one with `python -m access.bootstrap_key`",
        )
    with tenancy.service_context(PLATFORM):
        if not Principal.get_many([BOOTSTRAP_PRINCIPAL]):
            Principal.new(BOOTSTRAP_PRINCIPAL, display_name="Installation", roles=[PLATFORM_ADMIN.id]).insert()
        _store(key, clock.real_now())
        for former in Key.find({"principal": BOOTSTRAP_PRINCIPAL, "revoke_time": None, "bootstrap": True}):
            if former.uid != key.uid:
                revoke_key(former.uid, "")
                logger.info("the former bootstrap key is revoked")


def _store(key: KeyText, now: datetime) -> None:
    stored = Key.get_many([key.uid]).get(key.uid)
    if stored is None:
        stored = Key.new(key.uid, kind=API, principal=BOOTSTRAP_PRINCIPAL, bootstrap=True, display_name="Bootstrap key")
        stored.secret_hash = hash_secret(key.secret)
        stored.expire_time = now + LONGEST_LIFETIME
        stored.insert()
        return
    if stored.secret_hash != hash_secret(key.secret):
        stored.secret_hash = hash_secret(key.secret)
        stored.expire_time = now + LONGEST_LIFETIME
        stored.save()
