"""RPCs as the chassis knows them: who may call each, how large its requests may be, and how long its calls took."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import MethodDescriptor

from chassis import fieldcheck, message_sizes, metric_names, permissions, telemetry
from contracts import descriptors


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC, as the steps around it need it (`interceptors.STEPS`)."""

    path: str
    """`/package.Service/Method`."""
    service: str
    """Short name of the service that serves it: the audience of tokens, the domain of errors."""
    permission: str
    """Needed permission; empty for public and internal methods."""
    stranger: str
    """Principal of calls that need no token: `public` or `internal`; empty when a token is needed."""
    has_request_id: bool
    request_max: int
    """Bytes of its largest request."""

    @classmethod
    def of(cls, descriptor: MethodDescriptor, service: str) -> Method:
        """Raises ValueError when the proto says nothing, or more than one thing, about who may call it."""
        rule = descriptors.rule(descriptor)
        name = f"{descriptor.containing_service.full_name}/{descriptor.name}"
        if [bool(rule.permission), rule.public, rule.internal].count(True) != 1:
            raise ValueError(f"{name}: `method_rule` must set exactly one of permission, public, internal")
        if rule.permission and (not permissions.is_permission(rule.permission) or "*" in rule.permission):
            raise ValueError(f"{name}: {rule.permission!r} is not <service>.<resources>.<verb>")
        fieldcheck.prepare(descriptor.input_type)
        return cls(
            path=f"/{name}",
            service=service,
            permission=rule.permission,
            stranger="public" if rule.public else "internal" if rule.internal else "",
            has_request_id="request_id" in descriptor.input_type.fields_by_name,
            request_max=message_sizes.request_max(descriptor),
        )


def record_duration(method: Method, code: grpc.StatusCode, seconds: float) -> None:
    """Adds one call to the RPC histogram."""
    labels = {"rpc.method": method.path[1:], "rpc.response.status_code": code.name}
    telemetry.histogram(metric_names.RPC_SERVER_DURATION).record(seconds, labels)
