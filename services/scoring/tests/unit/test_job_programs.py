"""What computes jobs."""

import sys
from importlib.util import find_spec

import pytest

from scoring.jobs import submit
from scoring.jobs.programs import PROGRAMS


def test_each_program_is_there() -> None:
    assert all(map(find_spec, PROGRAMS))


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_can_be_submitted_to_a_cluster(program, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "argv", ["submit", "--program", program, "--spec", str(tmp_path / "none.json")])
    with pytest.raises(FileNotFoundError):
        submit.main()


def test_without_a_cluster_it_is_said_how_to_run_a_program(monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "spec.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["submit", "--spec", str(tmp_path / "spec.json")])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(SystemExit, match="2"):
        submit.main()
    assert "run python -m scoring.jobs.score on this machine" in capsys.readouterr().err
