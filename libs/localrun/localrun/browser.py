"""A real browser without a window, for tests that look at pages: Chromium, found or unpacked into the state folder."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from localrun import provision, state

NAMES = ("chromium", "chromium-browser", "google-chrome")
_TIMEOUT_S = 60
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--hide-scrollbars", "--mute-audio"),
)
_LAUNCHER = """#!/bin/sh
root="$(dirname "$(dirname "$(readlink -f "$0")")")/chromium"
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu:$root/usr/lib/chromium"
export XDG_DATA_DIRS="$root/usr/share" FONTCONFIG_PATH="$root/etc/fonts"
exec "$root/usr/lib/chromium/chromium" "$@"
"""


def elements(url: str, width: int, height: int) -> str:
    """The elements of a page, as they are once a window of that size has it.

    Raises ProvisionError without a browser, subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryDirectory(prefix="browser-") as folder:
        return _run(folder, ["--dump-dom"], url, width, height)


def picture(url: str, width: int, height: int) -> bytes:
    """The picture of a page (PNG) in a window of that size. Raises as `elements` does."""
    with tempfile.TemporaryDirectory(prefix="browser-") as folder:
        shot = Path(folder) / "page.png"
        _run(folder, [f"--screenshot={shot}"], url, width, height)
        return shot.read_bytes()


def ensure_chromium() -> Path:
    """Path of a Chromium that starts on this machine."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    launcher = state.directory() / "bin" / "chromium"
    if not launcher.is_file():
        provision.unpack_debian(["chromium", "fonts-dejavu-core"], state.directory() / "chromium", "Chromium")
        launcher.parent.mkdir(exist_ok=True)
        launcher.write_text(_LAUNCHER)
        launcher.chmod(0o755)
    return launcher


def _run(folder: str, what: list[str], url: str, width: int, height: int) -> str:
    browser = str(ensure_chromium())
    size = [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"]
    done = subprocess.run(
        [browser, *_QUIET, *size, *what, url],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": folder},
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = re.sub(r"\s+", " ", done.stderr)[-500:]
        raise provision.ProvisionError(f"{browser} ended with {done.returncode}: {said}")
    return done.stdout
