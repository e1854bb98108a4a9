"""Invariants of every rendered object: valid, labelled, hardened, reachable only as declared."""

import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from eventing import names
from eventing.topology import load
from localrun import provision, state
from localrun.render import assemble

Manifest = dict[str, Any]
CHARTS = state.workspace() / "charts"
KUBERNETES = "1.35"
# Their schemas are not Kubernetes' own.
CUSTOM_KINDS = {"ScaledObject", "TriggerAuthentication", "PrometheusRule"}

SERVICES = ("access", "identity", "consent", "campaigns", "scoring", "sales", "ticketing")


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [item for item in manifests if item["kind"] in kinds]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """(title, pod) of every object that makes pods."""
    for item in manifests:
        title = f"{item['kind']}/{item['metadata']['name']}"
        if item["kind"] == "Pod":
            yield title, item
        elif "template" in item.get("spec", {}):
            yield title, item["spec"]["template"]


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def test_helm_lint_is_strict_and_clean(tmp_path: Any) -> None:
    chart = assemble(CHARTS / "rapport", tmp_path)
    values = chart / "examples/production/values.yaml"
    done = subprocess.run(
        [provision.ensure_helm(), "lint", "--strict", chart, "-f", values], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_objects_are_valid_kubernetes(manifests: list[Manifest]) -> None:
    for item in manifests:
        if item["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_objects_have_the_recommended_labels(manifests: list[Manifest]) -> None:
    wanted = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "part-of", "version", "managed-by")}
    for item in manifests:
        labels = item["metadata"]["labels"]
        assert wanted | {"helm.sh/chart"} <= labels.keys(), item["metadata"]["name"]


def test_names_are_unique_within_a_kind(manifests: list[Manifest]) -> None:
    found = [(item["kind"], item["metadata"]["name"]) for item in manifests]
    assert len(found) == len(set(found))


def test_pods_are_hardened(manifests: list[Manifest]) -> None:
    for title, pod in pods(manifests):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, title
        assert spec["enableServiceLinks"] is False, title
        assert spec["securityContext"]["runAsNonRoot"] is True, title
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, title
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), title
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, title
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, title
            assert "memory" in container["resources"]["limits"], title
            # A limit on processor time only makes a process slow while cores are idle.
            assert "cpu" not in container["resources"]["limits"], title


def test_who_answers_people_comes_before_who_follows_up(production: list[Manifest]) -> None:
    requests: dict[str, set[float]] = {"serve": set(), "other": set()}
    for item in of_kind(production, "Deployment"):
        (container,) = item["spec"]["template"]["spec"]["containers"]
        role = "serve" if container["name"] == "serve" else "other"
        requests[role].add(float(container["resources"]["requests"]["cpu"].removesuffix("m")))
    assert min(requests["serve"]) > 2 * max(requests["other"])


def test_selectors_hold_only_what_never_changes(manifests: list[Manifest]) -> None:
    """A Deployment's selector cannot be changed: a new label in it would break every upgrade."""
    for item in of_kind(manifests, "Deployment"):
        labels = item["metadata"]["labels"]
        identity = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")
        assert item["spec"]["selector"]["matchLabels"] == {key: labels[key] for key in identity}
        assert matches(item["spec"]["selector"]["matchLabels"], item["spec"]["template"]["metadata"]["labels"])


def test_deployments_are_these(production: list[Manifest]) -> None:
    """Renaming one would run old and new side by side during an upgrade."""
    assert {item["metadata"]["name"] for item in of_kind(production, "Deployment")} >= {
        *("rapport-access-serve", "rapport-access-relay", "rapport-gateway-serve"),
        *(f"rapport-identity-{role}" for role in ("serve", "work", "relay", "run")),
        *(f"rapport-consent-{role}" for role in ("serve", "work", "relay", "run")),
        *(f"rapport-campaigns-{role}" for role in ("serve", "work", "relay", "run")),
        *(f"rapport-scoring-{role}" for role in ("serve", "work", "relay", "run")),
        *(f"rapport-sales-{role}" for role in ("serve", "work", "relay", "run")),
        *(f"rapport-ticketing-{role}" for role in ("serve", "work", "relay", "run")),
    }


def test_services_select_their_serve_pods(production: list[Manifest]) -> None:
    for service in of_kind(production, "Service"):
        found = [pod for _, pod in pods(production) if matches(service["spec"]["selector"], pod["metadata"]["labels"])]
        assert len(found) == 1, service["metadata"]["name"]
        (container,) = found[0]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        grpc = "grpc" in ports
        assert (service["spec"].get("clusterIP") == "None") is grpc  # headless, so that clients balance


def test_probes_ask_what_the_role_answers(manifests: list[Manifest]) -> None:
    for item in of_kind(manifests, "Deployment"):
        role = item["metadata"]["labels"]["app.kubernetes.io/component"]
        (container,) = item["spec"]["template"]["spec"]["containers"]
        (port,) = [port["containerPort"] for port in container["ports"]]
        live, ready = container["livenessProbe"], container["readinessProbe"]
        if item["metadata"]["name"].endswith("gateway-serve"):
            assert live["httpGet"] == {"path": "/healthz", "port": port}
            assert ready["httpGet"] == {"path": "/readyz", "port": port}
        elif role == "serve":
            assert live["grpc"] == {"port": port, "service": "live"}
            assert ready["grpc"] == {"port": port, "service": "ready"}
        else:
            assert live["httpGet"] == {"path": "/livez", "port": port}
            assert ready["httpGet"] == {"path": "/readyz", "port": port}
        assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] >= 60


