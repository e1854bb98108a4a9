"""What identity knows of the tenant: the region and currency that values without one are read in."""

from identity.settings import IdentitySettings
from identity.store import TenantProfile


def region_of_tenant(settings: IdentitySettings) -> str:
    """The region that national phone numbers are read with."""
    return _known().get("region_code") or settings.default_region


def currency_of_tenant(settings: IdentitySettings) -> str:
    """The currency of amounts without one."""
    return _known().get("currency_code") or settings.default_currency


def follow_tenant(region_code: str, currency_code: str) -> None:
    """Take over what access tells."""
    values = {"region_code": region_code, "currency_code": currency_code}
    TenantProfile.rows().update_one({"uid": TenantProfile.UID}, {"$set": values}, upsert=True)


def _known() -> dict[str, str]:
    return TenantProfile.rows().find_one({"uid": TenantProfile.UID}) or {}
