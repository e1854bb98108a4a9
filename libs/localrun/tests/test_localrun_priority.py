"""Who requests less processor yields to who requests more."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from localrun import priority, render
from localrun.childprocess import ChildProcess
from localrun.supported import UnsupportedError


@pytest.mark.parametrize(("quantity", "cores"), [("250m", 0.25), ("2", 2.0), (1.5, 1.5), (1, 1.0)])
def test_quantities_are_read_as_kubernetes_writes_them(quantity: str | float, cores: float) -> None:
    assert priority.cores(quantity) == cores


def test_weights_are_as_the_requests() -> None:
    assert priority.nice_value(0.25, 0.25) == 0
    assert 1.25 ** priority.nice_value(0.05, 0.25) == pytest.approx(5, rel=0.1)
    assert priority.nice_value(0.0, 0.25) == 19
    assert priority.nice_value(0.0, 0.0) == 0, "a chart without requests makes no difference"


def test_a_process_yields_and_so_does_its_session(tmp_path: Path) -> None:
    process = ChildProcess(
        ["sleep", "60"],
        env={},
        log=tmp_path / "log",
        pid_file=tmp_path / "pid",
        cwd=tmp_path,
        nice=7,
    )
    process.start()
    try:
        assert process.pid is not None
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        group = Path(f"/proc/{process.pid}/autogroup")
        if group.exists():
            found = re.search(r"nice (-?\d+)", group.read_text())
            assert found
            assert int(found[1]) == 7
    finally:
        process.stop(5)


def test_what_is_no_quantity_is_refused_by_its_path(charts: Any, tmp_path: Path) -> None:
    deployment = charts.deployment("alpha", 18081, resources={"requests": {"cpu": "half"}})
    with pytest.raises(UnsupportedError, match=r"Deployment/alpha: .*resources\.requests\.cpu: 'half'"):
        render.workloads([deployment], tmp_path)