def test_pods_get_longer_to_end_than_their_process_takes(manifests: list[Manifest]) -> None:
    drain_s = 2
    for item in of_kind(manifests, "Deployment"):
        spec = item["spec"]["template"]["spec"]
        env = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
        assert spec["terminationGracePeriodSeconds"] > int(env["RAPPORT_SHUTDOWN_GRACE_S"]) + drain_s


def minimum_replicas(item: Manifest, manifests: list[Manifest]) -> int:
    name = item["metadata"]["name"]
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == name:
            assert "replicas" not in item["spec"], f"{name}: an upgrade would undo what its scaler decided"
            return int(scaler["spec"].get("minReplicas") or scaler["spec"]["minReplicaCount"])
    return int(item["spec"]["replicas"])


def test_budgets_exist_exactly_where_there_is_more_than_one_pod(manifests: list[Manifest]) -> None:
    budgets = {item["metadata"]["name"]: item["spec"] for item in of_kind(manifests, "PodDisruptionBudget")}
    several = set()
    for item in of_kind(manifests, "Deployment"):
        if minimum_replicas(item, manifests) > 1:
            name = item["metadata"]["name"]
            several.add(name)
            assert budgets[name]["selector"] == item["spec"]["selector"]
    assert budgets.keys() == several


def test_scaled_queues_exist(production: list[Manifest]) -> None:
    topology = load(CHARTS / "rapport/files/topology.json")
    known = {queue for service in topology["services"] for queue in names.queues_of(service)}
    scaled = of_kind(production, "ScaledObject")
    assert scaled
    for item in scaled:
        for trigger in item["spec"]["triggers"]:
            assert trigger["metadata"]["queueName"] in known
            assert trigger["authenticationRef"]["name"] in {
                other["metadata"]["name"] for other in of_kind(production, "TriggerAuthentication")
            }


def test_every_pod_is_under_a_policy_for_both_directions(manifests: list[Manifest]) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    for title, pod in pods(manifests):
        covering = [
            set(policy["spec"]["policyTypes"])
            for policy in policies
            if matches(policy["spec"]["podSelector"]["matchLabels"], pod["metadata"]["labels"])
        ]
        assert set().union(*covering) == {"Ingress", "Egress"}, title


@pytest.mark.parametrize("caller", [*SERVICES, "gateway"])
@pytest.mark.parametrize("callee", SERVICES)
def test_policies_let_through_what_upstreams_name_and_nothing_else(
    production: list[Manifest], caller: str, callee: str
) -> None:
    labels = {title: pod["metadata"]["labels"] for title, pod in pods(production)}
    calling = labels[f"Deployment/rapport-{caller}-serve"]
    serving = labels[f"Deployment/rapport-{callee}-serve"]
    policies = {item["metadata"]["name"]: item["spec"] for item in of_kind(production, "NetworkPolicy")}

    def lets(rules: list[Manifest], side: str, other: dict[str, str]) -> bool:
        return any(
            matches(peer.get("podSelector", {"matchLabels": {"no": "pod"}})["matchLabels"], other)
            and {"port": 50051} in rule["ports"]
            for rule in rules
            for peer in rule.get(side, [])
        )

    declared = caller == "gateway" or (caller, callee) in (
        *(("scoring", "consent"), ("campaigns", "consent")),
        ("ticketing", "identity"),
    )
    assert lets(policies[f"rapport-{caller}"]["egress"], "to", serving) is declared
    assert lets(policies[f"rapport-{callee}-serve"]["ingress"], "from", calling) is declared


def test_hooks_run_after_an_install_and_before_an_upgrade(production: list[Manifest]) -> None:
    hooks = {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["annotations"]
        for item in production
        if "helm.sh/hook" in item["metadata"].get("annotations", {})
    }
    jobs = {f"Job/{item['metadata']['name']}" for item in of_kind(production, "Job")}
    assert jobs == {
        *(f"Job/rapport-{service}-migrate" for service in SERVICES),
        "Job/rapport-topology",
    }
    assert hooks.keys() == jobs | {"ConfigMap/rapport-topology-hook", "Pod/rapport-test-gateway"}
    for name, annotations in hooks.items():
        # Not pre-install: the stores may come with the same release.
        expected = "test" if name.startswith("Pod/") else "post-install,pre-upgrade"
        assert annotations["helm.sh/hook"] == expected, name
    weight = {name: int(annotations.get("helm.sh/hook-weight", 0)) for name, annotations in hooks.items()}
    assert weight["ConfigMap/rapport-topology-hook"] < weight["Job/rapport-topology"]


def test_relays_and_the_topology_job_see_the_same_manifest(production: list[Manifest]) -> None:
    found = of_kind(production, "ConfigMap")
    texts = [item["data"]["topology.json"] for item in found if "topology.json" in item["data"]]
    assert texts == [(CHARTS / "rapport/files/topology.json").read_text()] * 2
    for title, pod in pods(production):
        env = {entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0].get("env", [])}
        if "RAPPORT_TOPOLOGY_FILE" in env:
            mount = next(m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["name"] == "topology")
            assert env["RAPPORT_TOPOLOGY_FILE"] == f"{mount['mountPath']}/topology.json", title
