"""Asking a process whether it lives and is ready, as a kubelet would."""

import http.client

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from localrun.render import Probe


def check(probe: Probe) -> bool:
    """True if the process answers this probe well within its timeout."""
    return _grpc(probe) if probe.kind == "grpc" else _http(probe)


def _http(probe: Probe) -> bool:
    connection = http.client.HTTPConnection(probe.host, probe.port, timeout=probe.timeout_s)
    try:
        connection.request("GET", probe.target, headers={"User-Agent": "rapport-probe", "Connection": "close"})
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _grpc(probe: Probe) -> bool:
    # A channel of its own per check: a lasting one would back off for longer than the process takes to come back.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    with grpc.insecure_channel(f"{probe.host}:{probe.port}", options=options) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=probe.target), timeout=probe.timeout_s
            )
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
