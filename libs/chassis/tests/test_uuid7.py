import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from chassis import ids


def test_form_is_rfc_9562_version_7():
    parsed = uuid.UUID(ids.uuid7())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert abs(ids.time_of(str(parsed)) - datetime.now(UTC)) < timedelta(seconds=5)


def test_ids_rise_and_never_repeat():
    made = [ids.uuid7() for _ in range(50_000)]
    assert made == sorted(set(made))


def test_ids_of_many_threads_are_distinct_and_rise_within_each():
    made: list[list[str]] = [[] for _ in range(8)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(ids.uuid7() for _ in range(5_000))) for mine in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({item for mine in made for item in mine}) == 40_000
    assert all(mine == sorted(mine) for mine in made)


@pytest.mark.parametrize("step_ns", [-3_600_000_000_000, 0])
def test_order_holds_when_the_clock_steps_back_or_stands(monkeypatch, step_ns):
    before = ids.uuid7()
    now = ids.time.time_ns() + step_ns
    monkeypatch.setattr(ids.time, "time_ns", lambda: now)
    after = [ids.uuid7() for _ in range(100)]
    assert [before, *after] == sorted({before, *after})


def test_full_counter_moves_to_the_next_millisecond(monkeypatch):
    now = ids.time.time_ns() + 1_000_000_000
    monkeypatch.setattr(ids.time, "time_ns", lambda: now)
    before = ids.uuid7()
    monkeypatch.setattr(ids, "_counter", ids._COUNTER_MAX)
    after = ids.uuid7()
    assert before < after
    assert ids.time_of(after) - ids.time_of(before) == timedelta(milliseconds=1)
    monkeypatch.setattr(ids, "_last_ms", -1)


def test_time_of_other_ids_is_refused():
    for text in (str(uuid.uuid4()), "x"):
        with pytest.raises(ValueError, match="UUID"):
            ids.time_of(text)
