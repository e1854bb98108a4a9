"""What a role loads: numpy and scipy come only with a tenant who has an intent model."""

import subprocess
import sys

HEAVY = ("numpy", "scipy", "sklearn", "textmodel", "s3fs", "botocore")
ROLES = ("ticketing.servicer", "ticketing.handlers", "ticketing.runner", "ticketing.migrate")

PROGRAM = f"""
import importlib, sys
for role in {ROLES}:
    importlib.import_module(role)
    for name in {HEAVY}:
        assert name not in sys.modules, f"{{role}} loads {{name}}"
"""


def test_roles_start_without_what_only_models_need() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_telling_loads_nothing_that_only_learning_needs() -> None:
    program = "import textmodel, sys; assert not {'sklearn', 'scipy.optimize'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
