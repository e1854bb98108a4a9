"""The chart as processes: `helm template`, then one Workload per Deployment and per hook Job.

Supported is what `localrun.supported` lists. Mounted config maps and empty directories become folders in the state
folder, and an environment value that is exactly such a mount path (or a file in it) is replaced by the local path.
"""

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localrun import priority, provision, supported
from localrun.supported import Object, UnsupportedError

# Where a process listens is where its probes go, as a pod's address would be.
ADDRESS_VARIABLE = "RAPPORT_BIND_HOST"
NAMESPACE = "local"


class RenderError(Exception):
    """helm refused the chart or its values; the message is helm's."""


@dataclass(frozen=True)
class Probe:
    """One check of a process. kind: grpc (target: health service name) or http (target: path)."""

    kind: str
    host: str
    port: int
    target: str
    period_s: float
    timeout_s: float
    failure_threshold: int


@dataclass(frozen=True)
class Workload:
    """One local process, or a job that runs to its end. cores: how much processor it requests."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    directory: Path
    listens: tuple[tuple[str, int], ...] = ()
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None
    grace_s: float = 30.0
    cores: float = 0.0
    hook_weight: int | None = None
    attempts: int = 1
    deadline_s: float = 600.0


def render(chart: Path, values: Sequence[Path], release: str = "rapport") -> list[Object]:
    """Manifests of a chart. Subcharts are taken from the folders beside it (`file://` dependencies).

    Raises RenderError.
    """
    with tempfile.TemporaryDirectory(prefix="rapport-chart-") as scratch:
        assembled = assemble(chart, Path(scratch))
        command = [str(provision.ensure_helm()), "template", release, str(assembled), "--namespace", NAMESPACE]
        for file in values:
            command += ["--values", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RenderError(done.stderr.strip())
    return [manifest for manifest in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if manifest]


def assemble(chart: Path, into: Path) -> Path:
    """Copy of a chart with its `file://` dependencies in place.

    `helm dependency update` would write into the source tree, where a second run may be reading.
    """
    target = into / chart.name
    shutil.copytree(chart, target, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    for dependency in dependencies(chart):
        source = (chart / dependency["repository"].removeprefix("file://")).resolve()
        subchart = target / "charts" / dependency["name"]
        if not subchart.exists():
            shutil.copytree(source, subchart)
    return target


def dependencies(chart: Path) -> list[dict[str, str]]:
    """The chart's dependencies as its Chart.yaml lists them."""
    return list(yaml.safe_load((chart / "Chart.yaml").read_text()).get("dependencies") or [])


def workloads(manifests: Sequence[Object], directory: Path) -> list[Workload]:
    """Local processes of rendered manifests, in their order; jobs have a `hook_weight`.

    directory: gets one folder per workload. Raises UnsupportedError.
    """
    local = [item for item in manifests if not _is_cluster_only(item)]
    for manifest in local:
        supported.check(manifest)
    data = {(item["kind"], item["metadata"]["name"]): _entries(item) for item in local if "template" not in _spec(item)}
    return [_workload(item, data, directory) for item in local if "template" in _spec(item)]


def _is_cluster_only(manifest: Object) -> bool:
    hook = (manifest["metadata"].get("annotations") or {}).get("helm.sh/hook")
    return hook == "test" or manifest["kind"] in supported.MEANINGLESS_KINDS


def _spec(manifest: Object) -> Object:
    return manifest.get("spec") or {}


def _entries(manifest: Object) -> dict[str, str]:
    """Keys and values of a ConfigMap or Secret."""
    entries: dict[str, str] = dict(manifest.get("data") or {})
    if manifest["kind"] == "Secret":
        entries = {key: base64.b64decode(value).decode() for key, value in entries.items()}
        entries |= manifest.get("stringData") or {}
    return entries


def _workload(manifest: Object, data: dict[tuple[str, str], dict[str, str]], directory: Path) -> Workload:
    owner, spec = supported.title(manifest), manifest["spec"]
    name = manifest["metadata"]["name"]
    pod = spec["template"]["spec"]
    if len(pod["containers"]) != 1:
        raise UnsupportedError(f"{owner}: spec.template.spec.containers: one container per pod runs locally")
    if spec.get("replicas", 1) > 1:
        raise UnsupportedError(f"{owner}: spec.replicas: one process per workload runs locally (its address is fixed)")
    container = pod["containers"][0]
    home = directory / name
    home.mkdir(parents=True, exist_ok=True)
    env = _Environment(owner, f"{name}-0", data).resolve(container)
    moved = _mount(owner, pod, container, data, home)
    env = {variable: moved.get(value, value) for variable, value in env.items()}
    address = env.get(ADDRESS_VARIABLE, "127.0.0.1")
    ports = {port.get("name"): int(port["containerPort"]) for port in container.get("ports") or []}
    if ports and address == "0.0.0.0":
        raise UnsupportedError(
            f"{owner}: it has no address of its own; add one to global.addresses in the local values"
        )
    weight = (manifest["metadata"].get("annotations") or {}).get("helm.sh/hook-weight")
    if manifest["kind"] == "Job" and weight is None:
        raise UnsupportedError(f"{owner}: metadata.annotations: only hook jobs (with helm.sh/hook-weight) run locally")

    def probe(kind: str) -> Probe | None:
        return _probe(container[kind], address, ports) if container.get(kind) else None

    return Workload(
        name=name,
        command=(*container["command"], *(container.get("args") or [])),
        env=env,
        directory=home,
        listens=tuple((address, port) for port in ports.values()),
        startup=probe("startupProbe"),
        liveness=probe("livenessProbe"),
        readiness=probe("readinessProbe"),
        grace_s=float(pod.get("terminationGracePeriodSeconds", 30)),
        cores=_cores(owner, container),
        hook_weight=None if weight is None else int(weight),
        attempts=int(spec.get("backoffLimit", 6)) + 1,
        deadline_s=float(spec.get("activeDeadlineSeconds", 600)),
    )


