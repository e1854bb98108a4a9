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
