"""Loops of the roles `run` go on whatever happens, and end when asked."""

import logging
import threading

import pymongo.errors

from chassis.lifecycle import Stopping
from eventing import loops
from testkit import eventually


def test_a_loop_goes_on_after_failures_rests_when_idle_and_ends_when_asked(monkeypatch, caplog) -> None:
    monkeypatch.setattr(loops, "_FAILED_S", 0.01)
    stopping = Stopping()
    outcomes = iter([pymongo.errors.AutoReconnect("no primary"), ValueError("odd"), 3, 0])
    calls: list[str] = []

    def work() -> int:
        outcome = next(outcomes, 0)
        calls.append(type(outcome).__name__ if isinstance(outcome, Exception) else str(outcome))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def rest() -> None:
        calls.append("rest")

    thread = threading.Thread(target=loops.until_stopped, args=(stopping, work, 0.01, rest))
    with caplog.at_level(logging.WARNING):
        thread.start()
        eventually(lambda: "rest" in calls, 5)
        stopping.set()
        thread.join(5)
    assert not thread.is_alive()
    assert calls[:5] == ["AutoReconnect", "ValueError", "3", "0", "rest"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "no primary" not in caplog.records[0].getMessage()
