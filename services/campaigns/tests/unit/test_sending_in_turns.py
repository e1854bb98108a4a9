"""The threads that send share the looking for something to send."""

import threading
import time

from campaigns import runner
from campaigns.settings import CampaignsSettings
from testkit.keys import TEST_KEYRING
from testkit.waiting import eventually

THREADS = 4


def test_idle_threads_look_in_turns_and_all_help_when_there_is_work(monkeypatch):
    looks, busy, work = [], set(), threading.Event()

    def send_due(settings, mailer):
        looks.append(time.monotonic())
        if work.is_set():
            busy.add(threading.get_ident())
        return int(work.is_set())

    monkeypatch.setattr(runner.sending, "send_due", send_due)
    monkeypatch.setattr(runner, "IDLE_S", 0.05)
    stopping, turn, settings = threading.Event(), threading.Lock(), CampaignsSettings(keys=TEST_KEYRING)
    threads = [threading.Thread(target=runner._send_until, args=(settings, stopping, turn)) for _ in range(THREADS)]
    begin = time.monotonic()
    try:
        for thread in threads:
            thread.start()
        eventually(lambda: len(looks) >= THREADS + 8, 20, "idle threads look again and again")
        assert looks[THREADS + 7] - begin >= 8 * 0.05, "no more often than one thread would"
        work.set()
        eventually(lambda: len(busy) == THREADS, 20, "all threads help")
    finally:
        stopping.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
