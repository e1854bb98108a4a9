"""Says before it starts when a job would not fit into memory, rather than being killed in the middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from scoring.jobs.spec import DividedSpec

CGROUP = Path("/sys/fs/cgroup")
"""What a container sees of itself."""
BYTES_PER_PURCHASE = 200
"""At the peak of `divide` and `summarise`, as measured, with ids of 46 characters."""

BYTES_PER_CUSTOMER = 400
"""At the peak of fitting, as measured."""
BYTES_PER_TASK = 150_000_000
"""Of a process that has its libraries loaded."""
BYTES_PER_LINE = 300
"""Of orders, at the peak of reading, as measured, with ids of 46 characters."""
BYTES_PER_PRODUCT_PAIR = 24
"""Of every two products that are learned from, at the peak of fitting, as measured."""
BYTES_PER_ACTIVE_HOUR = 150
"""Of an event, at the peak of reading when customers are active, as measured, with ids of 46 characters."""
BYTES_PER_USE = 150
"""Of an event of the largest bucket, at the peak of counting what customers use, as measured."""
BYTES_PER_USER = 1_500
"""Of a customer who used something, with the counts of all weeks, as measured, with ids of 46 characters."""
BYTES_PER_LEAD = 3_000
"""At the peak of training on leads, as measured."""
BYTES_PER_PROPENSITY_ROW = 2_000
"""That is trained on, at the peak, as measured."""
BYTES_PER_PROPENSITY_TRAINING = 300_000_000
"""Of a process that trains on next to nothing."""
BYTES_PER_TRAINING = 300_000_000
"""Of a process that trains on next to nothing."""


@dataclass(frozen=True)
class Need:
    """What the tasks of a job need at their peaks, in bytes, as measured."""

    task: int
    """Of a process with its libraries that does next to nothing."""
    purchase: int
    """Of a partition."""


VALUES = Need(BYTES_PER_TASK, BYTES_PER_PURCHASE)
"""Tasks of lifetime value."""
CHURN = Need(380_000_000, 200)
"""Tasks of churn: making features of purchases, and scoring with reasons."""
_MOST_PARTITIONS = 1024
_SKEW = 2
"""How much larger than the mean a partition may be."""


class TooLargeError(Exception):
    """A job needs more memory than there is; the message names the numbers and the way out, in gRPC's terms."""

    def __init__(self, message: str) -> None:
        super().__init__(f"RESOURCE_EXHAUSTED: {message}")


def available(cgroup: Path = CGROUP) -> int:
    """Bytes free for this process, within the limit of its container (cgroup v2).

    Files read long ago count as free: the kernel drops their pages as soon as memory is asked for, and the kubelet's
    working set leaves them out, too.
    """
    free = int(psutil.virtual_memory().available)
    try:
        if (limit := (cgroup / "memory.max").read_text().strip()) != "max":
            used = int((cgroup / "memory.current").read_text())
            told = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
            free = min(free, int(limit) - max(0, used - int(told["inactive_file"])))
    except OSError:
        pass
    return free


def widest(spec: DividedSpec, rows: int, most: int, need: Need = VALUES) -> int:
    """How many partitions at a time fit, at most `most`. Raises TooLargeError if not even one does."""
    for width in range(most, 1, -1):
        try:
            check(spec, rows, width, need)
        except TooLargeError:
            continue
        return width
    check(spec, rows, 1, need)
    return 1


def task_bytes(spec: DividedSpec, rows: int, need: Need = VALUES) -> int:
    """What the largest partition needs, as `check` has it."""
    return need.task + _SKEW * need.purchase * rows // spec.partitions


