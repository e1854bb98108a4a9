"""No role works on a database that is older than its code."""

import logging
import time
from importlib import import_module

import pymongo.errors

import docstore
from chassis.errors import FailedPrecondition
from chassis.lifecycle import Stopping

log = logging.getLogger(__name__)


def wait_migrated(service: str, stopping: Stopping) -> bool:
    """Returns True once the database has seen all `MIGRATIONS` of `<service>.migrate`, False when asked to stop before.

    Says every 5 s what it waits for.
    """
    required = len(import_module(f"{service}.migrate").MIGRATIONS)
    told = 0.0
    while not stopping.is_set():
        try:
            docstore.require_version(required)
        except FailedPrecondition as error:
            reason = error.message
        except pymongo.errors.PyMongoError as error:
            reason = f"the database cannot be used ({type(error).__name__})"
        else:
            return True
        if time.monotonic() - told >= 5:
            told = time.monotonic()
            log.warning("not ready: %s", reason)
        stopping.wait(0.5)
    return False
