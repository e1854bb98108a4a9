"""Where a local platform keeps everything it makes: programs, data, logs, secrets."""

import os
from pathlib import Path


def workspace() -> Path:
    """Root of the workspace: the folder that holds `charts/` and `libs/`."""
    return Path(__file__).resolve().parents[3]


def directory() -> Path:
    """State folder, created on first use: `RAPPORT_STATE`, else `.rapport/` in the workspace."""
    path = Path(os.environ.get("RAPPORT_STATE") or workspace() / ".rapport").resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path
