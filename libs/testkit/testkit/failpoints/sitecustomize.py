"""Python loads this as a process starts whose PYTHONPATH names this folder: see testkit.failpoints."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import wrapt

ACTION, CALL, FUNCTION, REACHED = os.environ["FAILPOINT"].split("#")
MODULE, _, NAME = FUNCTION.partition(":")
calls = 0


def instead(wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """Counts calls; befalls the one that is meant."""
    global calls
    calls += 1
    if calls == int(CALL):
        with open(REACHED, "w"):
            pass
        if ACTION == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while os.path.exists(REACHED):
            time.sleep(0.02)
    return wrapped(*args, **given)


wrapt.register_post_import_hook(lambda module: wrapt.wrap_function_wrapper(module, NAME, instead), MODULE)
