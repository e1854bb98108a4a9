"""A tenant to work in: made through the gateway with the key the installation began with."""

from dataclasses import dataclass

from e2e.demo.api import Api

SETTINGS = {
    "timeZone": "America/New_York",
    "currencyCode": "USD",
    "languageCodes": ["en"],
    "regionCode": "US",
    "sender": {"displayName": "Demo shop", "email": "hello@demo-shop.example"},
}


@dataclass(frozen=True)
class Tenant:
    """One tenant. api: calls with its admin's key. write_keys: source -> write key."""

    id: str
    api: Api
    write_keys: dict[str, str]


def create(gateway: str, platform_key: str, tenant_id: str, sources: tuple[str, ...] = ("shop",)) -> Tenant:
    """Makes a tenant with an admin and one write key for each source. Raises ApiError."""
    Api(gateway, platform_key).post(
        "/v1/tenants", {"displayName": f"Tenant {tenant_id}", "settings": SETTINGS}, tenantId=tenant_id
    )
    entered = Api(gateway, platform_key, tenant_id)
    principal = entered.post("/v1/principals", {"displayName": "Operator", "roles": ["roles/admin"]})
    key = entered.post("/v1/keys", {"kind": "KIND_API", "principal": principal["name"], "displayName": "operator"})
    api = Api(gateway, key["secret"])
    write_keys = {
        source: api.post("/v1/keys", {"kind": "KIND_WRITE", "source": source, "displayName": source})["secret"]
        for source in sources
    }
    return Tenant(tenant_id, api, write_keys)


def create_purpose(api: Api, purpose_id: str, *, double_opt_in: bool) -> str:
    """Makes a consent-based e-mail purpose; returns its name."""
    purpose = api.post(
        "/v1/purposes",
        {
            "displayName": "Marketing by e-mail",
            "legalBasis": "LEGAL_BASIS_CONSENT",
            "channels": ["CHANNEL_EMAIL"],
            "doubleOptIn": double_opt_in,
            "notice": {"texts": [{"languageCode": "en", "text": "We write to you about offers, once a week at most."}]},
        },
        purposeId=purpose_id,
    )
    return str(purpose["name"])
