"""Compiles requirements/lock.txt: one set of versions for every package of the workspace.

Reads the `dependencies` of each pyproject.toml under libs/ and services/ (leaving the workspace's own
packages out) and requirements/tools.in, and lets uv resolve them together. `python requirements/compile.py`
keeps the versions already locked; `--upgrade` takes the newest.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def declared() -> list[str]:
    """Requirement lines of all workspace packages, without the workspace's own packages."""
    projects = sorted(ROOT.glob("libs/*/pyproject.toml")) + sorted(ROOT.glob("services/*/pyproject.toml"))
    lines = {line for path in projects for line in tomllib.loads(path.read_text())["project"]["dependencies"]}
    return sorted(line for line in lines if not line.startswith("rapport-"))


def main() -> None:
    """Writes requirements/lock.txt."""
    tools = (ROOT / "requirements/tools.in").read_text()
    subprocess.run(
        [
            *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", "3.11"),
            *("-o", "requirements/lock.txt", *sys.argv[1:], "-"),
        ],
        input="\n".join(declared()) + "\n" + tools,
        text=True,
        check=True,
        cwd=ROOT,
    )


if __name__ == "__main__":
    main()
