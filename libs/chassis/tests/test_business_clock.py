import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from chassis import clock
from testkit.waiting import eventually


@pytest.fixture(autouse=True)
def _real_clock(monkeypatch):
    monkeypatch.setattr(clock, "_file", None)


def write(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    os.replace(aside, path)


def offset() -> timedelta:
    return clock.now() - clock.real_now()


def close(left: timedelta, seconds: float) -> bool:
    return abs(left - timedelta(seconds=seconds)) < timedelta(seconds=2)


def test_offset_moves_the_clock_of_a_test_platform(settings, tmp_path):
    path = tmp_path / "clock.json"
    clock.configure(settings(environment="test", clock_file=path))
    assert close(offset(), 0)
    write(path, json.dumps({"offset_seconds": 86_400}))
    eventually(lambda: close(offset(), 86_400), timeout=5)
    write(path, json.dumps({"offset_seconds": -60.5}))
    eventually(lambda: close(offset(), -60.5), timeout=5)
    path.unlink()
    eventually(lambda: close(offset(), 0), timeout=5)
    assert clock.now().utcoffset() == timedelta()


def test_production_has_real_time_only(settings, tmp_path):
    path = tmp_path / "clock.json"
    write(path, json.dumps({"offset_seconds": 86_400}))
    clock.configure(settings(clock_file=path))
    assert close(offset(), 0)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"offset_seconds": "soon"}', '{"offset_seconds": 1e300}'])
def test_malformed_file_is_told(settings, tmp_path, text):
    path = tmp_path / "clock.json"
    write(path, text)
    clock.configure(settings(environment="test", clock_file=path))
    with pytest.raises(ValueError, match="offset_seconds"):
        clock.now()
