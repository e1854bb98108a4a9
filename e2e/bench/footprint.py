"""What the platform takes: time to start, memory, processor time when nobody asks for anything."""

import time

import psutil

from e2e.bench.figures import say, tell
from e2e.platform import Platform

IDLE_S = 30.0


def measure(platform: Platform) -> None:
    """Tells up_ready (s), idle_cpu (cores) and rss_platform (GiB), over all processes and their children."""
    tell("up_ready", platform.up_seconds, "s")
    family = _family(platform)
    say(f"idle for {IDLE_S:.0f} s")
    before = _cpu(family)
    time.sleep(IDLE_S)
    tell("idle_cpu", (_cpu(family) - before) / IDLE_S, "cores")
    tell("rss_platform", sum(process.memory_info().rss for process in family) / 2**30, "GiB")


def _family(platform: Platform) -> list[psutil.Process]:
    heads = [psutil.Process(pid) for pid in platform.processes().values()]
    return heads + [child for head in heads for child in head.children(recursive=True)]


def _cpu(family: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))
