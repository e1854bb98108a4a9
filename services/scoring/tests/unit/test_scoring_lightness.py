"""What a role loads: the processes that idle must stay small."""

import subprocess
import sys

HEAVY = ("numpy", "pyarrow", "duckdb", "ray", "scipy", "sklearn", "catboost", "matplotlib", "s3fs", "botocore")
ROLES = ("scoring.serve", "scoring.handlers", "scoring.migrate", "scoring.runner")
LATER = ("scoring.jobs.day_rates", "scoring.jobs.launch")
"""What role `run` loads of the programs when it first converts an amount, and starts a job."""

PROGRAM = f"""
import importlib, sys
for role in {ROLES + LATER}:
    importlib.import_module(role)
    for name in {HEAVY}:
        assert name not in sys.modules, f"{{role}} loads {{name}}"
"""


def test_roles_start_without_what_only_jobs_need() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
