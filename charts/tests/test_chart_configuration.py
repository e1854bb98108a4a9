"""Values, secrets and environment: wrong ones are refused, and code and chart name the same things."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.settings import Settings, load
from eventing.topology import load as load_topology
from eventing.topology import manifest
from localrun import localvalues, render, state
from localrun.loopback import Loopback

Manifest = dict[str, Any]
CHARTS = state.workspace() / "charts"
UMBRELLA = CHARTS / "rapport"
_FILES = ("serve", "run")
SERVICES = [service.name for service in localvalues.services(UMBRELLA)]


def settings_of(service: str) -> type[Settings]:
    """The settings class of a service: the most derived one its settings module defines."""
    module = importlib.import_module(f"{service}.settings")
    return next(
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Settings) and kind.__module__ == module.__name__
    )


def containers(manifests: list[Manifest], service: str) -> dict[str, Manifest]:
    """Role -> container of a service's Deployments and its migration."""
    return {
        item["metadata"]["labels"]["app.kubernetes.io/component"]: item["spec"]["template"]["spec"]["containers"][0]
        for item in manifests
        if item["kind"] in ("Deployment", "Job") and item["metadata"]["labels"]["app.kubernetes.io/name"] == service
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_settings_field_and_every_needed_field_a_variable(
    manifests: list[Manifest], service: str
) -> None:
    known = settings_of(service).environment_names()
    required = {known[name] for name, field in settings_of(service).model_fields.items() if field.is_required()}
    found = containers(manifests, service)
    assert found
    for role, container in found.items():
        names = {entry["name"] for entry in container["env"]}
        assert names - {"TMPDIR"} <= set(known.values()), role
        assert required <= names, role
        assert container["command"] == ["python", "-m", service, role]


@pytest.mark.parametrize("service", SERVICES)
def test_each_role_gets_the_stores_it_uses_and_no_others(production: list[Manifest], service: str) -> None:
    for role, container in containers(production, service).items():
        names = {entry["name"] for entry in container["env"]}
        assert ("RAPPORT_AMQP_URI" in names) is (role in ("work", "relay", "run")), role
        assert ("RAPPORT_MONGODB_URI" in names) is (service != "gateway"), role
        assert ("RAPPORT_BOOTSTRAP_KEY" in names) is ((service, role) == ("access", "migrate"))
        assert ("RAPPORT_SMTP_PASSWORD" in names) is (
            role == "run" and service in ("consent", "campaigns", "ticketing")
        )


def test_an_object_store_is_reached_with_keys_of_a_secret_or_by_the_account(
    production: list[Manifest], with_values: Callable[[Manifest], list[Manifest]]
) -> None:
    given = with_values(
        {
            "global": {"networkPolicy": {"blobs": {"port": 9000}}},
            "consent": {
                "env": {"AWS_ENDPOINT_URL_S3": "https://minio.storage:9000"},
                "secretEnv": {"AWS_ACCESS_KEY_ID": {"key": "blob-key", "roles": ["serve", "run"]}},
            },
        }
    )
    endpoint = {"name": "AWS_ENDPOINT_URL_S3", "value": "https://minio.storage:9000"}
    for role, container in containers(given, "consent").items():
        key = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if entry["name"] == "AWS_ACCESS_KEY_ID"]
        assert endpoint in container["env"]
        assert key == ([{"name": "rapport-consent", "key": "blob-key", "optional": False}] if role in _FILES else [])

    def open_ports(manifests: list[Manifest]) -> set[int]:
        policy = next(
            item["spec"]
            for item in manifests
            if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "rapport-consent"
        )
        return {each["port"] for rule in policy["egress"] for each in rule["ports"]}

    assert 443 in open_ports(production)
    assert open_ports(given) - open_ports(production) == {9000}
    assert 443 not in open_ports(given)
    accounts = {item["metadata"]["name"]: item["metadata"] for item in production if item["kind"] == "ServiceAccount"}
    assert "eks.amazonaws.com/role-arn" in accounts["rapport-consent"]["annotations"]
    assert "annotations" not in accounts["rapport-access"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_accept_what_a_local_run_gives(
    local: list[Manifest], tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("RAPPORT_"):
            monkeypatch.delenv(name)
    workloads = [item for item in render.workloads(local, tmp_path) if item.env.get("RAPPORT_SERVICE") == service]
    assert workloads
    for workload in workloads:
        with monkeypatch.context() as patch:
            for name, value in workload.env.items():
                patch.setenv(name, value)
            settings = load(settings_of(service))
        assert settings.service == service
        assert settings.environment == "test"
        assert settings.clock_file is not None


def test_local_workloads_have_addresses_of_their_own_and_find_each_other(local: list[Manifest], tmp_path: Path) -> None:
    workloads = [item for item in render.workloads(local, tmp_path) if item.hook_weight is None]
    addresses = {item.name: item.env["RAPPORT_BIND_HOST"] for item in workloads}
    assert len(set(addresses.values())) == len(addresses)
    assert all(address.startswith("127.0.1.") for address in addresses.values())
    taken = {Loopback().mail_host, Loopback().trace_host}
    assert not taken & set(addresses.values())
    gateway = next(item for item in workloads if item.name == "rapport-gateway-serve")
    upstreams = yaml.safe_load(gateway.env["RAPPORT_UPSTREAMS"])
    assert upstreams == {
        service: f"dns:///{addresses[f'rapport-{service}-serve']}:50051" for service in SERVICES if service != "gateway"
    }


def test_upstreams_are_the_headless_services_in_a_cluster(production: list[Manifest]) -> None:
    (container,) = containers(production, "gateway").values()
    upstreams = next(entry["value"] for entry in container["env"] if entry["name"] == "RAPPORT_UPSTREAMS")
    headless = {item["metadata"]["name"] for item in production if item["kind"] == "Service"}
    for service, target in yaml.safe_load(upstreams).items():
        assert target == f"dns:///rapport-{service}:50051"
        assert f"rapport-{service}" in headless


def test_the_gateway_tells_clients_apart_behind_the_ingress(
    production: list[Manifest], with_values: Callable[[Manifest], list[Manifest]]
) -> None:
    """Rates and the evidence of consents go by the client's address, which only the proxies in front know."""
    (container,) = containers(production, "gateway").values()
    assert {"name": "RAPPORT_TRUSTED_PROXIES", "value": "1"} in container["env"]
    with pytest.raises(render.RenderError, match="trustedProxies"):
        with_values({"global": {"trustedProxies": 0}})


def test_secrets_are_only_referred_to(production: list[Manifest]) -> None:
    assert not [item for item in production if item["kind"] == "Secret"]
    values = yaml.safe_load((UMBRELLA / "examples/production/values.yaml").read_text())
    named = {values["global"]["secrets"]["existingSecret"]}
    named |= {values[service]["secrets"]["existingSecret"] for service in SERVICES if "secrets" in values[service]}
    for item in production:
        for reference in references(item):
            assert reference in named


def references(value: object) -> list[str]:
    """Names of the Secrets an object refers to."""
    if isinstance(value, dict):
        own = [value["secretKeyRef"]["name"]] if "secretKeyRef" in value else []
        if "secretTargetRef" in value:
            own += [target["name"] for target in value["secretTargetRef"]]
        return own + [name for inner in value.values() for name in references(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in references(inner)]
    return []


def test_defaults_hold_no_secret_and_say_which_is_missing() -> None:
    with pytest.raises(render.RenderError, match=r"global\.secrets\.existingSecret"):
        render.render(UMBRELLA, [])


def test_missing_secret_of_a_service_is_named_with_its_keys(
    with_values: Callable[[Manifest], list[Manifest]],
) -> None:
    with pytest.raises(render.RenderError, match=r"access\.secrets\.existingSecret: .*mongodb-uri, bootstrap-key"):
        with_values({"access": {"secrets": {"existingSecret": ""}}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"acess": {"enabled": False}},
        {"global": {"imageTag": "1"}},
        {"global": {"image": {"tagg": "1"}}},
        {"global": {"environment": "staging"}},
        {"global": {"addresses": {"identity": "127.0.0.1"}}},
        {"access": {"replicas": 2}},
        {"access": {"roles": {"server": {}}}},
        {"access": {"roles": {"serve": {"replicas": "two"}}}},
        {"access": {"roles": {"serve": {"keda": {"enabled": True}}}}},
        {"access": {"roles": {"relay": {"autoscaling": {"enabled": True}}}}},
        {"access": {"env": {"LOG_LEVEL": "DEBUG"}}},
        {"access": {"secretEnv": {"RAPPORT_X": {"name": "x"}}}},
        {"access": {"upstreams": ["Identity"]}},
        {"identity": {"secrets": {"password": "x"}}},
        {"ingress": {"hosts": []}},
        {"topology": {"enabled": False}},
    ],
    ids=str,
)
def test_unknown_and_wrong_values_are_refused(
    with_values: Callable[[Manifest], list[Manifest]], wrong: Manifest
) -> None:
    with pytest.raises(render.RenderError, match="values don't meet the specifications"):
        with_values(wrong)


def test_service_chart_installs_alone(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    secrets = "secrets: {existingSecret: own}\nglobal: {secrets: {existingSecret: shared}}\n"
    values.write_text(secrets + "roles: {serve: {}, work: {}}\n")
    with pytest.raises(render.RenderError, match="set `name`"):
        render.render(CHARTS / "service", [values])
    values.write_text("name: sales\n" + values.read_text())
    names = {item["metadata"]["name"] for item in render.render(CHARTS / "service", [values])}
    assert {"rapport-sales-serve", "rapport-sales-work", "rapport-sales-migrate", "rapport-sales"} <= names


def test_disabled_service_and_role_leave_nothing_behind(
    with_values: Callable[[Manifest], list[Manifest]],
) -> None:
    rendered = with_values({"consent": {"enabled": False}, "identity": {"roles": {"run": {"enabled": False}}}})
    names = {item["metadata"]["name"] for item in rendered}
    assert not [name for name in names if "consent" in name]
    assert "rapport-identity-run" not in names
    assert "rapport-identity-work" in names


def test_topology_is_what_the_handlers_subscribe_to() -> None:
    """Stale? `make topology`."""
    assert load_topology(UMBRELLA / "files/topology.json") == manifest(SERVICES)
