"""What the commands print that make scores again."""

import json

import pytest

from scoring import lead_reproduction
from scoring.jobs.reproduce import Reproduced, tell


@pytest.mark.parametrize(
    ("computed", "code", "close"), [({"p": 0.5}, 0, True), ({"p": 0.5 + 1e-12}, 1, True), ({"p": 0.6}, 1, False)]
)
def test_the_exit_code_says_whether_a_score_is_the_same(computed, code, close, capsys) -> None:
    assert tell(Reproduced({"p": 0.5}, computed), "nothing") == code
    told = json.loads(capsys.readouterr().out)
    assert told == {"equal": code == 0, "close": close, "recorded": {"p": 0.5}, "computed": computed}


def test_no_score_is_an_exit_code_of_its_own(capsys) -> None:
    assert tell(None, "this lead has no score") == 2
    assert capsys.readouterr() == ("", "this lead has no score\n")


def test_a_command_without_its_environment_says_what_is_missing(monkeypatch, capsys) -> None:
    monkeypatch.delenv("RAPPORT_KEYS", raising=False)
    assert lead_reproduction._main(["--tenant", "shop", "--lead", "leads/some"]) == 1
    assert "RAPPORT_KEYS" in capsys.readouterr().err
