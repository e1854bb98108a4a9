import json

import pytest
from pydantic import Field, SecretStr

from chassis.settings import ConfigurationError, Settings, load
from chassis.smtp import SmtpSettings

from .conftest import KEYRING


class ShopSettings(Settings, SmtpSettings):
    shop_limit: int = Field(default=3, description="How many.")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("RAPPORT_KEYS", KEYRING)


def test_fields_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RAPPORT_SHOP_LIMIT", "7")
    monkeypatch.setenv("RAPPORT_UPSTREAMS", json.dumps({"identity": "dns:///identity:50051"}))
    monkeypatch.setenv("RAPPORT_SMTP_HOST", "mail")
    monkeypatch.setenv("RAPPORT_SERVICE", "other")
    monkeypatch.setenv("RAPPORT_OTLP_ENDPOINT", "")
    monkeypatch.setenv("RAPPORT_UNKNOWN", "kept out")
    loaded = load(ShopSettings, service="shop", role="work")
    assert (loaded.service, loaded.role, loaded.shop_limit, loaded.smtp_host) == ("shop", "work", 7, "mail")
    assert loaded.upstreams == {"identity": "dns:///identity:50051"}
    assert loaded.otlp_endpoint is None


def test_every_field_has_an_environment_name_and_a_description():
    names = ShopSettings.environment_names()
    assert names["shop_limit"] == "RAPPORT_SHOP_LIMIT"
    assert names["smtp_host"] == "RAPPORT_SMTP_HOST"
    assert set(names) == set(ShopSettings.model_fields)
    assert all(field.description for field in ShopSettings.model_fields.values())


def test_all_problems_are_told_at_once_without_values(monkeypatch):
    monkeypatch.delenv("RAPPORT_KEYS")
    monkeypatch.setenv("RAPPORT_GRPC_PORT", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load(ShopSettings, service="shop")
    text = str(caught.value)
    assert "RAPPORT_KEYS: is not set" in text
    assert "RAPPORT_GRPC_PORT: Input should be a valid integer" in text
    assert "hunter2" not in text
    assert "\n" not in text


def test_malformed_map_is_told_without_its_value(monkeypatch):
    monkeypatch.setenv("RAPPORT_UPSTREAMS", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load(ShopSettings, service="shop")
    assert str(caught.value) == "RAPPORT_UPSTREAMS: is not valid JSON"
    assert caught.value.__suppress_context__


def test_secrets_do_not_print():
    loaded = load(ShopSettings, service="shop")
    assert isinstance(loaded.keys, SecretStr)
    assert json.loads(KEYRING)["keys"]["k1"] not in repr(loaded)