def check(spec: DividedSpec, rows: int, width: int, need: Need = VALUES) -> None:
    """Raises TooLargeError when `width` partitions at a time do not fit."""
    free = _free(spec)
    fixed = width * need.task
    room = free - fixed
    of_part = _SKEW * need.purchase * rows / spec.partitions
    if width * of_part > room:
        needed = -(-width * _SKEW * need.purchase * rows // max(room, 1))
        raise TooLargeError(
            f"{rows} purchases in {spec.partitions} partitions, {width} at a time, need about "
            f"{(width * of_part + fixed) / 1e6:.0f} MB; {free / 1e6:.0f} MB are free. "
            + (
                f"Set partitions to {needed} or more (RAPPORT_JOB_PARTITIONS)."
                if room > 0 and needed <= _MOST_PARTITIONS
                else "More partitions do not help: give the job more memory."
            )
        )


def widest_of(bytes_each: int, most: int, memory_mb: int | None, what: str) -> int:
    """How many tasks at a time fit that need so much each, at most `most`. Raises TooLargeError if not even one does.

    what: the task, in words.
    """
    free = memory_mb * 1_000_000 if memory_mb else available()
    needed = BYTES_PER_TASK + bytes_each
    if needed > free:
        raise TooLargeError(
            f"{what} needs about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free. Give the job more memory."
        )
    return min(most, free // needed)


def check_nodes(task_bytes: int, nodes: Sequence[float]) -> None:
    """Raises TooLargeError when no node of a Ray has the memory of a task: it would wait for ever.

    nodes: what each has for tasks; none are there yet where one is started when it is asked for.
    """
    if nodes and task_bytes > max(nodes):
        raise TooLargeError(
            f"A task needs about {task_bytes / 1e6:.0f} MB; no node of the Ray has more than {max(nodes) / 1e6:.0f} MB "
            "for tasks. Give its nodes more memory or, where purchases are divided, set more partitions "
            "(RAPPORT_JOB_PARTITIONS)."
        )


def check_offers(lines: int, products: int, memory_mb: int | None) -> None:
    """Raises TooLargeError when what so many lines of orders with so many products need does not fit."""
    free = memory_mb * 1_000_000 if memory_mb else available()
    needed = BYTES_PER_TASK + BYTES_PER_LINE * lines + BYTES_PER_PRODUCT_PAIR * products**2
    if needed > free:
        raise TooLargeError(
            f"{lines} lines of orders with {products} products need about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB "
            "are free. Give the job more memory."
        )


def check_active_hours(events: int, memory_mb: int | None) -> None:
    """Raises TooLargeError when what reading so many events needs does not fit; older ones are not read."""
    free = memory_mb * 1_000_000 if memory_mb else available()
    needed = BYTES_PER_TRAINING + BYTES_PER_ACTIVE_HOUR * events
    if needed > free:
        raise TooLargeError(
            f"{events} events of a year need about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free. Give the job "
            "more memory."
        )


def check_usage(customers: int, events: int, memory_mb: int | None) -> None:
    """Raises TooLargeError when counting what so many customers use does not fit.

    events: of the bucket that has most; buckets are read one after another.
    """
    free = memory_mb * 1_000_000 if memory_mb else available()
    needed = BYTES_PER_TRAINING + BYTES_PER_USER * customers + BYTES_PER_USE * events
    if needed > free:
        raise TooLargeError(
            f"Counting what customers use needs about {needed / 1e6:.0f} MB, with {events} events in the largest part "
            f"of them and {customers} customers so far; {free / 1e6:.0f} MB are free. Give the job more memory, or "
            "name the events that count (usage_events)."
        )


def check_leads(leads: int) -> None:
    """Raises TooLargeError when what training on so many leads needs does not fit."""
    free, needed = available(), BYTES_PER_TRAINING + BYTES_PER_LEAD * leads
    if needed > free:
        raise TooLargeError(
            f"{leads} leads need about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free. Give role run more memory."
        )


def check_propensity(what: str, rows: int, memory_mb: int | None) -> None:
    """Raises TooLargeError when what training on so many customers, each as of an instant, needs does not fit.

    what: the model tells.
    """
    free = memory_mb * 1_000_000 if memory_mb else available()
    needed = BYTES_PER_PROPENSITY_TRAINING + BYTES_PER_PROPENSITY_ROW * rows
    if needed > free:
        raise TooLargeError(
            f"Training a model of {what} on {rows} rows needs about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are "
            "free. Give the job more memory; more partitions do not help."
        )


def check_fit(spec: DividedSpec, customers: int) -> None:
    """Raises TooLargeError when the summaries of all customers, which the models are fitted to, do not fit."""
    free = _free(spec)
    needed = BYTES_PER_TASK + BYTES_PER_CUSTOMER * customers
    if needed > free:
        raise TooLargeError(
            f"Fitting the models to {customers} customers needs about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are "
            "free. Give the job more memory."
        )


def _free(spec: DividedSpec) -> int:
    return spec.memory_mb * 1_000_000 if spec.memory_mb else available()
