"""The mail and trace sinks as workloads of a local platform."""

import sys
from pathlib import Path

from localrun.layout import Layout
from localrun.localvalues import MAIL_HOST, MAIL_HTTP_PORT, MAIL_SMTP_PORT, TRACE_HOST, TRACE_PORT
from localrun.render import Probe, Workload

SINKS = ("mail-sink", "trace-sink")


def sink_workloads(layout: Layout) -> list[Workload]:
    """Both sinks, at their fixed loopback addresses."""
    mails = layout.data / "mails"
    return [
        _sink(
            SINKS[0],
            (
                *("localrun.mailsink", "--host", MAIL_HOST, "--smtp-port", str(MAIL_SMTP_PORT)),
                *("--http-port", str(MAIL_HTTP_PORT), "--directory", str(mails)),
            ),
            MAIL_HOST,
            (MAIL_HTTP_PORT, MAIL_SMTP_PORT),
            layout.run,
        ),
        _sink(
            SINKS[1],
            ("localrun.tracesink", "--host", TRACE_HOST, "--port", str(TRACE_PORT)),
            TRACE_HOST,
            (TRACE_PORT,),
            layout.run,
        ),
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
    )
