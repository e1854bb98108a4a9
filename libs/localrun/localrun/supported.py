"""What of Kubernetes a local run understands: everything else is refused by its path, never skipped silently."""

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as parsed from YAML."""


class UnsupportedError(Exception):
    """The chart rendered something a local run cannot honour; the message names its path."""


# A leaf (None) is taken with whatever it holds; a list spec applies to every item.
_METADATA = {"name": None, "namespace": None, "labels": None, "annotations": None}
_ACTION = {
    "grpc": {"port": None, "service": None},
    "httpGet": {"path": None, "port": None, "scheme": None},
    **dict.fromkeys(("periodSeconds", "timeoutSeconds", "failureThreshold", "initialDelaySeconds")),
}
_REFERENCE = {"name": None, "key": None, "optional": None}
_CONTAINER = {
    **dict.fromkeys(("name", "image", "imagePullPolicy", "command", "args", "resources", "securityContext")),
    "env": [
        {
            "name": None,
            "value": None,
            "valueFrom": {
                "secretKeyRef": _REFERENCE,
                "configMapKeyRef": _REFERENCE,
                "fieldRef": {"fieldPath": None},
            },
        }
    ],
    "envFrom": [
        {"secretRef": {"name": None, "optional": None}, "configMapRef": {"name": None, "optional": None}},
    ],
    "ports": [{"name": None, "containerPort": None, "protocol": None}],
    "startupProbe": _ACTION,
    "livenessProbe": _ACTION,
    "readinessProbe": _ACTION,
    "volumeMounts": [{"name": None, "mountPath": None, "readOnly": None}],
}
_POD = {
    "metadata": _METADATA,
    "spec": {
        "containers": [_CONTAINER],
        "volumes": [{"name": None, "emptyDir": {"sizeLimit": None}, "configMap": {"name": None}}],
        "restartPolicy": None,
        "terminationGracePeriodSeconds": None,
        # Of no meaning for a process of one's own on one's own machine.
        **dict.fromkeys(("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks")),
        **dict.fromkeys(("securityContext", "topologySpreadConstraints", "imagePullSecrets")),
    },
}
_TYPE = {"apiVersion": None, "kind": None}
SUPPORTED: Mapping[str, Mapping[str, Any]] = {
    "Deployment": {
        **_TYPE,
        "metadata": _METADATA,
        "spec": {**dict.fromkeys(("replicas", "selector", "strategy", "revisionHistoryLimit")), "template": _POD},
    },
    "Job": {
        **_TYPE,
        "metadata": _METADATA,
        "spec": {"backoffLimit": None, "activeDeadlineSeconds": None, "template": _POD},
    },
    "ConfigMap": {**_TYPE, "metadata": _METADATA, "data": None},
    "Secret": {**_TYPE, "metadata": _METADATA, "type": None, "data": None, "stringData": None},
}
# Objects about a cluster: addresses come from the chart's values, and one process per role needs no budget.
MEANINGLESS_KINDS = frozenset({"Service", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"})


def title(manifest: Object) -> str:
    """`Kind/name` of an object."""
    return f"{manifest.get('kind')}/{manifest.get('metadata', {}).get('name')}"


def check(manifest: Object) -> None:
    """Raises UnsupportedError for a kind or field that a local run would not honour."""
    kind = str(manifest.get("kind"))
    if kind not in SUPPORTED:
        allowed = ", ".join(sorted(SUPPORTED.keys() | MEANINGLESS_KINDS))
        raise UnsupportedError(f"{title(manifest)}: kind {kind} cannot run locally; known are {allowed}")
    _check(manifest, SUPPORTED[kind], title(manifest), "")


def _check(value: object, allowed: object, owner: str, path: str) -> None:
    if allowed is None:
        return
    if isinstance(allowed, list):
        if not isinstance(value, list):
            raise UnsupportedError(f"{owner}: {path} is not a list")
        for index, item in enumerate(value):
            _check(item, allowed[0], owner, f"{path}[{index}]")
        return
    if value is None:  # an empty block, such as `emptyDir:`
        return
    if not isinstance(value, dict) or not isinstance(allowed, dict):
        raise UnsupportedError(f"{owner}: {path} is not a map")
    for name, inner in value.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in allowed:
            raise UnsupportedError(
                f"{owner}: {where} has no local equivalent; known here are {', '.join(sorted(allowed))}"
            )
        _check(inner, allowed[name], owner, where)
