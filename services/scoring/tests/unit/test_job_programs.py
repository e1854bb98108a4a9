"""What computes jobs on a cluster."""

import sys

import pytest

from scoring.jobs import submit
from scoring.usecases import churn, clusters


@pytest.mark.parametrize("program", [churn.PROGRAM, clusters.PROGRAM])
def test_what_runs_on_a_cluster_is_submitted_to_it(program, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "argv", ["submit", "--program", program, "--spec", str(tmp_path / "none.json")])
    with pytest.raises(FileNotFoundError):
        submit.main()
