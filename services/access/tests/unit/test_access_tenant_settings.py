import pytest
from rapport.access.v1 import tenant_pb2

from access.tenant_settings import violations


def settings(**changed):
    return tenant_pb2.TenantSettings(**{"time_zone": "Europe/Berlin", "currency_code": "EUR", **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"time_zone": "UTC"},
        {"currency_code": "JPY"},
        {"language_codes": ["de", "pt-BR", "zh-Hant-TW", "sr-Latn"]},
        {"region_code": "DE"},
        {"region_code": "BV"},
        {"sender": {"email": "hello@acme.test", "display_name": "Äcme & Söhne"}},
        {"sender": {"email": "hello@shop.example.com"}},
    ],
)
def test_good_settings(changed):
    assert violations(settings(**changed)) == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": "CEST"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"currency_code": ""}, "currency_code"),
        ({"currency_code": "XXX"}, "currency_code"),
        ({"language_codes": ["deutsch"]}, "language_codes[0]"),
        ({"language_codes": ["de", "de"]}, "language_codes[1]"),
        ({"language_codes": ["de_DE"]}, "language_codes[0]"),
        ({"language_codes": ["de"] * 51}, "language_codes"),
        ({"region_code": "EU"}, "region_code"),
        ({"region_code": "de"}, "region_code"),
        ({"sender": {"display_name": "Acme"}}, "sender.email"),
        ({"sender": {"email": "Acme <a@example.com>"}}, "sender.email"),
        ({"sender": {"email": "a@example.com\nBcc: b@example.com"}}, "sender.email"),
        ({"sender": {"email": "a@example.com", "display_name": "A\nB"}}, "sender.display_name"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(changed, field):
    found = dict(violations(settings(**changed)))
    assert f"tenant.settings.{field}" in found
    assert "example.com\n" not in repr(found)
