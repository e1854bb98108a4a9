"""Processor shares on one machine: a workload that requests less of it than others yields to them, as in a cluster.

There the kubelet makes a request the pod's weight where processors are short; here nice values do, of which each is
1.25 times the weight of the next (sched(7)).
"""

import math
import os
import time
from contextlib import suppress
from pathlib import Path

_RATIO = 1.25
_NICEST = 19
_PATIENCE_S = 5.0


def cores(quantity: str | float) -> float:
    """A Kubernetes quantity of processors, such as `250m` or 2, in cores. Raises ValueError."""
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def nice_value(requested: float, most: float) -> int:
    """The nice value (0 to 19) of a workload that requests so many cores where the largest request is `most`."""
    if not most:
        return 0
    return min(_NICEST, round(math.log(most / requested, _RATIO))) if requested else _NICEST


def set_nice(pid: int, value: int) -> None:
    """Gives a process that leads its session, and all it will start, a nice value of 0 or more."""
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, value)
    # Where the kernel shares between sessions first, it is the session's nice value that counts.
    autogroup = Path(f"/proc/{pid}/autogroup")
    deadline = time.monotonic() + _PATIENCE_S
    while autogroup.exists() and time.monotonic() < deadline:
        try:
            autogroup.write_text(str(value))
        except BlockingIOError:  # It takes one change in a tenth of a second, unless root makes it.
            time.sleep(0.05)
        except OSError:
            return  # Ended meanwhile, or a machine that does not let it be changed: it runs all the same.
        else:
            return
