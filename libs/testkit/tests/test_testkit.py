"""The tools of tests can fail too."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from chassis.settings import Settings
from testkit import eventually, warm
from testkit.__main__ import Result, errors_logged, lanes_of, remove_left_behind, scratch_folder, side_by_side
from testkit.keys import TEST_KEYRING
from testkit.plugin import settings_class
from testkit.roles import RoleProcess, environment_of


def test_waiting_returns_the_first_true_value():
    answers = iter([0, "", None, "there"])
    assert eventually(lambda: next(answers)) == "there"


def test_waiting_takes_a_failed_assertion_as_not_yet():
    start = time.monotonic()

    def later():
        assert time.monotonic() - start > 0.2
        return True

    assert eventually(later)


def test_waiting_ends_and_says_what_for():
    with pytest.raises(AssertionError, match=r"not so within 0\.1 s: the moon is full \(last: Assert.*\('no'\)\)"):
        eventually(_waning, timeout=0.1, message="the moon is full")


def _waning():
    raise AssertionError("no")


def test_other_errors_end_the_waiting():
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)


def test_a_process_reads_the_settings_it_is_told(monkeypatch):
    told = Settings(service="things", role="run", keys=TEST_KEYRING, upstreams={"identity": "127.0.0.1:1"}, grpc_port=7)
    for name, value in environment_of(told).items():
        monkeypatch.setenv(name, value)
    assert Settings() == told


def test_a_service_has_one_settings_class():
    assert settings_class("consent").__module__ == "consent.settings"
    with pytest.raises(LookupError, match="0 settings classes"):
        settings_class("testkit_without_settings")


@pytest.fixture(autouse=True)
def module_without_settings(monkeypatch):
    import sys
    import types

    package, module = (
        types.ModuleType("testkit_without_settings"),
        types.ModuleType("testkit_without_settings.settings"),
    )
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_role_that_ends_with_an_error_is_reported_with_its_output(tmp_path):
    told = Settings(service="no_such_service", role="run", keys=TEST_KEYRING)
    with pytest.raises(AssertionError, match="No module named no_such_service"):
        RoleProcess(told, tmp_path / "run.log").run()


COUNTS = "import json, sys; [print(json.dumps(number), flush=True) for number in range(3)]"


def test_a_process_dies_at_the_failpoint(failpoint):
    with failpoint("json:dumps", call=2) as there:
        assert not there.reached.exists()
        done = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, timeout=30)
    there.wait()
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "0\n"), done.stderr
    after = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, timeout=30)
    assert (after.returncode, after.stdout) == (0, "0\n1\n2\n"), "no failpoint is armed any more"


def test_a_process_waits_at_the_failpoint(failpoint):
    with failpoint("json.encoder:JSONEncoder.encode", call=3, action="pause") as there:
        process = subprocess.Popen([sys.executable, "-c", COUNTS], stdout=subprocess.PIPE, text=True)
    there.wait()
    assert process.stdout.readline() + process.stdout.readline() == "0\n1\n"
    assert process.poll() is None
    there.release()
    assert process.communicate(timeout=30) == ("2\n", None)
    assert process.returncode == 0


def test_packages_are_tested_side_by_side_in_as_many_lanes_as_there_are():
    taken, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2, timeout=20)

    def tested(package: str) -> Result:
        nonlocal taken, most
        with lock:
            taken += lanes_of(package, 4)
            most = max(most, taken)
        if package.startswith("e2e"):
            both.wait()
        with lock:
            taken -= lanes_of(package, 4)
        return Result(package, 0, 1, 0, 0.0, "")

    packages = ["e2e/one", "e2e/two", "libs/a", "libs/b", "libs/c"]
    assert sorted(result.package for result in side_by_side(packages, 4, tested)) == packages
    assert most == 4
    assert [lanes_of(package, 1) for package in packages] == [1] * 5


def test_a_warm_process_has_its_own_environment_and_tells_how_it_ended(tmp_path, monkeypatch, failpoint):
    (tmp_path / "warm_thing.py").write_text(
        "import json, os, sys\nif __name__ == '__main__':\n"
        "    print(json.dumps([sys.argv[1:], os.environ['THING'], len(os.environ), os.getsid(0) == os.getpid()]))\n"
        "    sys.exit(int(os.environ['THING']))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    log = tmp_path / "log"
    for code in (7, 0):
        assert warm.start(["warm_thing", "a"], log, {"THING": str(code)}).wait(30) == code
    assert list(map(json.loads, log.read_text().splitlines())) == [
        [["a"], "7", 1, True],
        [["a"], "0", 1, True],
    ]
    with failpoint("json:dumps", action="pause") as there:
        paused = warm.start(["warm_thing"], log, {"THING": "0", "FAILPOINT": os.environ["FAILPOINT"]})
    there.wait()
    assert paused.poll() is None
    paused.terminate()
    assert (paused.wait(30), paused.poll()) == (-signal.SIGTERM, -signal.SIGTERM)
    paused.kill()


def test_what_a_warm_process_starts_is_warm_too_where_it_is_told(tmp_path, monkeypatch):
    (tmp_path / "warm_launch.py").write_text(
        "def start(program, log, environment):\n    raise AssertionError('cold')\n"
    )
    (tmp_path / "warm_launcher.py").write_text(
        "import pathlib, sys, warm_launch\nif __name__ == '__main__':\n"
        "    warm_launch.start(['warm_launched'], pathlib.Path(sys.argv[1]), {}).wait()\n"
    )
    (tmp_path / "warm_launched.py").write_text("if __name__ == '__main__':\n    print('launched')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    starter = {warm.STARTER: f"warm_launch:start#{warm.template('warm_launched')}"}
    assert warm.start(["warm_launcher", str(tmp_path / "inner")], tmp_path / "log", starter).wait(30) == 0
    assert (tmp_path / "inner").read_text() == "launched\n"


def test_files_go_to_memory_only_where_there_is_room(tmp_path):
    assert scratch_folder(tmp_path, room=1) == tmp_path
    assert scratch_folder(tmp_path, room=2**60) is None
    assert scratch_folder(tmp_path / "none", room=1) is None


def test_what_killed_runs_left_in_memory_goes_and_nothing_else(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"rapport-{ended.pid}-abc", f"rapport-{os.getpid()}-abc", "rapport-chart-abc", "other"):
        (tmp_path / name / "data").mkdir(parents=True)
    remove_left_behind(tmp_path)
    left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {f"rapport-{os.getpid()}-abc", "rapport-chart-abc", "other"}


def test_errors_in_logs_are_told_as_the_files_go(tmp_path):
    logs = tmp_path / "platform0" / "logs"
    logs.mkdir(parents=True)
    (logs / "serve.log").write_text('{"level": "INFO"}\n{"level": "ERROR", "event": "unexpected error"}\nplain\n' * 60)
    told = errors_logged(tmp_path)
    assert told == ['serve.log: {"level": "ERROR", "event": "unexpected error"}'] * 50
