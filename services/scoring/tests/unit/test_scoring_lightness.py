"""What a role loads: the processes that idle must stay small."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pyarrow", "duckdb", "ray", "scipy", "sklearn", "catboost", "matplotlib")


@pytest.mark.parametrize("module", ["scoring.serve", "scoring.handlers", "scoring.migrate", "scoring.runner"])
def test_a_role_starts_without_what_only_jobs_need(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