def _cores(owner: str, container: Object) -> float:
    requested = ((container.get("resources") or {}).get("requests") or {}).get("cpu", 0)
    try:
        return priority.cores(requested)
    except ValueError:
        where = "spec.template.spec.containers.resources.requests.cpu"
        raise UnsupportedError(
            f"{owner}: {where}: {requested!r} is no number of processors, such as 0.5 or 500m"
        ) from None


def _probe(spec: Object, host: str, ports: dict[str, int]) -> Probe:
    action = spec["grpc" if "grpc" in spec else "httpGet"]
    port = action["port"]
    return Probe(
        kind="grpc" if "grpc" in spec else "http",
        host=host,
        port=ports[port] if isinstance(port, str) else int(port),
        target=action.get("service", "") if "grpc" in spec else action.get("path", "/"),
        period_s=float(spec.get("periodSeconds", 10)),
        timeout_s=float(spec.get("timeoutSeconds", 1)),
        failure_threshold=int(spec.get("failureThreshold", 3)),
    )


@dataclass(frozen=True)
class _Environment:
    """Resolves a container's `env` and `envFrom`."""

    owner: str
    pod_name: str
    data: dict[tuple[str, str], dict[str, str]]

    def resolve(self, container: Object) -> dict[str, str]:
        env: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if reference := source.get(field):
                    env |= self._object(kind, reference) or {}
        for entry in container.get("env") or []:
            value = self._value(entry)
            if value is not None:
                env[entry["name"]] = value
        return env

    def _value(self, entry: Object) -> str | None:
        source = entry.get("valueFrom")
        if not source:
            return str(entry.get("value", ""))
        if field := source.get("fieldRef"):
            known = {"metadata.name": self.pod_name, "metadata.namespace": NAMESPACE}
            if field["fieldPath"] not in known:
                raise UnsupportedError(
                    f"{self.owner}: env {entry['name']}: fieldPath {field['fieldPath']} is not known"
                )
            return known[field["fieldPath"]]
        kind = "Secret" if "secretKeyRef" in source else "ConfigMap"
        reference: dict[str, Any] = source.get("secretKeyRef") or source.get("configMapKeyRef")
        entries = self._object(kind, reference)
        if entries is None or reference["key"] not in entries:
            if reference.get("optional"):
                return None
            raise UnsupportedError(
                f"{self.owner}: env {entry['name']}: {kind}/{reference['name']} has no {reference['key']}"
            )
        return entries[reference["key"]]

    def _object(self, kind: str, reference: dict[str, Any]) -> dict[str, str] | None:
        entries = self.data.get((kind, reference["name"]))
        if entries is None and not reference.get("optional"):
            raise UnsupportedError(f"{self.owner}: {kind}/{reference['name']} is not part of the chart's output")
        return entries


def _mount(
    owner: str, pod: Object, container: Object, data: dict[tuple[str, str], dict[str, str]], home: Path
) -> dict[str, str]:
    """Makes the mounted folders; path in the pod -> local path, for mount points and the files in them."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes") or []}
    moved: dict[str, str] = {}
    for mount in container.get("volumeMounts") or []:
        volume = volumes[mount["name"]]
        folder = home / "mounts" / mount["name"]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        moved[mount["mountPath"]] = str(folder)
        if "configMap" not in volume:
            continue
        name = volume["configMap"]["name"]
        if ("ConfigMap", name) not in data:
            raise UnsupportedError(
                f"{owner}: volume {mount['name']}: ConfigMap/{name} is not part of the chart's output"
            )
        for key, text in data["ConfigMap", name].items():
            (folder / key).write_text(text)
            moved[f"{mount['mountPath']}/{key}"] = str(folder / key)
    return moved


def write_values(path: Path, values: dict[str, Any]) -> None:
    """Writes a values file that only its owner may read: it may hold secrets."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(values, indent=2))
