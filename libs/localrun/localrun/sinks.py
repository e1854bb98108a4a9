"""The mail and trace sinks as workloads of a local platform."""

import sys
from pathlib import Path

from localrun.layout import Layout
from localrun.loopback import Loopback
from localrun.render import Probe, Workload

SINKS = ("mail-sink", "trace-sink")


def sink_workloads(layout: Layout, loopback: Loopback) -> list[Workload]:
    """Both sinks, at their addresses in the platform's loopback network."""
    mails = layout.data / "mails"
    host, smtp, http = loopback.mail_host, loopback.mail_smtp_port, loopback.mail_http_port
    mail = ("localrun.mailsink", "--host", host, "--smtp-port", str(smtp), "--http-port", str(http))
    trace = ("localrun.tracesink", "--host", loopback.trace_host, "--port", str(loopback.trace_port))
    return [
        _sink(SINKS[0], (*mail, "--directory", str(mails)), host, (http, smtp), layout.run),
        _sink(SINKS[1], trace, loopback.trace_host, (loopback.trace_port,), layout.run),
    ]


def _sink(name: str, module: tuple[str, ...], host: str, ports: tuple[int, ...], run: Path) -> Workload:
    probe = Probe("http", host, ports[0], "/", period_s=10, timeout_s=5, failure_threshold=3)
    return Workload(
        name=name,
        command=(sys.executable, "-m", *module),
        env={},
        directory=run / "workloads" / name,
        listens=tuple((host, port) for port in ports),
        startup=probe,
        liveness=probe,
        readiness=probe,
        grace_s=5,
        cores=0.05,
    )
