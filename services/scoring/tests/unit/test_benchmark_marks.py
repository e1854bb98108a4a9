import json
import sys
import time
from importlib import import_module
from types import SimpleNamespace

import pytest

from scoring.benchmarks import __main__ as benchmarks
from scoring.benchmarks import scale
from scoring.benchmarks.lines import Line
from scoring.benchmarks.marks import Check, Mark
from scoring.benchmarks.waiting import telling


def line(value: float, metric: str = "auc", data: str = "bank", **more) -> Line:
    return Line(task="response", data=data, metric=metric, value=value, **more)


def mark(**more) -> Mark:
    return Mark(**{"data": "bank", "metric": "auc", "source": "a paper", **more})


@pytest.mark.parametrize(
    ("limit", "value", "met"),
    [
        ({"at_least": 0.8}, 0.8, True),
        ({"at_least": 0.8}, 0.7999, False),
        ({"at_least": 0.8}, float("nan"), False),
        ({"at_most": 0.005}, 0.005, True),
        ({"at_most": 0.005}, 0.00501, False),
        ({"equal": 463}, 463, True),
        ({"equal": 463}, 462, False),
        ({"equal": 4.4136, "digits": 3}, 4.409, True),
        ({"equal": 4.4136, "digits": 3}, 4.408, False),
        ({"equal": -9582.4292, "digits": 6}, -9582.43, True),
        ({"equal": -9582.4292, "digits": 6}, -9582.44, False),
    ],
)
def test_a_figure_is_compared_with_its_mark(limit, value, met):
    assert mark(**limit).met(line(value)) is met


def test_a_mark_beside_a_peer_is_of_the_same_line():
    of_peer = mark(at_most=1.3, times_peer=True)
    assert of_peer.met(line(1.3, peer="DuckDB", peer_value=1.0))
    assert not of_peer.met(line(1.31, peer="DuckDB", peer_value=1.0))
    # A line without its peer shows nothing.
    assert not of_peer.met(line(0.0))
    assert of_peer.told(line(1, peer="DuckDB", peer_value=2.0)) == "<= 1.3 x DuckDB 2"


def test_a_mark_has_one_limit():
    for limits in ({}, {"at_least": 1.0, "at_most": 2.0}):
        with pytest.raises(ValueError, match="one of"):
            mark(**limits)


def test_the_table_tells_met_missed_and_what_was_not_measured():
    check = Check()
    # Of several lines, the one that misses counts.
    lines = [line(0.9, peer="a"), line(0.7, peer="b"), line(1.0, "brier")]
    check.task("response", [mark(at_least=0.8), mark(metric="brier", at_most=1)], lines, missing_data=False)
    check.task("offers", [mark(data="films", at_least=0.1)], [], missing_data=True)
    assert check.missed == 1
    check.task("text", [mark(data="questions", at_least=0.1)], [], missing_data=False)
    # A line that is gone is no mark met.
    assert check.missed == 2
    assert [row.split()[0] for row in check.table().splitlines()[1:-1]] == ["MISSED", "met", "not", "MISSED"]
    assert all(part in check.table() for part in ("bank: auc", "0.7", ">= 0.8", "a paper"))
    assert check.summary() == "1 not measured, 1 met, 2 MISSED"


@pytest.mark.parametrize(("value", "asked", "code"), [(0.7, True, 1), (0.9, True, 0), (0.7, False, 0)])
def test_the_command_ends_with_1_where_a_mark_is_missed(monkeypatch, capsys, tmp_path, value, asked, code):
    task = SimpleNamespace(measure=lambda data: iter([line(value)]), MARKS=(mark(at_least=0.8),))
    monkeypatch.setattr(benchmarks, "import_module", lambda name: task)
    monkeypatch.setattr(sys, "argv", ["bench", "--data", str(tmp_path), *["--check"][: int(asked)], "response"])
    assert benchmarks.main() == code
    told = capsys.readouterr()
    # Lines stay one JSON object each; the table is not among them.
    assert [json.loads(each)["value"] for each in told.out.splitlines()] == [value]
    assert ("a paper" in told.err) is asked


@pytest.mark.parametrize("task", benchmarks.TASKS)
def test_every_task_has_marks_with_their_source(task):
    marks = import_module(f"scoring.benchmarks.{task}").MARKS
    assert marks
    assert all(each.source and each.data for each in marks)


def test_marks_of_scale_follow_the_size():
    found = {each.metric: each for each in scale.marks(100_000)}
    assert found["BG/NBD and Gamma-Gamma, fit and score: CPU seconds"].at_most == pytest.approx(0.5)
    assert sum("growth" in metric for metric in found) == 7


def test_what_takes_long_says_so(capsys):
    with telling("offers", every_s=0.01):
        deadline = time.monotonic() + 5
        told = ""
        while "offers: at work for" not in told and time.monotonic() < deadline:
            told += capsys.readouterr().err
    assert told.startswith("offers ...")
    assert "offers: at work for 0 s" in told
