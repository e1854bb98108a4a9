"""Shows that tests notice when a guarantee is gone: `make prove`.

Every guarantee's test runs twice: on the code as it is, where it must pass, and on a copy in which the guarantee was
taken away, where it must fail. Nothing in the workspace is changed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from enum import Enum
from pathlib import Path

from e2e.prove.guarantees import BREAKAGES, Breakage
from testkit.servers import running_broker, running_mongodb

ROOT = Path(__file__).resolve().parents[2]
TEST_LIMIT_S = 240
AT_ONCE = 2


class Outcome(Enum):
    """How a test went."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "could not run"


class StaleBreakageError(Exception):
    """The text to replace is not in its file once: the code has moved on, the breakage has not."""


def broken_copy(breakage: Breakage, folder: Path) -> Path:
    """A copy of the one package without the guarantee; returns the folder to import it from."""
    text = (ROOT / breakage.file).read_text()
    if text.count(breakage.sound) != 1:
        raise StaleBreakageError(f"{breakage.file} holds {text.count(breakage.sound)} times: {breakage.sound.strip()}")
    _, _, package, *inside = Path(breakage.file).parts
    source = ROOT.joinpath(*Path(breakage.file).parts[:3])
    shutil.copytree(source, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / package).joinpath(*inside).write_text(text.replace(breakage.sound, breakage.broken))
    return folder


def outcome_of(test: str, servers: dict[str, str], overlay: Path | None = None) -> Outcome:
    """Runs one test, with packages of the overlay in place of the workspace's."""
    environment = os.environ | servers | {"PYTHONDONTWRITEBYTECODE": "1"}
    if overlay:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(overlay), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", f"--junitxml={report}", f"{ROOT / test}"]
        try:
            subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=TEST_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return Outcome.FAILED
        if not report.exists():
            return Outcome.BROKEN
        suite = ElementTree.parse(report).getroot()[0]
        counted = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    if not counted["tests"] or counted["errors"] or counted["skipped"]:
        return Outcome.BROKEN
    return Outcome.FAILED if counted["failures"] else Outcome.PASSED


def prove(breakage: Breakage, servers: dict[str, str]) -> tuple[bool, str]:
    """Whether the test tells the guarantee's presence from its absence, and how it went both times."""
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        try:
            overlay = broken_copy(breakage, Path(folder))
        except StaleBreakageError as stale:
            return False, str(stale)
        without = outcome_of(breakage.test, servers, overlay)
    having = outcome_of(breakage.test, servers)
    good = (having, without) == (Outcome.PASSED, Outcome.FAILED)
    return good, f"with it: {having.value}; without it: {without.value}"


def main() -> int:
    """Returns 0 when every test noticed."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.prove", description="Shows that tests notice when a guarantee is gone."
    )
    parser.add_argument("word", nargs="?", default="", help="only promises with this word")
    word = parser.parse_args().word.casefold()
    chosen = [breakage for breakage in BREAKAGES if word in breakage.promise.casefold()]
    if not chosen:
        print(f"no promise holds the word {word!r}", file=sys.stderr)
        return 2
    begin, failed = time.monotonic(), 0
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="prove-servers-") as folder:
        servers = {
            "MONGODB_URI": stack.enter_context(running_mongodb(Path(folder) / "mongodb")),
        }
        broker = stack.enter_context(running_broker(Path(folder) / "rabbitmq"))
        servers |= {"AMQP_URI": broker.uri, "RABBITMQ_MANAGEMENT_URI": broker.management_uri}
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        for number, (breakage, (good, told)) in enumerate(
            zip(chosen, pool.map(lambda each: prove(each, servers), chosen), strict=True), start=1
        ):
            failed += not good
            verdict = "noticed" if good else "NOT NOTICED"
            print(f"[{number}/{len(chosen)}] {breakage.promise}: {verdict} ({told})", flush=True)
            if not good:
                print(f"      {breakage.test}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} breakages noticed in {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
