import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.lifecycle import Stopping

from .conftest import KEYRING

PROGRAM = """
from chassis.lifecycle import run_role
run_role("shop", settings="shop_parts:ShopSettings", roles={
    "serve": "shop_parts:serve", "fail": "shop_parts:fail", "work": "shop_parts:work", "need": "shop_parts:need"})
"""
PARTS = """
import sys
from chassis.settings import ConfigurationError, Settings

class ShopSettings(Settings):
    pass

def serve(settings, stopping):
    print("ready", settings.service, settings.role, flush=True)
    assert stopping.wait(30)
    assert stopping.is_set()
    print("ended", flush=True)

def fail(settings, stopping):
    raise ValueError("hunter2")

def need(settings, stopping):
    raise ConfigurationError("RAPPORT_MONGODB_URI", "is not set")

def work(settings, stopping):
    from eventlet.patcher import is_monkey_patched
    print("ready", is_monkey_patched("socket"), is_monkey_patched("thread"), flush=True)
    assert stopping.wait(30)
"""


@pytest.fixture
def start(tmp_path: Path):
    (tmp_path / "shop_program.py").write_text(PROGRAM)
    (tmp_path / "shop_parts.py").write_text(PARTS)
    started = []

    def run(*arguments: str, **environment: str | None) -> subprocess.Popen[str]:
        variables = {**os.environ, "RAPPORT_KEYS": KEYRING, "PYTHONWARNINGS": "ignore", **environment}
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "shop_program.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={key: value for key, value in variables.items() if value is not None},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_role_ends_cleanly_on_signals(start, number):
    process = start("serve")
    assert next(line for line in process.stdout if not line.startswith("{")) == "ready shop serve\n"
    process.send_signal(number)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "ended" in output


def test_work_is_patched_first_and_ends_on_signals(start):
    process = start("work")
    line = next((line for line in process.stdout if not line.startswith("{")), None)
    assert line == "ready True True\n", process.communicate()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def test_help_lists_the_roles(start):
    process = start("--help")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "serve, fail, work, need" in output


@pytest.mark.parametrize("arguments", [[], ["dance"], ["serve", "more"]])
def test_unknown_role_is_a_usage_error(start, arguments):
    process = start(*arguments)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors.startswith("shop: no such role")
    assert "serve, fail" in errors


@pytest.mark.parametrize(
    ("role", "environment", "told"),
    [
        ("serve", {"RAPPORT_KEYS": None}, "RAPPORT_KEYS: is not set"),
        ("serve", {"RAPPORT_KEYS": "hunter2"}, "RAPPORT_KEYS: the keyring is not JSON"),
        ("serve", {"RAPPORT_GRPC_PORT": "hunter2"}, "RAPPORT_GRPC_PORT: Input should be a valid integer"),
        ("need", {}, "RAPPORT_MONGODB_URI: is not set"),
    ],
)
def test_wrong_configuration_is_one_clear_line(start, role, environment, told):
    process = start(role, **environment)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 78
    assert errors.startswith(f"shop: configuration: {told}")
    assert errors.count("\n") == 1
    assert "hunter2" not in output + errors


def test_failing_role_tells_no_values(start):
    process = start("fail")
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[-1]["message"] == "role failed"
    assert lines[-1]["exception"]["type"] == "ValueError"
    assert "hunter2" not in output + errors


def test_lifecycle_imports_the_standard_library_only():
    code = "import sys, chassis.lifecycle; print(*{name.partition('.')[0] for name in sys.modules})"
    output = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[_root()]!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(output.split()) - set(sys.stdlib_module_names) <= {"chassis", "__main__", "_distutils_hack"}


def _root() -> str:
    import chassis

    return str(Path(chassis.__file__).parent.parent)


def test_a_stop_is_for_good():
    stopping = Stopping()
    assert not stopping.is_set()
    assert not stopping.wait(0)
    stopping.set()
    stopping.set()
    assert stopping.is_set()
    assert stopping.wait(0)
