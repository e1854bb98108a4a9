"""up, down, status, logs, run: with real processes of a tiny chart."""

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from localrun.ports import listening

Platform = Any
Charts = Any


def eventually(condition: Callable[[], bool], timeout: float = 30, what: str = "") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def test_up_runs_jobs_by_weight_then_workloads_and_down_ends_them(
    platform: Platform, charts: Charts, here: Path, port: int
) -> None:
    write = "import pathlib; p = pathlib.Path({!r}); p.open('a').write({!r})"
    order = str(here / "order")
    chart = charts.write(
        charts.deployment("alpha", port),
        charts.job("second", 5, write.format(order, "second,")),
        charts.job("first", -5, write.format(order, "first,")),
    )
    up = platform.run("up", *chart)
    assert up.returncode == 0, up.stderr
    assert "alpha ready" in up.stderr
    assert (here / "order").read_text() == "first,second,"
    assert listening("127.0.0.1", port)

    status = platform.run("status")
    assert status.returncode == 0, status.stdout
    row = next(line.split() for line in status.stdout.splitlines() if line.startswith("alpha"))
    assert row[1:4] == [str(platform.pid("alpha")), "ready", "0"]

    again = platform.run("up", *chart)
    assert again.returncode == 0
    assert "running already" in again.stderr

    pid = platform.pid("alpha")
    down = platform.run("down")
    assert down.returncode == 0, down.stderr
    assert not psutil.pid_exists(pid)
    assert "ended in order" in platform.log("alpha")
    assert platform.run("logs", "alpha").stdout.splitlines() == ["begins", "ended in order"]
    assert "nothing is running" in platform.run("down").stderr
    assert platform.run("status").returncode == 1


def test_workload_environment_is_the_charts_alone(
    platform: Platform, charts: Charts, here: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform._env["RAPPORT_SURPRISE"] = "must not arrive"
    chart = charts.write(charts.deployment("alpha", port))
    assert platform.run("up", *chart).returncode == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        names = set(eval(answer.read()))
    assert names - {"LC_CTYPE"} == {"HOME", "PATH", "RAPPORT_BIND_HOST", "RAPPORT_PROBE_PORT", "RAPPORT_BLOB_URL"}


def test_killed_process_is_back_at_once(platform: Platform, charts: Charts, here: Path, port: int) -> None:
    chart = charts.write(charts.deployment("alpha", port))
    assert platform.run("up", *chart).returncode == 0
    before = platform.pid("alpha")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: platform.log("alpha").count("begins") == 2, timeout=10, what="a second process")
    eventually(lambda: " ready " in platform.run("status").stdout.split("alpha")[1].splitlines()[0], what="ready again")
    assert platform.pid("alpha") != before


def test_stuck_process_is_replaced(platform: Platform, charts: Charts, here: Path, port: int) -> None:
    chart = charts.write(charts.deployment("alpha", port))
    assert platform.run("up", *chart).returncode == 0
    before = platform.pid("alpha")
    (here / "stuck").touch()
    eventually(lambda: not psutil.pid_exists(before), what="liveness probe kills it")
    (here / "stuck").unlink()
    eventually(lambda: platform.run("status").returncode == 0, what="ready again")
    assert "liveness" in platform.log("supervisor")


def test_failing_job_stops_everything_and_shows_its_log(
    platform: Platform, charts: Charts, here: Path, port: int
) -> None:
    chart = charts.write(charts.deployment("alpha", port), charts.job("broken", 0, "raise SystemExit('no such index')"))
    up = platform.run("up", *chart)
    assert up.returncode == 1
    assert "broken failed" in up.stderr
    assert "no such index" in up.stderr
    assert not listening("127.0.0.1", port)
    eventually(lambda: "no platform" in platform.run("status").stderr, what="supervisor ended")


def test_job_is_tried_again_up_to_its_limit(platform: Platform, charts: Charts, here: Path) -> None:
    tries = here / "tries"
    program = f"import pathlib; p = pathlib.Path({str(tries)!r}); p.open('a').write('x'); assert p.stat().st_size > 1"
    chart = charts.write(charts.job("flaky", 0, program, retries=1))
    up = platform.run("up", *chart)
    assert up.returncode == 0, up.stderr
    assert tries.read_text() == "xx"


def test_supervisor_killed_leaves_nothing_after_down(platform: Platform, charts: Charts, here: Path, port: int) -> None:
    chart = charts.write(charts.deployment("alpha", port))
    up = ("up", *chart)
    assert platform.run(*up).returncode == 0
    orphan = platform.pid("alpha")
    os.kill(platform.pid("supervisor"), signal.SIGKILL)
    assert platform.run("status").returncode == 1
    # A new platform takes the place of what was left behind ...
    assert platform.run(*up).returncode == 0
    assert not psutil.pid_exists(orphan)
    orphan = platform.pid("alpha")
    os.kill(platform.pid("supervisor"), signal.SIGKILL)
    # ... and so does down.
    assert "left behind" in platform.run("down").stderr
    assert not psutil.pid_exists(orphan)


def test_run_gives_addresses_hands_back_the_exit_code_and_ends_the_platform(
    platform: Platform, charts: Charts, here: Path, port: int
) -> None:
    chart = charts.write(charts.deployment("rapport-gateway-serve", port))
    options = ("run", *chart, "--")
    seen = here / "seen"
    program = f"echo $RAPPORT_GATEWAY_URL > {seen}; exit 7"
    done = platform.run(*options, "sh", "-c", program)
    assert done.returncode == 7, done.stderr
    assert seen.read_text().strip() == f"http://127.0.0.1:{port}"
    assert not listening("127.0.0.1", port)


def test_ctrl_c_in_run_ends_the_platform(platform: Platform, charts: Charts, here: Path, port: int) -> None:
    chart = charts.write(charts.deployment("alpha", port))
    run = platform.popen("run", *chart, "--", "sh", "-c", f"touch {here}/runs; exec sleep 60")
    eventually((here / "runs").exists, what="the command runs")
    os.killpg(run.pid, signal.SIGINT)  # to the whole group, as a terminal does
    run.communicate(timeout=30)
    assert run.returncode == 130
    assert not listening("127.0.0.1", port)


def test_taken_address_is_named(platform: Platform, charts: Charts, port: int) -> None:
    chart = charts.write(charts.deployment("alpha", port))
    with socket.create_server(("127.0.0.1", port)):
        up = platform.run("up", *chart)
    assert up.returncode == 1
    assert f"alpha wants 127.0.0.1:{port}" in up.stderr


def test_server_that_cannot_start_ends_the_attempt_with_its_reason(platform: Platform, charts: Charts) -> None:
    chart = charts.write()
    (charts.folder / "Chart.yaml").write_text(
        "apiVersion: v2\nname: chart\nversion: 0.1.0\n"
        "dependencies: [{name: service, alias: shop, version: 0.1.0, repository: 'file://../service'}]\n"
    )
    service = charts.folder.parent / "service"
    service.mkdir()
    (service / "Chart.yaml").write_text("apiVersion: v2\nname: service\nversion: 0.1.0\n")
    data = platform.state / "data"
    data.mkdir()
    platform._env["AMQP_URI"] = "amqp://127.0.0.1:1/"
    platform._env.pop("MONGODB_URI", None)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        (data / "ports.json").write_text(f'{{"mongodb": {taken}}}')
        up = platform.run("up", *chart)
    assert up.returncode == 1
    assert f"mongod cannot be started: mongod cannot start: 127.0.0.1:{taken} is taken" in up.stderr
