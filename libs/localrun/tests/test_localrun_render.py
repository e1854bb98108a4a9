"""What a chart becomes, and what is refused by its path."""

import base64
from pathlib import Path
from typing import Any

import pytest

from localrun import localvalues, render, state
from localrun.loopback import Loopback
from localrun.supported import UnsupportedError, check

Charts = Any


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_environment_comes_from_values_secrets_maps_and_fields(charts: Charts, tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": base64.b64encode(b"from data").decode()},
        "stringData": {"b": "from stringData"},
    }
    deployment = charts.deployment(
        "alpha",
        18081,
        envFrom=[{"configMapRef": {"name": "c"}}],
        env=[
            {"name": "RAPPORT_BIND_HOST", "value": "127.0.0.1"},
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "b"}}},
            {"name": "NOT_THERE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "z", "optional": True}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "LEVEL"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    )
    (workload,) = render.workloads([secret, config_map("c", LEVEL="high"), deployment], tmp_path)
    assert workload.env == {
        "LEVEL": "high",
        "RAPPORT_BIND_HOST": "127.0.0.1",
        "A": "from data",
        "B": "from stringData",
        "C": "high",
        "POD": "alpha-0",
    }


def test_mounts_become_folders_and_only_exact_paths_are_replaced(charts: Charts, tmp_path: Path) -> None:
    deployment = charts.deployment(
        "alpha",
        18081,
        env=[
            {"name": "FILE", "value": "/etc/rapport/topology.json"},
            {"name": "TMPDIR", "value": "/tmp"},
            {"name": "OTHER", "value": "/tmp/of/the/machine"},
            {"name": "RAPPORT_BIND_HOST", "value": "127.0.0.1"},
        ],
        volumeMounts=[{"name": "topology", "mountPath": "/etc/rapport"}, {"name": "tmp", "mountPath": "/tmp"}],
    )
    deployment["spec"]["template"]["spec"]["volumes"] = [
        {"name": "topology", "configMap": {"name": "t"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}},
    ]
    (workload,) = render.workloads([config_map("t", **{"topology.json": "{}"}), deployment], tmp_path)
    assert Path(workload.env["FILE"]).read_text() == "{}"
    assert Path(workload.env["TMPDIR"]).is_dir()
    assert Path(workload.env["TMPDIR"]).is_relative_to(tmp_path)
    assert workload.env["OTHER"] == "/tmp/of/the/machine"


def test_probes_keep_the_charts_timing_and_go_to_the_bound_address(charts: Charts, tmp_path: Path) -> None:
    (workload,) = render.workloads([charts.deployment("alpha", 18081)], tmp_path)
    assert workload.readiness == render.Probe("http", "127.0.0.1", 18081, "/readyz", 1.0, 2.0, 2)
    assert workload.listens == (("127.0.0.1", 18081),)
    assert workload.grace_s == 5


def changed(charts: Charts, path: list[Any], value: object) -> dict[str, object]:
    """A good deployment with one field set."""
    manifest: Any = charts.deployment("alpha", 18081)
    place = manifest
    for step in path[:-1]:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    place[path[-1]] = value
    return manifest


POD = ["spec", "template", "spec"]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["kind"], "StatefulSet", "kind StatefulSet"),
        (["kind"], "CronJob", "kind CronJob"),
        ([*POD, "initContainers"], [], "Deployment/alpha: spec.template.spec.initContainers"),
        ([*POD, "hostNetwork"], True, "spec.template.spec.hostNetwork"),
        ([*POD, "containers", 0, "lifecycle"], {}, "spec.template.spec.containers[0].lifecycle"),
        ([*POD, "containers", 0, "livenessProbe", "exec"], {}, "containers[0].livenessProbe.exec"),
        ([*POD, "containers", 0, "readinessProbe", "httpGet", "httpHeaders"], [], "readinessProbe.httpGet.httpHeaders"),
        ([*POD, "containers", 0, "volumeMounts"], [{"name": "a", "subPath": "b"}], "volumeMounts[0].subPath"),
        ([*POD, "volumes"], [{"name": "a", "persistentVolumeClaim": {}}], "volumes[0].persistentVolumeClaim"),
        ([*POD, "volumes"], [{"name": "a", "secret": {"secretName": "b"}}], "volumes[0].secret"),
        (
            [*POD, "containers", 0, "env"],
            [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}],
            "containers[0].env[0].valueFrom.resourceFieldRef",
        ),
        ([*POD, "containers"], "none", "spec.template.spec.containers is not a list"),
        (["spec", "paused"], True, "spec.paused"),
    ],
)
def test_unsupported_is_refused_by_its_path(charts: Charts, path: list[Any], value: object, named: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        check(changed(charts, path, value))
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["spec", "replicas"], 2, "spec.replicas"),
        ([*POD, "containers", 0, "env", 0, "value"], "0.0.0.0", "global.addresses"),
        (
            [*POD, "containers", 0, "env", 0],
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}},
            "Secret/gone",
        ),
        (
            [*POD, "containers", 0, "env", 0],
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            "spec.nodeName",
        ),
    ],
)
def test_what_cannot_be_resolved_is_named(
    charts: Charts, tmp_path: Path, path: list[Any], value: object, named: str
) -> None:
    with pytest.raises(UnsupportedError) as refused:
        render.workloads([changed(charts, path, value)], tmp_path)
    assert named in str(refused.value)
    assert "Deployment/alpha" in str(refused.value)


def test_jobs_outside_hooks_are_refused(charts: Charts, tmp_path: Path) -> None:
    job = charts.job("once", 0, "pass")
    del job["metadata"]["annotations"]
    with pytest.raises(UnsupportedError, match="only hook jobs"):
        render.workloads([job], tmp_path)


def test_helm_refuses_a_wrong_value_with_its_own_words(tmp_path: Path) -> None:
    chart = state.workspace() / "charts/rapport"
    values = tmp_path / "values.yaml"
    values.write_text("access: {replicaz: 3}\n")
    with pytest.raises(render.RenderError, match="replicaz"):
        render.render(chart, [chart / "examples/local/values.yaml", values])


def test_rendering_leaves_the_source_tree_alone(charts: Charts, tmp_path: Path) -> None:
    chart = state.workspace() / "charts/rapport"
    before = sorted(path for path in chart.rglob("*") if path.is_file())
    values = tmp_path / "values.yaml"
    uri = "{values: {mongodb-uri: m, bootstrap-key: b}}"
    values.write_text(
        "global: {secrets: {values: {keys: k, amqp-uri: a}}}\n"
        + "".join(
            f"{service.name}: {{secrets: {uri}}}\n" for service in localvalues.services(chart) if service.database
        )
    )
    manifests = render.render(chart, [chart / "examples/local/values.yaml", values])
    names = {workload.name for workload in render.workloads(manifests, tmp_path / "run")}
    assert {"rapport-gateway-serve", "rapport-identity-migrate", "rapport-topology"} <= names
    assert sorted(path for path in chart.rglob("*") if path.is_file()) == before


def test_platforms_side_by_side_have_networks_of_their_own() -> None:
    first, second = Loopback.claim(), Loopback.claim()
    assert first.prefix != second.prefix
    assert second.own("http://127.0.1.1:8080") == f"http://{second.prefix}1:8080"
    assert second.mail_host.startswith(second.prefix)
    assert second.trace_url.startswith(f"http://{second.prefix}")
